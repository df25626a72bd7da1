import { rowId, type Entity, type MohFile, type Row } from '@aoide/api';
import { moved } from '@aoide/ui';
import { ActionIcon, Card, Group, Stack, Table, Text, Title } from '@mantine/core';
import { IconArrowDown, IconArrowUp, IconTrash } from '@tabler/icons-react';
import { useMutation, useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api } from '../../app/api';
import { errorText } from '../../app/errors';
import { formatDuration } from '../../app/format';
import { notifyError } from '../../app/notify';
import { useMay } from '../../app/session';
import { ErrorNote } from '../../app/states';
import { entityKey } from '../../app/useEvents';
import { DownloadLink } from './DownloadLink';
import { DropZone, soundTypes } from './DropZone';
import { PlayButton } from './PlayButton';
import { SoundState } from './SoundState';
import { UploadList } from './UploadList';
import { useSoundChanged } from './useSoundChanged';
import { useUploads } from './useUploads';

/** The files of a music class in their order (PLT-31). */
export function MohFiles({ entity, row }: { entity: Entity; row: Row }): ReactNode {
  const { t } = useTranslation();
  const id = rowId(row);
  const mayWrite = useMay(entity.permission, 'write');
  const changed = useSoundChanged(entity.name);
  const uploads = useUploads();
  const files = useQuery({
    queryKey: [...entityKey(entity.name), id, 'files'],
    queryFn: ({ signal }) => api.sounds.mohFiles(id, signal),
  });
  const change = useMutation({
    mutationFn: (what: () => Promise<void>) => what(),
    onError: (error) => notifyError(errorText(error, t)),
    onSettled: changed,
  });
  const items = files.data ?? [];
  const send = async (list: readonly File[]): Promise<void> => {
    const name = list.length === 1 ? (list[0]?.name ?? '') : t('sound.files', { count: list.length });
    let refused: readonly { readonly name: string; readonly message: string }[] = [];
    await uploads.start(name, async (progress) => {
      refused = (await api.sounds.addMusic(id, list, progress)).failed;
    });
    for (const file of refused) void uploads.start(file.name, () => Promise.reject(new Error(file.message)));
    changed();
  };
  return (
    <Card withBorder radius="md" mt="md" component="section" aria-labelledby="music-title">
      <Stack gap="sm">
        <Title order={2} size="h3" id="music-title">
          {t('sound.music')}
        </Title>
        {files.isError && <ErrorNote error={files.error} onRetry={() => void files.refetch()} />}
        {files.isSuccess && items.length === 0 && (
          <Text size="sm" c="dimmed">
            {row['system_music'] === true ? t('sound.systemMusic') : t('sound.noMusic')}
          </Text>
        )}
        {items.length > 0 && (
          <Table.ScrollContainer minWidth={560}>
            <Table verticalSpacing={4}>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">#</Table.Th>
                  <Table.Th scope="col">{t('sound.file')}</Table.Th>
                  <Table.Th scope="col">{t('sound.duration')}</Table.Th>
                  <Table.Th scope="col">{t('sound.stateHead')}</Table.Th>
                  <Table.Th scope="col">{t('list.actions')}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {items.map((file, index) => (
                  <Table.Tr key={file.file}>
                    <Table.Td>{index + 1}</Table.Td>
                    <Table.Td style={{ wordBreak: 'break-word' }}>{file.name || file.source_name}</Table.Td>
                    <Table.Td className="numbers">{formatDuration(Math.round(file.duration_ms / 1000))}</Table.Td>
                    <Table.Td>
                      <SoundState state={file.state} reason={file.reason} />
                    </Table.Td>
                    <Table.Td>
                      <FileActions
                        classId={id}
                        file={file}
                        isFirst={index === 0}
                        isLast={index === items.length - 1}
                        disabled={!mayWrite || change.isPending}
                        onMove={(step) => change.mutate(() => api.sounds.orderMusic(id, moved(items, index, step)))}
                        onRemove={() => change.mutate(() => api.sounds.removeMusic(id, file.file))}
                      />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        )}
        {mayWrite && (
          <DropZone label={t('sound.addMusic')} accept={soundTypes} multiple disabled={uploads.isBusy} onFiles={(list) => void send(list)} />
        )}
        <UploadList uploads={uploads} />
      </Stack>
    </Card>
  );
}

function FileActions({ classId, file, isFirst, isLast, disabled, onMove, onRemove }: {
  classId: number;
  file: MohFile;
  isFirst: boolean;
  isLast: boolean;
  disabled: boolean;
  onMove: (step: 1 | -1) => void;
  onRemove: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const name = file.name || (file.source_name ?? '');
  const url = api.sounds.mohUrl(classId, file.file);
  return (
    <Group gap={2} wrap="nowrap">
      <PlayButton url={url} name={name} disabled={!file.playable} />
      <DownloadLink url={url} name={name} disabled={!file.playable} />
      <ActionIcon variant="subtle" aria-label={t('common.moveUp', { item: name })} disabled={disabled || isFirst} onClick={() => onMove(-1)}>
        <IconArrowUp size={18} />
      </ActionIcon>
      <ActionIcon variant="subtle" aria-label={t('common.moveDown', { item: name })} disabled={disabled || isLast} onClick={() => onMove(1)}>
        <IconArrowDown size={18} />
      </ActionIcon>
      <ActionIcon variant="subtle" color="red" aria-label={t('common.removeItem', { item: name })} disabled={disabled} onClick={onRemove}>
        <IconTrash size={18} />
      </ActionIcon>
    </Group>
  );
}
