import type { Entity, Field, ListQuery } from '@aoide/api';
import { pageSizes } from '@aoide/ui';

/** What the address of a list page says; everything a reload or a bookmark must keep. */
export interface ListState {
  readonly page: number;
  readonly pageSize: number;
  readonly sort: { readonly field: string; readonly desc: boolean } | null;
  readonly q: string;
  readonly columns: readonly string[];
  /** Exact choices: field → value (D-348). */
  readonly choices: Readonly<Record<string, string>>;
}

const defaultPageSize = 50;
const choicePrefix = 'f.';
const notInLists: readonly Field['type'][] = ['secret', 'verifier', 'object', 'list'];

export function listableFields(entity: Entity): readonly Field[] {
  return entity.fields.filter((f) => !notInLists.includes(f.type) && !(f.virtual && f.type !== 'ref' && !f.readonly));
}

export function defaultColumns(entity: Entity): string[] {
  const listed = listableFields(entity).filter((f) => f.listed);
  return (listed.length > 0 ? listed : listableFields(entity).slice(0, 4)).map((f) => f.name);
}

/** Fields that a list is filtered by with a choice. */
export function choiceFields(entity: Entity): readonly Field[] {
  return entity.fields.filter((f) => f.listed && !f.virtual && (f.type === 'bool' || f.type === 'enum'));
}

export function readListState(params: URLSearchParams, entity: Entity): ListState {
  const names = new Set(listableFields(entity).map((f) => f.name));
  const page = Number(params.get('page'));
  const size = Number(params.get('size'));
  const sort = params.get('sort') ?? '';
  const columns = (params.get('cols') ?? '').split(',').filter((name) => names.has(name));
  const sortField = sort.replace(/^-/, '');
  const choices: Record<string, string> = {};
  for (const field of choiceFields(entity)) {
    const value = params.get(choicePrefix + field.name);
    if (value) choices[field.name] = value;
  }
  return {
    page: Number.isInteger(page) && page > 0 ? page : 1,
    pageSize: pageSizes.includes(size) ? size : defaultPageSize,
    sort: names.has(sortField) ? { field: sortField, desc: sort.startsWith('-') } : null,
    q: params.get('q') ?? '',
    columns: columns.length > 0 ? columns : defaultColumns(entity),
    choices,
  };
}

export function writeListState(state: ListState, entity: Entity): URLSearchParams {
  const params = new URLSearchParams();
  if (state.page > 1) params.set('page', String(state.page));
  if (state.pageSize !== defaultPageSize) params.set('size', String(state.pageSize));
  if (state.sort) params.set('sort', (state.sort.desc ? '-' : '') + state.sort.field);
  if (state.q) params.set('q', state.q);
  if (state.columns.join() !== defaultColumns(entity).join()) params.set('cols', state.columns.join());
  for (const [name, value] of Object.entries(state.choices)) params.set(choicePrefix + name, value);
  return params;
}

export function listQuery(state: ListState): ListQuery {
  return {
    page: state.page,
    pageSize: state.pageSize,
    q: state.q,
    ...(state.sort ? { sort: (state.sort.desc ? '-' : '') + state.sort.field } : {}),
    filters: state.choices,
  };
}
