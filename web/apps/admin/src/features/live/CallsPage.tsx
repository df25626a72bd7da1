import type { Call, CallStateName } from '@aoide/api';
import { ConfirmDialog, DataTable, EmptyState, PageHeader } from '@aoide/ui';
import { ActionIcon, Badge, Button, Group, Stack, Table, Text, Tooltip } from '@mantine/core';
import { IconBell, IconChevronDown, IconChevronRight, IconPhone, IconPhoneOff, IconPlayerPause, IconPlus } from '@tabler/icons-react';
import {
  createColumnHelper, getCoreRowModel, getExpandedRowModel, getSortedRowModel, useReactTable,
} from '@tanstack/react-table';
import { useMemo, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { errorText } from '../../app/errors';
import { formatDuration, formatTime, timeMs } from '../../app/format';
import { notifyDone, notifyError } from '../../app/notify';
import { ErrorNote } from '../../app/states';
import { useNow } from '../../app/useNow';
import { useLanguage } from '../../i18n/i18n';
import { ConnectionNote } from './ConnectionNote';
import { useCalls, useHangup } from './useLive';

const column = createColumnHelper<Call>();
const stateIcons = { new: IconPlus, ringing: IconBell, answered: IconPhone, held: IconPlayerPause } as const;
const stateColors: Readonly<Record<CallStateName, string>> = { new: 'gray', ringing: 'yellow', answered: 'green', held: 'blue' };

export function CallsPage(): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const calls = useCalls();
  const [asked, setAsked] = useState<Call | null>(null);
  const hangup = useHangup();

  const columns = useMemo(
    () => [
      column.display({
        id: 'open',
        header: () => <span className="visually-hidden">{t('live.legs')}</span>,
        cell: ({ row }) => (
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-expanded={row.getIsExpanded()}
            aria-label={t('live.showLegs', { call: callTitle(row.original) })}
            onClick={row.getToggleExpandedHandler()}
          >
            {row.getIsExpanded() ? <IconChevronDown size={16} /> : <IconChevronRight size={16} />}
          </ActionIcon>
        ),
      }),
      column.accessor('state', { header: t('live.state'), cell: ({ getValue }) => <StateBadge state={getValue()} /> }),
      column.accessor('caller', {
        header: t('live.caller'),
        cell: ({ row }) => <Party number={row.original.caller} name={row.original.caller_name} />,
      }),
      column.accessor('called', {
        header: t('live.called'),
        cell: ({ row }) => <Party number={row.original.called} name={row.original.called_name} />,
      }),
      column.accessor('started_at', {
        header: t('live.started'),
        cell: ({ getValue }) => <span className="numbers">{formatTime(getValue(), language)}</span>,
      }),
      column.accessor((call) => timeMs(call.answered_at || call.started_at) ?? 0, {
        id: 'duration',
        header: t('live.duration'),
        cell: ({ row }) => <Elapsed call={row.original} />,
      }),
      column.display({
        id: 'actions',
        header: () => <span className="visually-hidden">{t('common.actions')}</span>,
        cell: ({ row }) => (
          <Tooltip label={t('live.hangup')}>
            <ActionIcon
              color="red"
              variant="light"
              aria-label={t('live.hangupCall', { call: callTitle(row.original) })}
              onClick={() => setAsked(row.original)}
            >
              <IconPhoneOff size={16} />
            </ActionIcon>
          </Tooltip>
        ),
      }),
    ],
    [t, language],
  );
  const table = useReactTable<Call>({
    data: useMemo(() => [...(calls.data ?? [])], [calls.data]),
    columns,
    getRowId: (call) => call.linkedid,
    getCoreRowModel: getCoreRowModel(),
    getSortedRowModel: getSortedRowModel(),
    getExpandedRowModel: getExpandedRowModel(),
    getRowCanExpand: () => true,
  });

  const doHangup = (): void => {
    if (!asked) return;
    hangup.mutate(asked.linkedid, {
      onSuccess: () => notifyDone(t('live.hungUp')),
      onError: (error) => notifyError(errorText(error, t)),
      onSettled: () => setAsked(null),
    });
  };

  return (
    <>
      <PageHeader
        title={t('menu.liveCalls')}
        description={t('live.callsCount', { count: calls.data?.length ?? 0 })}
        actions={
          <>
            <ConnectionNote />
            <Button variant="default" onClick={() => void calls.refetch()} loading={calls.isFetching}>
              {t('common.refresh')}
            </Button>
          </>
        }
      />
      <Stack>
        {calls.isError && <ErrorNote error={calls.error} onRetry={() => void calls.refetch()} />}
        <DataTable
          table={table}
          caption={t('menu.liveCalls')}
          loading={calls.isPending}
          virtual
          empty={<EmptyState title={t('live.noCalls')} text={t('live.noCallsText')} />}
          detail={(row) => <Legs call={row.original} />}
        />
      </Stack>
      <ConfirmDialog
        opened={asked !== null}
        title={t('live.hangup')}
        confirm={t('live.hangup')}
        cancel={t('common.cancel')}
        danger
        busy={hangup.isPending}
        onConfirm={doHangup}
        onClose={() => setAsked(null)}
      >
        <Text>{asked && t('live.hangupQuestion', { call: callTitle(asked) })}</Text>
      </ConfirmDialog>
    </>
  );
}

function callTitle(call: Call): string {
  return `${call.caller} → ${call.called}`;
}

function StateBadge({ state }: { state: CallStateName }): ReactNode {
  const { t } = useTranslation();
  const Icon = stateIcons[state];
  return (
    <Badge variant="light" color={stateColors[state]} tt="none" leftSection={<Icon size={12} aria-hidden />}>
      {t(`live.states.${state}`)}
    </Badge>
  );
}

function Party({ number, name }: { number: string; name: string }): ReactNode {
  return (
    <>
      <Text span size="sm" fw={600}>
        {number || '–'}
      </Text>
      {name && name !== number && (
        <Text span size="sm" c="dimmed" ml="xs">
          {name}
        </Text>
      )}
    </>
  );
}

function Elapsed({ call }: { call: Call }): ReactNode {
  const now = useNow();
  const since = timeMs(call.answered_at || call.started_at);
  return <span className="numbers">{since === null ? '' : formatDuration((now - since) / 1000)}</span>;
}

function Legs({ call }: { call: Call }): ReactNode {
  const { t } = useTranslation();
  if (call.legs.length === 0) return <Text size="sm">{t('live.noLegs')}</Text>;
  return (
    <Table.ScrollContainer minWidth={720}>
      <Table withRowBorders={false} verticalSpacing={4}>
        <caption className="visually-hidden">{t('live.legs')}</caption>
        <Table.Thead>
          <Table.Tr>
            {(['direction', 'account', 'extension', 'state', 'codec', 'remote', 'callid'] as const).map((key) => (
              <Table.Th key={key} scope="col">
                {t(`live.leg.${key}`)}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {call.legs.map((leg) => (
            <Table.Tr key={leg.id}>
              <Table.Td>
                <Group gap={4}>{leg.direction === 'in' ? t('live.in') : leg.direction === 'out' ? t('live.out') : ''}</Group>
              </Table.Td>
              <Table.Td>{leg.account}</Table.Td>
              <Table.Td>{leg.extension}</Table.Td>
              <Table.Td>{t(`live.legStates.${leg.state}`, { defaultValue: leg.state })}</Table.Td>
              <Table.Td>{leg.codec}</Table.Td>
              <Table.Td className="numbers">{leg.remote}</Table.Td>
              <Table.Td style={{ wordBreak: 'break-all' }}>{leg.callid}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
