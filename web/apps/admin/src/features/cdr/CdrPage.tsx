import { detailFields, type Cdr, type CdrField } from '@aoide/api';
import { DataTable, EmptyState, PageHeader, Pager } from '@aoide/ui';
import { ActionIcon, Badge, Button, Checkbox, Group, Menu, Popover, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { IconChevronDown, IconChevronRight, IconColumns3, IconDownload, IconSearch } from '@tabler/icons-react';
import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query';
import { createColumnHelper, getCoreRowModel, getExpandedRowModel, useReactTable } from '@tanstack/react-table';
import { useEffect, useMemo, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { useSearchParams } from 'react-router-dom';
import { api } from '../../app/api';
import { errorText } from '../../app/errors';
import { formatNumber, formatTime } from '../../app/format';
import { notifyError } from '../../app/notify';
import { useSession } from '../../app/session';
import { mayOpen } from '../../app/menu';
import { ErrorNote, NoSuchPage } from '../../app/states';
import { useLanguage } from '../../i18n/i18n';
import { chooserFields, exportUrl, monthsBack, readCdrState, writeCdrState, type CdrState } from './cdrState';
import { codeText, statusColor } from './codes';

const column = createColumnHelper<Cdr>();
const typingPauseMs = 300;
const times: readonly string[] = [
  'start_datetime', 'channel_up_datetime', 'answer_datetime', 'end_datetime',
  'detail_enter_datetime', 'detail_enqueue_datetime', 'detail_answer_datetime', 'detail_exit_datetime',
];
const monthsOffered = 24;

/** The register of calls: one row per call (PLT-59), its path on demand (PLT-60). */
export function CdrPage(): ReactNode {
  const session = useSession();
  return mayOpen(session, 'cdr') ? <CdrRegister /> : <NoSuchPage />;
}

function CdrRegister(): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const [params, setParams] = useSearchParams();
  const now = useMemo(() => new Date(), []);
  const state = useMemo(() => readCdrState(params, now), [params, now]);
  const update = (change: Partial<CdrState>): void =>
    setParams(writeCdrState({ ...state, page: 1, ...change }, now), { replace: true });

  const query = useQuery({
    queryKey: ['cdr', state.year, state.month, state.page, state.pageSize, state.q],
    queryFn: ({ signal }) =>
      api.cdr.list(
        { page: state.page, pageSize: state.pageSize, q: state.q, year: state.year, month: state.month },
        signal,
      ),
    placeholderData: keepPreviousData,
  });
  const lastPage = Math.max(1, Math.ceil((query.data?.total ?? 0) / state.pageSize));
  const isBeyond = query.isSuccess && !query.isPlaceholderData && state.page > lastPage;
  useEffect(() => {
    if (isBeyond) setParams(writeCdrState({ ...state, page: lastPage }, now), { replace: true });
  }, [isBeyond, lastPage, state, now, setParams]);

  const columns = useMemo(
    () => [
      column.display({
        id: 'open',
        header: () => <span className="visually-hidden">{t('cdr.path')}</span>,
        cell: ({ row }) => (
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-expanded={row.getIsExpanded()}
            aria-label={t('cdr.showPath', { call: row.original.unique_id })}
            onClick={row.getToggleExpandedHandler()}
          >
            {row.getIsExpanded() ? <IconChevronDown size={16} /> : <IconChevronRight size={16} />}
          </ActionIcon>
        ),
      }),
      ...state.columns.map((name) =>
        column.accessor(name, {
          header: t(`cdr.fields.${name}`),
          cell: ({ row }) => <CallCell name={name} call={row.original} />,
        }),
      ),
    ],
    [t, state.columns],
  );
  const table = useReactTable<Cdr>({
    data: useMemo(() => [...(query.data?.items ?? [])], [query.data]),
    columns,
    enableSorting: false,
    getRowId: (call) => call.unique_id,
    getCoreRowModel: getCoreRowModel(),
    getExpandedRowModel: getExpandedRowModel(),
    getRowCanExpand: () => true,
  });

  return (
    <>
      <PageHeader
        title={t('menu.callLog')}
        description={t('cdr.pbxTime')}
        actions={
          <>
            <Button variant="default" onClick={() => void query.refetch()} loading={query.isFetching}>
              {t('common.refresh')}
            </Button>
            <ExportMenu state={state} />
          </>
        }
      />
      <Stack gap="sm">
        <Group justify="space-between">
          <Group gap="sm">
            <MonthChoice state={state} now={now} onChange={(year, month) => update({ year, month })} />
            <SearchBox value={state.q} onChange={(q) => update({ q })} />
          </Group>
          <ColumnChooser columns={state.columns} onChange={(columns) => update({ columns, page: state.page })} />
        </Group>
        {query.isError && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
        <DataTable
          table={table}
          caption={t('menu.callLog')}
          loading={query.isPending || isBeyond}
          empty={<EmptyState title={state.q ? t('list.noMatch') : t('cdr.empty')} />}
          detail={(row) => <CallPath call={row.original} />}
          onRowClick={(row) => row.toggleExpanded()}
        />
        <Pager
          page={state.page}
          pageSize={state.pageSize}
          total={query.data?.total ?? 0}
          onChange={(page, pageSize) => update({ page, pageSize })}
          texts={{
            size: t('list.pageSize'),
            range: (from, to, all) =>
              t('list.range', {
                from: formatNumber(from, language),
                to: formatNumber(to, language),
                total: formatNumber(all, language),
              }),
            first: t('list.first'),
            previous: t('list.previous'),
            next: t('list.next'),
            last: t('list.last'),
          }}
        />
      </Stack>
    </>
  );
}

function MonthChoice({ state, now, onChange }: {
  state: CdrState;
  now: Date;
  onChange: (year: number, month: number) => void;
}): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const format = new Intl.DateTimeFormat(language === 'it' ? 'it-IT' : 'en-GB', { month: 'long', year: 'numeric' });
  const months = monthsBack(now, monthsOffered, { year: state.year, month: state.month });
  return (
    <Select
      aria-label={t('cdr.month')}
      w={190}
      allowDeselect={false}
      data={months.map(({ year, month }) => ({
        value: `${year}-${month}`,
        label: format.format(new Date(year, month - 1, 1)),
      }))}
      value={`${state.year}-${state.month}`}
      onChange={(value) => {
        const [year, month] = (value ?? '').split('-').map(Number);
        if (year !== undefined && month !== undefined) onChange(year, month);
      }}
    />
  );
}

function SearchBox({ value, onChange }: { value: string; onChange: (value: string) => void }): ReactNode {
  const { t } = useTranslation();
  const [text, setText] = useState(value);
  const send = useDebouncedCallback(onChange, typingPauseMs);
  return (
    <TextInput
      aria-label={t('cdr.search')}
      placeholder={t('cdr.search')}
      leftSection={<IconSearch size={16} aria-hidden />}
      w={280}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        send(event.currentTarget.value);
      }}
    />
  );
}

