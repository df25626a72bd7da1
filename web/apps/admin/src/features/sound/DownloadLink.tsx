import { ActionIcon, Tooltip } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

export function DownloadLink({ url, name, disabled = false }: { url: string; name: string; disabled?: boolean }): ReactNode {
  const { t } = useTranslation();
  const label = t('sound.download', { name });
  const icon = <IconDownload size={18} />;
  return (
    <Tooltip label={label}>
      {disabled ? (
        <ActionIcon variant="subtle" aria-label={label} disabled>
          {icon}
        </ActionIcon>
      ) : (
        <ActionIcon variant="subtle" aria-label={label} component="a" href={`${url}${url.includes('?') ? '&' : '?'}download=1`} download>
          {icon}
        </ActionIcon>
      )}
    </Tooltip>
  );
}
