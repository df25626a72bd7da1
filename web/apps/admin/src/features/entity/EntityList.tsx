import { rowId, rowTitle, type Entity, type Field, type Row } from '@aoide/api';
import { DataTable, EmptyState, PageHeader, Pager } from '@aoide/ui';
import { Anchor, Button, Checkbox, Group, Menu, Popover, Select, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { IconColumns3, IconDownload, IconPlus, IconSearch, IconTableImport, IconTrash } from '@tabler/icons-react';
import { createColumnHelper, getCoreRowModel, useReactTable, type RowSelectionState } from '@tanstack/react-table';
import { useEffect, useMemo, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, useNavigate, useSearchParams } from 'react-router-dom';
import { api } from '../../app/api';
import { formatNumber } from '../../app/format';
import { entityPath } from '../../app/menu';
import { useMay } from '../../app/session';
import { ErrorNote } from '../../app/states';
import { labelText, useLanguage } from '../../i18n/i18n';
import { CellValue } from './CellValue';
import { DeleteDialog } from './EntityFormPage';
import { ImportDialog } from './ImportDialog';
import { choiceFields, listableFields, listQuery, readListState, writeListState, type ListState } from './listState';
import { useRows, useTitles } from './useEntityList';

const column = createColumnHelper<Row>();
const typingPauseMs = 300;
const noExtras: ListExtras = {};
const noTitles: ReadonlyMap<number, string> = new Map();

/** What a page adds to the list of its entity. */
export interface ListExtras {
  /** Between the head and the list. */
  readonly above?: ReactNode;
  /** A last column. */
  readonly actions?: (row: Row) => ReactNode;
  /** A cell of its own kind; undefined: as its type says. */
  readonly cell?: (field: Field, row: Row) => ReactNode | undefined;
  /** Objects are made in `above`. */
  readonly noAdd?: boolean;
}

/** The list page of any entity. */
export function EntityList({ entity, extras = noExtras }: { entity: Entity; extras?: ListExtras }): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const navigate = useNavigate();
  const [params, setParams] = useSearchParams();
  const state = useMemo(() => readListState(params, entity), [params, entity]);
  const rows = useRows(entity, state);
  const items = useMemo(() => [...(rows.data?.items ?? [])], [rows.data]);
  const mayWrite = useMay(entity.permission, 'write');
  const mayRead = useMay(entity.permission, 'read');
  const [selection, setSelection] = useState<RowSelectionState>({});
  const [deleting, setDeleting] = useState(false);
  const [importing, setImporting] = useState(false);

  const fields = useMemo(
    () => state.columns.flatMap((name) => listableFields(entity).filter((f) => f.name === name)),
    [state.columns, entity],
  );
  const titles = useTitles(items, fields);
  const plural = labelText(entity.label, language);
  const one = labelText(entity.labelOne, language);
  const total = rows.data?.total ?? 0;

  const update = (change: Partial<ListState>): void => {
    setSelection({});
    setParams(writeListState({ ...state, page: 1, ...change }, entity), { replace: true });
  };
  /* What stood on the last page was deleted, or the address is an old one. */
  const lastPage = Math.max(1, Math.ceil(total / state.pageSize));
  const isBeyond = rows.isSuccess && !rows.isPlaceholderData && state.page > lastPage;
  useEffect(() => {
    if (isBeyond) setParams(writeListState({ ...state, page: lastPage }, entity), { replace: true });
  }, [isBeyond, lastPage, state, entity, setParams]);
  const titleField = entity.titleField ?? entity.naturalKey;

  const columns = useMemo(
    () => [
      ...(mayWrite
        ? [
            column.display({
              id: 'select',
              header: ({ table }) => (
                <Checkbox
                  size="xs"
                  aria-label={t('list.selectAll')}
                  checked={table.getIsAllRowsSelected()}
                  indeterminate={table.getIsSomeRowsSelected()}
                  onChange={table.getToggleAllRowsSelectedHandler()}
                />
              ),
              cell: ({ row }) => (
                <Checkbox
                  size="xs"
                  aria-label={t('list.selectRow', { row: rowTitle(entity, row.original) })}
                  checked={row.getIsSelected()}
                  onChange={row.getToggleSelectedHandler()}
                />
              ),
            }),
          ]
        : []),
      ...fields.map((field) =>
        column.accessor((row) => row[field.name] ?? null, {
          id: field.name,
          header: labelText(field.label, language) || field.name,
          enableSorting: !field.virtual && field.type !== 'ref_list' && field.type !== 'enum_list',
          cell: ({ row, getValue }) => {
            const cell = extras.cell?.(field, row.original) ?? <CellValue field={field} value={getValue()} titles={titles.get(field.ref ?? '') ?? noTitles} />;
            return field.name === titleField && mayRead ? (
              <Anchor component={Link} to={entityPath(entity, rowId(row.original))} size="sm" fw={600}>
                {rowTitle(entity, row.original)}
              </Anchor>
            ) : (
              cell
            );
          },
        }),
      ),
      ...(extras.actions
        ? [
            column.display({
              id: 'actions',
              header: t('list.actions'),
              cell: ({ row }) => (
                /* A click here is for the button, not for the row. */
                // eslint-disable-next-line jsx-a11y/no-static-element-interactions, jsx-a11y/click-events-have-key-events
                <div onClick={(event) => event.stopPropagation()}>{extras.actions?.(row.original)}</div>
              ),
            }),
          ]
        : []),
    ],
    [fields, titles, language, t, mayWrite, mayRead, entity, titleField, extras],
  );

  const table = useReactTable<Row>({
    data: items,
    columns,
    getRowId: (row) => String(rowId(row)),
    getCoreRowModel: getCoreRowModel(),
    manualSorting: true,
    manualPagination: true,
    enableSortingRemoval: true,
    state: {
      sorting: state.sort ? [{ id: state.sort.field, desc: state.sort.desc }] : [],
      rowSelection: selection,
    },
    onRowSelectionChange: setSelection,
    onSortingChange: (next) => {
      const [first] = typeof next === 'function' ? next(state.sort ? [{ id: state.sort.field, desc: state.sort.desc }] : []) : next;
      update({ sort: first ? { field: first.id, desc: first.desc } : null });
    },
  });

  const selected = items
    .filter((row) => selection[String(rowId(row))])
    .map((row) => ({ id: rowId(row), title: `${one} ${rowTitle(entity, row)}` }));
  const isFiltered = state.q !== '' || Object.keys(state.choices).length > 0;

  return (
    <>
      <PageHeader
        title={plural}
        actions={
          <>
            <Menu position="bottom-end">
              <Menu.Target>
                <Button variant="default" leftSection={<IconDownload size={16} />}>
                  {t('list.transfer')}
                </Button>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Item
                  component="a"
                  href={api.entities.exportUrl(entity, listQuery(state))}
                  download={`${entity.rest}.csv`}
                  leftSection={<IconDownload size={16} />}
                >
                  {t('list.export')}
                </Menu.Item>
                {mayWrite && (
                  <Menu.Item leftSection={<IconTableImport size={16} />} onClick={() => setImporting(true)}>
                    {t('list.import')}
                  </Menu.Item>
                )}
              </Menu.Dropdown>
            </Menu>
            {mayWrite && !extras.noAdd && (
              <Button component={Link} to={entityPath(entity, 'new')} leftSection={<IconPlus size={16} />}>
                {t('list.add', { entity: one })}
              </Button>
            )}
          </>
        }
      />
      <Stack gap="sm">
        {extras.above}
        <Group justify="space-between">
          <Group gap="sm">
            <SearchBox key={entity.name} value={state.q} label={t('list.search', { entities: plural })} onChange={(q) => update({ q })} />
            {choiceFields(entity).map((field) => (
              <Select
                key={field.name}
                aria-label={t('list.filterBy', { field: labelText(field.label, language) })}
                placeholder={labelText(field.label, language)}
                w={filterWidth(labelText(field.label, language))}
                clearable
                data={
                  field.type === 'bool'
                    ? [
                        { value: 'true', label: `${labelText(field.label, language)}: ${t('common.yes')}` },
                        { value: 'false', label: `${labelText(field.label, language)}: ${t('common.no')}` },
                      ]
                    : field.values.map((v) => ({ value: v.value, label: labelText(v.label, language) || v.value }))
                }
                value={state.choices[field.name] ?? null}
                onChange={(value) => {
                  const choices = Object.fromEntries(Object.entries(state.choices).filter(([name]) => name !== field.name));
                  update({ choices: value === null ? choices : { ...choices, [field.name]: value } });
                }}
              />
            ))}
          </Group>
          <Group gap="sm">
            {selected.length > 0 && (
              <Button color="red" variant="light" leftSection={<IconTrash size={16} />} onClick={() => setDeleting(true)}>
                {t('list.deleteSelected', { count: selected.length })}
              </Button>
            )}
            <ColumnChooser entity={entity} columns={state.columns} onChange={(next) => update({ columns: next, page: state.page })} />
          </Group>
        </Group>
        {rows.isError && <ErrorNote error={rows.error} onRetry={() => void rows.refetch()} />}
        <DataTable<Row>
          table={table}
          caption={plural}
          loading={rows.isPending || isBeyond}
          {...(mayRead ? { onRowClick: (row) => navigate(entityPath(entity, rowId(row.original))) } : {})}
          empty={
            isFiltered ? (
              <EmptyState
                title={t('list.noMatch')}
                action={
                  <Button variant="default" size="xs" onClick={() => update({ q: '', choices: {} })}>
                    {t('list.clearFilter')}
                  </Button>
                }
              />
            ) : (
              <EmptyState
                title={t('list.empty')}
                {...(mayWrite ? { text: t('list.emptyText', { entity: one }) } : {})}
              />
            )
          }
        />
        <Pager
          page={state.page}
          pageSize={state.pageSize}
          total={total}
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
      <DeleteDialog
        entity={entity}
        rows={deleting ? selected : []}
        onClose={() => setDeleting(false)}
        onDone={() => setSelection({})}
      />
      {importing && <ImportDialog entity={entity} onClose={() => setImporting(false)} />}
    </>
  );
}

