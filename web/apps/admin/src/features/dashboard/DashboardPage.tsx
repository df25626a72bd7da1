import { PageHeader } from '@aoide/ui';
import { Anchor, Card, Group, SimpleGrid, Skeleton, Stack, Table, Text, ThemeIcon } from '@mantine/core';
import { IconClock, IconPhoneCall, IconPlugConnected, IconTag } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Link } from 'react-router-dom';
import { api } from '../../app/api';
import { formatNumber, formatUptime } from '../../app/format';
import { mayOpen } from '../../app/menu';
import { useSession } from '../../app/session';
import { ErrorNote } from '../../app/states';
import { useLanguage } from '../../i18n/i18n';
import { ConnectionNote } from '../live/ConnectionNote';
import { useCalls, useRegistrations } from '../live/useLive';
import { flattenFacts, pickNumber, pickText } from './facts';

const refreshMs = 15_000;

export function DashboardPage(): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const session = useSession();
  const seesCalls = mayOpen(session, 'calls');
  const seesRegistrations = mayOpen(session, 'registrations');
  const calls = useCalls(seesCalls);
  const registrations = useRegistrations(seesRegistrations);
  const node = useQuery({
    queryKey: ['dashboard'],
    queryFn: ({ signal }) => api.live.dashboard(signal),
    refetchInterval: refreshMs,
  });
  const facts = node.data ?? {};
  const uptime = pickNumber(facts, ['uptime_s', 'uptime', 'uptimeSeconds']);
  const version = pickText(facts, ['productVersion', 'product_version', 'version']);
  const nCalls = calls.data?.length ?? pickNumber(facts, ['calls', 'activeCalls']);
  const nRegistrations = registrations.data?.length ?? pickNumber(facts, ['registrations']);

  return (
    <>
      <PageHeader title={t('menu.dashboard')} description={t('dashboard.welcome', { user: session.username })} actions={<ConnectionNote />} />
      <Stack>
        {node.isError && <ErrorNote error={node.error} onRetry={() => void node.refetch()} />}
        <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }}>
          <Fact
            icon={<IconPhoneCall size={20} />}
            label={t('dashboard.calls')}
            value={nCalls === null ? null : formatNumber(nCalls, language)}
            {...(seesCalls ? { to: '/calls' } : {})}
          />
          <Fact
            icon={<IconPlugConnected size={20} />}
            label={t('dashboard.registrations')}
            value={nRegistrations === null ? null : formatNumber(nRegistrations, language)}
            {...(seesRegistrations ? { to: '/registrations' } : {})}
          />
          <Fact
            icon={<IconClock size={20} />}
            label={t('dashboard.uptime')}
            value={uptime === null ? null : formatUptime(uptime, language)}
          />
          <Fact icon={<IconTag size={20} />} label={t('dashboard.version')} value={version} />
        </SimpleGrid>
        <Card withBorder radius="md">
          <Text fw={600} component="h2" mb="sm">
            {t('dashboard.system')}
          </Text>
          {node.isPending ? (
            <Skeleton h={120} />
          ) : (
            <Table layout="fixed">
              <Table.Tbody>
                {flattenFacts(facts).map(({ key, value }) => (
                  <Table.Tr key={key}>
                    <Table.Th scope="row" w="40%">
                      {t(`dashboard.facts.${key}`, key)}
                    </Table.Th>
                    <Table.Td style={{ wordBreak: 'break-word' }}>{value}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
        </Card>
      </Stack>
    </>
  );
}

function Fact({ icon, label, value, to }: { icon: ReactNode; label: string; value: string | null; to?: string }): ReactNode {
  const { t } = useTranslation();
  return (
    <Card withBorder radius="md" padding="lg">
      <Group wrap="nowrap" align="flex-start">
        <ThemeIcon variant="light" size="xl" radius="md" aria-hidden>
          {icon}
        </ThemeIcon>
        <div>
          <Text size="sm" c="dimmed">
            {label}
          </Text>
          <Text size="xl" fw={700} className="numbers" style={{ whiteSpace: 'normal' }}>
            {value ?? '–'}
          </Text>
          {to && (
            <Anchor component={Link} to={to} size="sm">
              {t('dashboard.details')}
              <span className="visually-hidden">: {label}</span>
            </Anchor>
          )}
        </div>
      </Group>
    </Card>
  );
}
