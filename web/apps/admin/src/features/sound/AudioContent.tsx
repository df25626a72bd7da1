import { plainText, rowId, rowTitle, type Entity, type Row } from '@aoide/api';
import { Button, Card, Group, Stack, Text, Title } from '@mantine/core';
import { IconDownload, IconRestore } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api } from '../../app/api';
import { errorText } from '../../app/errors';
import { formatDuration, formatTime } from '../../app/format';
import { notifyDone, notifyError } from '../../app/notify';
import { useMay } from '../../app/session';
import { useLanguage } from '../../i18n/i18n';
import { DropZone, soundTypes } from './DropZone';
import { SoundState, isSoundState } from './SoundState';
import { UploadList } from './UploadList';
import { useSoundChanged } from './useSoundChanged';
import { useUploads } from './useUploads';
import { versionOf } from './SoundList';

/** The content of one audio file: listen, download, replace, restore what came with the product. */
export function AudioContent({ entity, row }: { entity: Entity; row: Row }): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const mayWrite = useMay(entity.permission, 'write');
  const uploads = useUploads();
  const changed = useSoundChanged(entity.name);
  const id = rowId(row);
  const state = isSoundState(row['state']) ? row['state'] : 'empty';
  const url = api.sounds.audioUrl(id, versionOf(row));
  const facts = [
    typeof row['duration_ms'] === 'number' && row['duration_ms'] > 0 ? formatDuration(Math.round(row['duration_ms'] / 1000)) : '',
    plainText(row['source_name']),
    plainText(row['source_format']),
    formatTime(row['content_at'], language),
  ].filter((text) => text !== '');
  const restore = (): void =>
    void api.sounds.restoreAudio(id).then(
      () => {
        notifyDone(t('sound.restored'));
        changed();
      },
      (error: unknown) => notifyError(errorText(error, t)),
    );
  return (
    <Card withBorder radius="md" mt="md" component="section" aria-labelledby="content-title">
      <Stack gap="sm">
        <Group justify="space-between">
          <Title order={2} size="h3" id="content-title">
            {t('sound.content')}
          </Title>
          <SoundState state={state} reason={plainText(row['reason']) || null} />
        </Group>
        {row['playable'] === true && (
          <Group>
            {/* Speech that its own name describes; there is no text of it to show. */}
            {/* eslint-disable-next-line jsx-a11y/media-has-caption */}
            <audio controls preload="none" src={url} aria-label={t('sound.play', { name: rowTitle(entity, row) })} />
            <Button component="a" href={`${url}&download=1`} download variant="default" leftSection={<IconDownload size={16} />}>
              {t('sound.downloadShort')}
            </Button>
            {mayWrite && row['builtin'] === true && facts.length > 0 && (
              <Button variant="default" leftSection={<IconRestore size={16} />} onClick={restore}>
                {t('sound.restore')}
              </Button>
            )}
          </Group>
        )}
        {facts.length > 0 && (
          <Text size="sm" c="dimmed">
            {facts.join(' · ')}
          </Text>
        )}
        {mayWrite && (
          <DropZone
            label={row['playable'] === true ? t('sound.replaceShort') : t('sound.chooseOne')}
            accept={soundTypes}
            multiple={false}
            disabled={uploads.isBusy}
            onFiles={([file]) =>
              file && void uploads.start(file.name, (progress) => api.sounds.replaceAudio(id, file, progress)).then(changed)
            }
          />
        )}
        <UploadList uploads={uploads} />
      </Stack>
    </Card>
  );
}