function ColumnChooser({ columns, onChange }: {
  columns: readonly CdrField[];
  onChange: (columns: CdrField[]) => void;
}): ReactNode {
  const { t } = useTranslation();
  return (
    <Popover position="bottom-end" trapFocus shadow="md">
      <Popover.Target>
        <Button variant="default" leftSection={<IconColumns3 size={16} />}>
          {t('cdr.columns')}
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <Stack gap={6} mah={360} style={{ overflow: 'auto' }} role="group" aria-label={t('cdr.columns')}>
          {chooserFields.map((name) => (
            <Checkbox
              key={name}
              label={t(`cdr.fields.${name}`)}
              checked={columns.includes(name)}
              disabled={columns.length === 1 && columns.includes(name)}
              onChange={(event) =>
                onChange(chooserFields.filter((f) => (f === name ? event.currentTarget.checked : columns.includes(f))))
              }
            />
          ))}
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}

function ExportMenu({ state }: { state: CdrState }): ReactNode {
  const { t } = useTranslation();
  const download = useMutation({
    mutationFn: (format: 'summary' | 'detailed') =>
      downloadCsv(exportUrl(format, state), `cdr-${format}-${state.year}-${state.month}.csv`),
    onError: (error) => notifyError(errorText(error, t)),
  });
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button loading={download.isPending} leftSection={<IconDownload size={16} />}>{t('cdr.export')}</Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t('cdr.exportMonth')}</Menu.Label>
        {(['summary', 'detailed'] as const).map((format) => (
          <Menu.Item
            key={format}
            leftSection={<IconDownload size={16} />}
            onClick={() => download.mutate(format)}
          >
            {t(`cdr.formats.${format}`)}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

/** The format comes from the Accept header (PUB-05), which a plain link cannot set. */
async function downloadCsv(url: string, name: string): Promise<void> {
  const blob = await api.cdr.download(url);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function CallCell({ name, call }: { name: CdrField; call: Cdr }): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const value = call[name];
  switch (name) {
    case 'status':
      return (
        <Badge variant="light" tt="none" color={statusColor(value)}>
          {codeText('status', value, t)}
        </Badge>
      );
    case 'source_type':
    case 'destination_type':
      return codeText('type', value, t);
    case 'anonymous':
      return value === '1' ? t('common.yes') : value === '' ? '' : t('common.no');
    case 'caller':
    case 'called': {
      const spoken = name === 'caller' ? call.caller_name : call.called_name;
      return (
        <>
          <Text span size="sm" fw={600}>
            {value}
          </Text>
          {spoken && spoken !== value && (
            <Text span size="sm" c="dimmed" ml="xs">
              {spoken}
            </Text>
          )}
        </>
      );
    }
    case 'bill_secs':
      return <span className="numbers">{value === '' ? '' : `${formatNumber(Number(value), language)} s`}</span>;
    default:
      return <span className="numbers">{times.includes(name) ? formatTime(value, language) : value}</span>;
  }
}

function CallPath({ call }: { call: Cdr }): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  if (call.details.length === 0) return <Text size="sm">{t('cdr.noPath')}</Text>;
  /* Columns that say nothing about this call would only push the others off the screen. */
  const shown = detailFields.filter((name) => call.details.some((detail) => detail[name] !== '' && detail[name] !== '0'));
  return (
    <Table.ScrollContainer minWidth={600}>
      <Table verticalSpacing={4} withTableBorder>
        <caption className="visually-hidden">{t('cdr.path')}</caption>
        <Table.Thead>
          <Table.Tr>
            {shown.map((name) => (
              <Table.Th key={name} scope="col">
                {t(`cdr.detail.${name}`)}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {call.details.map((detail, i) => (
            <Table.Tr key={i}>
              {shown.map((name) => (
                <Table.Td key={name} className="numbers">
                  {name === 'detail_exit_cause'
                    ? codeText('cause', detail[name], t)
                    : name === 'detail_destination_type'
                      ? codeText('type', detail[name], t)
                      : name === 'detail_anonymous'
                        ? detail[name] === '1'
                          ? t('common.yes')
                          : t('common.no')
                        : times.includes(name)
                          ? formatTime(detail[name], language)
                          : detail[name]}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
