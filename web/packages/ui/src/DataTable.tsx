import { Skeleton, Table, UnstyledButton } from '@mantine/core';
import { IconArrowDown, IconArrowUp, IconArrowsSort } from '@tabler/icons-react';
import { flexRender, type Header, type Row, type Table as TableModel } from '@tanstack/react-table';
import { useVirtualizer } from '@tanstack/react-virtual';
import { Fragment, useRef, type ReactNode } from 'react';
import './ui.css';

export interface DataTableProps<T> {
  readonly table: TableModel<T>;
  /** What the table shows; read out, not drawn. */
  readonly caption: string;
  /** Shown instead of rows when there are none. */
  readonly empty: ReactNode;
  readonly loading?: boolean;
  /** Rows that are drawn only while visible; for lists that are not paged by the server. */
  readonly virtual?: boolean;
  readonly detail?: (row: Row<T>) => ReactNode;
  readonly onRowClick?: (row: Row<T>) => void;
}

const rowHeightPx = 41;
const virtualFrom = 100;

/** Draws a TanStack table: sortable heads, skeleton while loading, optional detail rows. */
export function DataTable<T>(props: DataTableProps<T>): ReactNode {
  const { table, caption, empty, loading, virtual, detail, onRowClick } = props;
  const frame = useRef<HTMLDivElement>(null);
  const rows = table.getRowModel().rows;
  const isVirtual = virtual === true && rows.length > virtualFrom;
  const virtualizer = useVirtualizer({
    count: isVirtual ? rows.length : 0,
    getScrollElement: () => frame.current,
    estimateSize: () => rowHeightPx,
    overscan: 12,
  });
  const seen = virtualizer.getVirtualItems();
  const before = isVirtual ? (seen[0]?.start ?? 0) : 0;
  const after = isVirtual ? virtualizer.getTotalSize() - (seen[seen.length - 1]?.end ?? 0) : 0;
  const drawn = isVirtual ? seen.flatMap((item) => rows[item.index] ?? []) : rows;
  const columns = table.getVisibleLeafColumns();

  return (
    /* A region that scrolls must be reachable by keyboard. */
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div ref={frame} className="ui-table-frame" data-virtual={isVirtual} tabIndex={0} role="region" aria-label={caption}>
      <Table striped={!isVirtual} highlightOnHover stickyHeader verticalSpacing="xs" aria-rowcount={rows.length}>
        <caption className="ui-hidden">{caption}</caption>
        <Table.Thead>
          {table.getHeaderGroups().map((group) => (
            <Table.Tr key={group.id}>
              {group.headers.map((header) => (
                <HeadCell key={header.id} header={header} />
              ))}
            </Table.Tr>
          ))}
        </Table.Thead>
        <Table.Tbody>
          {loading && <SkeletonRows columns={columns.length} />}
          {!loading && rows.length === 0 && (
            <Table.Tr>
              <Table.Td colSpan={columns.length}>
                <div className="ui-seen">{empty}</div>
              </Table.Td>
            </Table.Tr>
          )}
          {!loading && before > 0 && <Spacer height={before} columns={columns.length} />}
          {!loading &&
            drawn.map((row) => (
              <Fragment key={row.id}>
                <Table.Tr
                  data-clickable={onRowClick !== undefined}
                  {...(row.getIsSelected() ? { 'aria-selected': true } : {})}
                  onClick={(event) => {
                    /* Links, buttons and boxes inside the row do their own work. */
                    if (event.target instanceof Element && event.target.closest('a,button,input,label')) return;
                    onRowClick?.(row);
                  }}
                >
                  {row.getVisibleCells().map((cell) => (
                    <Table.Td key={cell.id}>{flexRender(cell.column.columnDef.cell, cell.getContext())}</Table.Td>
                  ))}
                </Table.Tr>
                {detail && row.getIsExpanded() && (
                  <Table.Tr>
                    <Table.Td colSpan={columns.length}>
                      <div className="ui-seen">{detail(row)}</div>
                    </Table.Td>
                  </Table.Tr>
                )}
              </Fragment>
            ))}
          {!loading && after > 0 && <Spacer height={after} columns={columns.length} />}
        </Table.Tbody>
      </Table>
    </div>
  );
}

function HeadCell<T>({ header }: { header: Header<T, unknown> }): ReactNode {
  const { column } = header;
  const sorted = column.getIsSorted();
  const text = flexRender(column.columnDef.header, header.getContext());
  const sortProps = column.getCanSort()
    ? { 'aria-sort': sorted === 'asc' ? ('ascending' as const) : sorted === 'desc' ? ('descending' as const) : ('none' as const) }
    : {};
  const SortIcon = sorted === 'asc' ? IconArrowUp : sorted === 'desc' ? IconArrowDown : IconArrowsSort;
  return (
    <Table.Th {...sortProps} scope="col">
      {column.getCanSort() ? (
        <UnstyledButton className="ui-sort" data-sorted={sorted !== false} onClick={column.getToggleSortingHandler()}>
          <span>{text}</span>
          <SortIcon size={14} aria-hidden />
        </UnstyledButton>
      ) : (
        text
      )}
    </Table.Th>
  );
}

function Spacer({ height, columns }: { height: number; columns: number }): ReactNode {
  return (
    <tr aria-hidden>
      <td colSpan={columns} style={{ height, padding: 0 }} />
    </tr>
  );
}

function SkeletonRows({ columns }: { columns: number }): ReactNode {
  return Array.from({ length: 6 }, (_, row) => (
    <Table.Tr key={row} aria-hidden>
      {Array.from({ length: columns }, (_, column) => (
        <Table.Td key={column}>
          <Skeleton h={14} w={column === 0 ? 20 : `${45 + ((row * 7 + column * 13) % 45)}%`} />
        </Table.Td>
      ))}
    </Table.Tr>
  ));
}
