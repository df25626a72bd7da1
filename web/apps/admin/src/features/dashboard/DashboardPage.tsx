import type { Dashboard } from '@aoide/api';
import { PageHeader } from '@aoide/ui';
import { Anchor, Badge, Card, Group, SimpleGrid, Skeleton, Stack, Table, Text, ThemeIcon } from '@mantine/core';
import { IconCheck, IconClock, IconPhoneCall, IconPlugConnected, IconTag, IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Link } from 'react-router-dom';
import { api } from '../../app/api';
import { formatNumber, formatTime, formatUptime } from '../../app/format';
import { mayOpen } from '../../app/menu';
import { useSession } from '../../app/session';
import { ErrorNote } from '../../app/states';
import { useLanguage, type Language } from '../../i18n/i18n';
import { ConnectionNote } from '../live/ConnectionNote';
import { useCalls, useRegistrations } from '../live/useLive';

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
  const facts = node.data;
  const nCalls = calls.data?.length ?? facts?.calls ?? null;
  const nRegistrations = registrations.data?.length ?? null;

  const number = (value: number | null): string => (value === null ? '' : formatNumber(value, language));

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
            value={facts?.uptime_s ? formatUptime(facts.uptime_s, language) : null}
          />
          <Fact icon={<IconTag size={20} />} label={t('dashboard.version')} value={facts?.productVersion ?? null} />
        </SimpleGrid>
        {node.isPending ? (
          <Skeleton h={160} />
        ) : (
          facts && (
            <SimpleGrid cols={{ base: 1, md: 2, lg: 3 }}>
              <FactCard
                title={t('dashboard.product')}
                rows={[
                  [t('dashboard.serial'), facts.serialNumber],
                  [t('dashboard.firmware'), facts.firmwareVersion],
                  [t('dashboard.extensions'), number(facts.extensions)],
                  [t('dashboard.accounts'), number(facts.accounts)],
                ]}
              />
              <FactCard
                title={t('dashboard.system')}
                rows={[
                  [t('dashboard.time'), formatTime(facts.time, language)],
                  [t('dashboard.load'), facts.load.map((x) => x.toFixed(2)).join('  ')],
                  [t('dashboard.disk'), facts.disk ? diskText(facts.disk, language) : ''],
                ]}
              />
              <ServiceCard services={facts.services} />
            </SimpleGrid>
          )
        )}
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

function diskText({ total_mb, free_mb }: { total_mb: number; free_mb: number }, language: Language): string {
  const gb = (mb: number): string => formatNumber(Math.round(mb / 102.4) / 10, language);
  const used = total_mb > 0 ? Math.round((100 * (total_mb - free_mb)) / total_mb) : 0;
  return `${used} % (${gb(total_mb - free_mb)} / ${gb(total_mb)} GB)`;
}

function FactCard({ title, rows }: { title: string; rows: readonly (readonly [string, string])[] }): ReactNode {
  return (
    <Card withBorder radius="md">
      <Text fw={600} component="h2" mb="xs">
        {title}
      </Text>
      <Table withRowBorders={false} verticalSpacing={4}>
        <Table.Tbody>
          {rows
            .filter(([, value]) => value !== '')
            .map(([label, value]) => (
              <Table.Tr key={label}>
                <Table.Th scope="row" fw={400} c="dimmed" pl={0}>
                  {label}
                </Table.Th>
                <Table.Td ta="right" pr={0} style={{ whiteSpace: 'nowrap' }}>
                  {value}
                </Table.Td>
              </Table.Tr>
            ))}
        </Table.Tbody>
      </Table>
    </Card>
  );
}

/* Services with a name for people; another is shown as the PBX calls it. */
const namedServices = ['voip', 'web-backend', 'web-socket'] as const;

function isNamedService(name: string): name is (typeof namedServices)[number] {
  return (namedServices as readonly string[]).includes(name);
}

function ServiceCard({ services }: { services: Dashboard['services'] }): ReactNode {
  const { t } = useTranslation();
  if (services.length === 0) return null;
  return (
    <Card withBorder radius="md">
      <Text fw={600} component="h2" mb="xs">
        {t('dashboard.services')}
      </Text>
      <Stack gap={6}>
        {services.map(({ name, state }) => {
          const active = state === 'active';
          return (
            <Group key={name} justify="space-between">
              <Text size="sm">{isNamedService(name) ? t(`dashboard.service.${name}`) : name}</Text>
              <Badge
                variant="light"
                tt="none"
                color={active ? 'green' : 'red'}
                leftSection={active ? <IconCheck size={12} aria-hidden /> : <IconX size={12} aria-hidden />}
              >
                {active ? t('dashboard.active') : t('dashboard.inactive')}
              </Badge>
            </Group>
          );
        })}
      </Stack>
    </Card>
  );
}
