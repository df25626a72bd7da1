import type { Registration } from '@aoide/api';
import { DataTable, EmptyState, PageHeader } from '@aoide/ui';
import { Badge, Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { IconSearch } from '@tabler/icons-react';
import {
  createColumnHelper, getCoreRowModel, getFilteredRowModel, getSortedRowModel, useReactTable,
} from '@tanstack/react-table';
import { useMemo, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { useSearchParams } from 'react-router-dom';
import { formatDuration, formatTime, timeMs } from '../../app/format';
import { mayOpen } from '../../app/menu';
import { useSession } from '../../app/session';
import { ErrorNote, NoSuchPage } from '../../app/states';
import { useNow } from '../../app/useNow';
import { useLanguage } from '../../i18n/i18n';
import { ConnectionNote } from './ConnectionNote';
import { useRegistrations } from './useLive';

const column = createColumnHelper<Registration>();

export function RegistrationsPage(): ReactNode {
  const session = useSession();
  return mayOpen(session, 'registrations') ? <Registrations /> : <NoSuchPage />;
}

function Registrations(): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const registrations = useRegistrations();
  const [params, setParams] = useSearchParams();
  const filter = params.get('q') ?? '';

  const columns = useMemo(
    () => [
      column.accessor('username', {
        header: t('live.account'),
        cell: ({ getValue }) => (
          <Text span size="sm" fw={600}>
            {getValue()}
          </Text>
        ),
      }),
      column.accessor('extension', {
        header: t('live.extension'),
        cell: ({ row }) => (
          <div className="numbers">
            {row.original.extension}
            {row.original.extension_name && (
              <Text size="sm" c="dimmed">
                {row.original.extension_name}
              </Text>
            )}
          </div>
        ),
      }),
      column.accessor('contact', {
        header: t('live.contact'),
        cell: ({ getValue }) => <span className="cut" style={{ maxWidth: 140 }} title={getValue()}>{getValue()}</span>,
      }),
      column.accessor('source', {
        header: t('live.source'),
        cell: ({ getValue }) => <span className="numbers">{getValue()}</span>,
      }),
      column.accessor('transport', {
        header: t('live.transport'),
        cell: ({ getValue }) => (
          <Badge variant="default" tt="none">
            {getValue()}
          </Badge>
        ),
      }),
      column.accessor('user_agent', { header: t('live.userAgent') }),
      column.accessor('rtt_ms', {
        header: t('live.rtt'),
        cell: ({ getValue }) => {
          const rtt = getValue();
          /* 0: never measured. */
          return <span className="numbers">{rtt === null || rtt <= 0 ? '' : rtt < 1 ? '< 1 ms' : `${Math.round(rtt)} ms`}</span>;
        },
      }),
      column.accessor('registered_at', {
        header: t('live.since'),
        cell: ({ getValue }) => <span className="numbers">{formatTime(getValue(), language)}</span>,
      }),
      column.accessor('expires_at', { header: t('live.expires'), cell: ({ getValue }) => <Remaining until={getValue()} /> }),
    ],
    [t, language],
  );
  const table = useReactTable<Registration>({
    data: useMemo(() => [...(registrations.data ?? [])], [registrations.data]),
    columns,
    state: { globalFilter: filter },
    globalFilterFn: 'includesString',
    getRowId: (registration) => String(registration.account_id),
    getCoreRowModel: getCoreRowModel(),
    getSortedRowModel: getSortedRowModel(),
    getFilteredRowModel: getFilteredRowModel(),
  });

  return (
    <>
      <PageHeader
        title={t('menu.liveRegistrations')}
        description={t('live.registrationsCount', { count: registrations.data?.length ?? 0 })}
        actions={
          <>
            <ConnectionNote />
            <Button variant="default" onClick={() => void registrations.refetch()} loading={registrations.isFetching}>
              {t('common.refresh')}
            </Button>
          </>
        }
      />
      <Stack>
        {registrations.isError && <ErrorNote error={registrations.error} onRetry={() => void registrations.refetch()} />}
        <Group>
          <TextInput
            aria-label={t('common.search')}
            placeholder={t('common.search')}
            leftSection={<IconSearch size={16} aria-hidden />}
            w={320}
            maw="100%"
            value={filter}
            onChange={(event) => setParams(event.currentTarget.value ? { q: event.currentTarget.value } : {}, { replace: true })}
          />
        </Group>
        <DataTable
          table={table}
          caption={t('menu.liveRegistrations')}
          loading={registrations.isPending}
          virtual
          empty={
            filter ? (
              <EmptyState title={t('live.noMatch')} />
            ) : (
              <EmptyState title={t('live.noRegistrations')} text={t('live.noRegistrationsText')} />
            )
          }
        />
      </Stack>
    </>
  );
}

function Remaining({ until }: { until: string }): ReactNode {
  const now = useNow();
  const ms = timeMs(until);
  return <span className="numbers">{ms === null ? '' : formatDuration((ms - now) / 1000)}</span>;
}
