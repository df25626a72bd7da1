import { plainText, rowId, rowTitle, type Entity, type Row } from '@aoide/api';
import { ActionIcon, Autocomplete, Button, Card, Group, Stack, Title, Tooltip } from '@mantine/core';
import { IconMicrophone, IconPhoneOutgoing } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api } from '../../app/api';
import { useMay } from '../../app/session';
import { entityKey } from '../../app/useEvents';
import { EntityList, type ListExtras } from '../entity/EntityList';
import { DownloadLink } from './DownloadLink';
import { DropZone, soundTypes } from './DropZone';
import { PhoneDialog, type PhoneJob } from './PhoneDialog';
import { PlayButton } from './PlayButton';
import { ReplaceButton } from './ReplaceButton';
import { SoundState, isSoundState } from './SoundState';
import { UploadList } from './UploadList';
import { useSoundChanged } from './useSoundChanged';
import { useUploads, type Uploads } from './useUploads';

export function isSoundList(entity: Entity): boolean {
  return entity.name === 'audio_file';
}

/** Audio files (PLT-30): the list with upload, play, download and replace. */
export function SoundList({ entity }: { entity: Entity }): ReactNode {
  const { t } = useTranslation();
  const mayWrite = useMay(entity.permission, 'write');
  const uploads = useUploads();
  const changed = useSoundChanged(entity.name);
  const [phoneJob, setPhoneJob] = useState<PhoneJob | null>(null);
  const folders = useFolders(entity);

  const extras = useMemo<ListExtras>(
    () => ({
      noAdd: true,
      above: mayWrite ? (
        <UploadPanel entity={entity} uploads={uploads} onDone={changed}
          onRecord={() => setPhoneJob({ kind: 'record', id: null, name: '' })} />
      ) : null,
      cell: (field, row) => {
        const state = row['state'];
        return field.name === 'state' && isSoundState(state) ? (
          <SoundState state={state} reason={plainText(row['reason']) || null} />
        ) : undefined;
      },
      actions: (row) => {
        const name = rowTitle(entity, row);
        const id = rowId(row);
        const url = api.sounds.audioUrl(id, versionOf(row));
        const nothing = row['playable'] !== true;
        return (
          <Group gap={2} wrap="nowrap">
            <PlayButton url={url} name={name} disabled={nothing} />
            <PhoneButton label={t('sound.phone.playOn', { name })} icon={<IconPhoneOutgoing size={18} />} disabled={nothing}
              onClick={() => setPhoneJob({ kind: 'play', id, name })} />
            <DownloadLink url={url} name={name} disabled={nothing} />
            {mayWrite && (
              <ReplaceButton
                label={t('sound.replace', { name })}
                disabled={uploads.isBusy}
                onFile={(file) =>
                  void uploads.start(file.name, (progress) => api.sounds.replaceAudio(id, file, progress)).then(changed)
                }
              />
            )}
            {mayWrite && (
              <PhoneButton label={t('sound.phone.recordFrom', { name })} icon={<IconMicrophone size={18} />}
                onClick={() => setPhoneJob({ kind: 'record', id, name })} />
            )}
          </Group>
        );
      },
    }),
    [entity, mayWrite, uploads, changed, t],
  );
  return (
    <>
      <EntityList entity={entity} extras={extras} />
      {phoneJob && (
        <PhoneDialog job={phoneJob} folders={folders} onClose={() => setPhoneJob(null)} onChanged={changed} />
      )}
    </>
  );
}

function PhoneButton({ label, icon, disabled = false, onClick }: {
  label: string;
  icon: ReactNode;
  disabled?: boolean;
  onClick: () => void;
}): ReactNode {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" aria-label={label} disabled={disabled} onClick={onClick}>
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}

/** Those that files can be put into. */
function useFolders(entity: Entity): readonly string[] {
  const folders = useQuery({
    queryKey: [...entityKey(entity.name), 'folders'],
    queryFn: async ({ signal }) => {
      const page = await api.entities.list(entity, { page: 1, pageSize: 1000, fields: 'id,folder' }, signal);
      return [...new Set(page.items.map((row) => plainText(row['folder'])))].filter((name) => name !== 'builtin').sort();
    },
  });
  return folders.data ?? [];
}

/** Another content is another address: a browser keeps what it played. */
export function versionOf(row: Row): number {
  const at = Date.parse(plainText(row['content_at']));
  return Number.isNaN(at) ? 0 : at;
}

function UploadPanel({ entity, uploads, onDone, onRecord }: {
  entity: Entity;
  uploads: Uploads;
  onDone: () => void;
  onRecord: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const [folder, setFolder] = useState('custom');
  const folders = useFolders(entity);
  const send = async (files: readonly File[]): Promise<void> => {
    /* One after the other: the server converts one at a time anyway. */
    for (const file of files)
      if (await uploads.start(file.name, (progress) => api.sounds.createAudio(file, folder.trim(), progress))) onDone();
  };
  return (
    <Card withBorder radius="md" component="section" aria-labelledby="upload-title">
      <Stack gap="sm">
        <Group justify="space-between">
          <Title order={2} size="h4" id="upload-title">
            {t('sound.uploadTitle')}
          </Title>
          <Button variant="default" leftSection={<IconMicrophone size={16} aria-hidden />} onClick={onRecord}>
            {t('sound.phone.recordNew')}
          </Button>
        </Group>
        <Autocomplete
          label={t('sound.folder')}
          description={t('sound.folderHint')}
          maw={360}
          data={[...folders]}
          value={folder}
          onChange={setFolder}
          maxLength={128}
        />
        <DropZone label={t('sound.chooseMany')} accept={soundTypes} multiple disabled={uploads.isBusy} onFiles={(files) => void send(files)} />
        <UploadList uploads={uploads} />
      </Stack>
    </Card>
  );
}
