import { Alert, CloseButton, Group, Progress, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconCheck } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Uploads } from './useUploads';

/** What is on its way, what arrived, what was refused and why. */
export function UploadList({ uploads }: { uploads: Uploads }): ReactNode {
  const { t } = useTranslation();
  const refused = uploads.items.filter((item) => item.state === 'refused');
  const others = uploads.items.filter((item) => item.state !== 'refused');
  if (uploads.items.length === 0) return null;
  return (
    <Stack gap="xs" aria-live="polite">
      {others.map((item) => (
        <Group key={item.key} gap="sm" wrap="nowrap">
          <Text size="sm" w={260} truncate title={item.name}>
            {item.name}
          </Text>
          {item.state === 'done' ? (
            <Group gap={4} wrap="nowrap">
              <IconCheck size={16} color="var(--mantine-color-green-7)" aria-hidden />
              <Text size="sm">{t('sound.uploaded')}</Text>
            </Group>
          ) : (
            <>
              <Progress value={item.share * 100} flex={1} animated={item.share >= 1} aria-label={t('sound.progress', { name: item.name })} />
              <Text size="sm" w={120} className="numbers">
                {item.share >= 1 ? t('sound.converting') : `${Math.round(item.share * 100)} %`}
              </Text>
            </>
          )}
        </Group>
      ))}
      {refused.length > 0 && (
        <Alert color="red" icon={<IconAlertTriangle />} role="alert" title={t('sound.refused', { count: refused.length })}>
          <Group align="flex-start" justify="space-between" wrap="nowrap">
            <Stack gap={2}>
              {refused.map((item) => (
                <Text key={item.key} size="sm">
                  <b>{item.name}</b>: {item.error}
                </Text>
              ))}
            </Stack>
            <CloseButton aria-label={t('common.close')} onClick={uploads.clear} />
          </Group>
        </Alert>
      )}
    </Stack>
  );
}
