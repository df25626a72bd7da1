import type { ConnectionState } from '@aoide/api';
import { Badge } from '@mantine/core';
import { IconCircleCheck, IconCloudOff, IconLoader } from '@tabler/icons-react';
import { createContext, useContext, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

const ConnectionContext = createContext<ConnectionState>('connecting');
export const ConnectionProvider = ConnectionContext.Provider;

const looks = {
  open: { color: 'green', Icon: IconCircleCheck },
  connecting: { color: 'gray', Icon: IconLoader },
  waiting: { color: 'orange', Icon: IconCloudOff },
} as const;

/** Whether the numbers on the page move by themselves right now. */
export function ConnectionNote(): ReactNode {
  const { t } = useTranslation();
  const state = useContext(ConnectionContext);
  const { color, Icon } = looks[state];
  return (
    <Badge variant="light" color={color} tt="none" size="lg" role="status" leftSection={<Icon size={14} aria-hidden />}>
      {t(`live.connection.${state}`)}
    </Badge>
  );
}