/* The name of a filter is all that says what it is for. */
function filterWidth(label: string): string {
  return `calc(${Math.max(12, label.length + 1)}ch + 3rem)`;
}

function SearchBox({ value, label, onChange }: { value: string; label: string; onChange: (value: string) => void }): ReactNode {
  const [text, setText] = useState(value);
  const send = useDebouncedCallback(onChange, typingPauseMs);
  /* "Clear the filter" and the browser's back button change the address, not this box. */
  useEffect(() => setText(value), [value]);
  return (
    <TextInput
      aria-label={label}
      placeholder={label}
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

function ColumnChooser({ entity, columns, onChange }: {
  entity: Entity;
  columns: readonly string[];
  onChange: (columns: string[]) => void;
}): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const all = listableFields(entity);
  return (
    <Popover position="bottom-end" trapFocus shadow="md">
      <Popover.Target>
        <Button variant="default" leftSection={<IconColumns3 size={16} />}>
          {t('list.columns')}
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <Text size="sm" fw={600} mb="xs">
          {t('list.columnsTitle')}
        </Text>
        <Stack gap={6} mah={360} style={{ overflow: 'auto' }} role="group" aria-label={t('list.columnsTitle')}>
          {all.map((field) => (
            <Checkbox
              key={field.name}
              size="sm"
              label={labelText(field.label, language) || field.name}
              checked={columns.includes(field.name)}
              disabled={columns.length === 1 && columns.includes(field.name)}
              onChange={(event) =>
                onChange(
                  all
                    .map((f) => f.name)
                    .filter((name) => (name === field.name ? event.currentTarget.checked : columns.includes(name))),
                )
              }
            />
          ))}
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}
