import type { CdrField } from '@aoide/api';
import { pageSizes } from '@aoide/ui';

/** Columns that can be chosen; the names belong to the numbers and are drawn with them. */
export const chooserFields: readonly CdrField[] = [
  'start_datetime', 'caller', 'called', 'status', 'duration', 'answered_by', 'source_type', 'destination_type',
  'channel_up_datetime', 'answer_datetime', 'end_datetime', 'bill_secs', 'anonymous', 'gateway_name', 'account_code',
  'src_peer_name', 'src_ip_port', 'unique_id',
];
const defaultFields: readonly CdrField[] = [
  'start_datetime', 'caller', 'called', 'status', 'answered_by', 'duration', 'bill_secs',
];

export interface Month {
  readonly year: number;
  readonly month: number;
}

export interface CdrState extends Month {
  readonly page: number;
  readonly pageSize: number;
  readonly q: string;
  readonly columns: readonly CdrField[];
}

const defaultPageSize = 50;

function thisMonth(now: Date): Month {
  return { year: now.getFullYear(), month: now.getMonth() + 1 };
}

export function readCdrState(params: URLSearchParams, now: Date): CdrState {
  const match = /^(\d{4})-(\d\d)$/.exec(params.get('month') ?? '');
  const given = { year: Number(match?.[1]), month: Number(match?.[2]) };
  const isMonth = match !== null && given.month >= 1 && given.month <= 12;
  const page = Number(params.get('page'));
  const size = Number(params.get('size'));
  const wanted = (params.get('cols') ?? '').split(',');
  const columns = chooserFields.filter((name) => wanted.includes(name));
  return {
    ...(isMonth ? given : thisMonth(now)),
    page: Number.isInteger(page) && page > 0 ? page : 1,
    pageSize: pageSizes.includes(size) ? size : defaultPageSize,
    q: params.get('q') ?? '',
    columns: columns.length > 0 ? columns : defaultFields,
  };
}

export function writeCdrState(state: CdrState, now: Date): URLSearchParams {
  const params = new URLSearchParams();
  const current = thisMonth(now);
  if (state.year !== current.year || state.month !== current.month) params.set('month', monthText(state));
  if (state.page > 1) params.set('page', String(state.page));
  if (state.pageSize !== defaultPageSize) params.set('size', String(state.pageSize));
  if (state.q) params.set('q', state.q);
  if (state.columns.join() !== defaultFields.join()) params.set('cols', state.columns.join());
  return params;
}

function monthText({ year, month }: Month): string {
  return `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}`;
}

/** Newest first; a month that the address names is offered even when it is older. */
export function monthsBack(now: Date, count: number, chosen: Month): Month[] {
  const { year, month } = thisMonth(now);
  const months = Array.from({ length: count }, (_, i) => {
    const date = new Date(year, month - 1 - i, 1);
    return { year: date.getFullYear(), month: date.getMonth() + 1 };
  });
  const known = months.some((m) => m.year === chosen.year && m.month === chosen.month);
  return known ? months : [...months, { year: chosen.year, month: chosen.month }];
}

/** PUB-04: the whole month, from the address that other programs read, as spreadsheets open it (D-213). */
export function exportUrl(format: 'summary' | 'detailed', { year, month }: Month): string {
  return `/rest/cdr/${format}/${String(year).padStart(4, '0')}/${String(month).padStart(2, '0')}?separator=%3B&bom=true`;
}
