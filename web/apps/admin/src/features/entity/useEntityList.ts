import { rowId, type Entity, type Field, type Page, type Row } from '@aoide/api';
import { keepPreviousData, useQueries, useQuery, type UseQueryResult } from '@tanstack/react-query';
import { api } from '../../app/api';
import { useSession } from '../../app/session';
import { entityKey } from '../../app/useEvents';
import { findEntity, useSchema } from '../../app/useSchema';
import { may } from '@aoide/api';
import { listQuery, type ListState } from './listState';
import { choiceLabel } from './refFields';

export function useRows(entity: Entity, state: ListState): UseQueryResult<Page<Row>> {
  const query = listQuery(state);
  return useQuery({
    queryKey: [...entityKey(entity.name), 'list', query],
    queryFn: ({ signal }) => api.entities.list(entity, query, signal),
    placeholderData: keepPreviousData,
  });
}

function idsIn(rows: readonly Row[], field: Field): number[] {
  const ids = new Set<number>();
  for (const row of rows) {
    const value = row[field.name];
    for (const id of Array.isArray(value) ? value : [value]) if (typeof id === 'number') ids.add(id);
  }
  return [...ids].sort((a, b) => a - b);
}

export type TitlesByEntity = ReadonlyMap<string, ReadonlyMap<number, string>>;

/** Titles of what the shown rows refer to: one request per referenced entity, not one per row. */
export function useTitles(rows: readonly Row[], fields: readonly Field[]): TitlesByEntity {
  const schema = useSchema();
  const session = useSession();
  const wanted = new Map<string, { entity: Entity; ids: Set<number> }>();
  for (const field of fields) {
    const target = field.type === 'ref' || field.type === 'ref_list' ? findEntity(schema, field.ref) : null;
    if (!target || !may(session, target.permission, 'list')) continue;
    const entry = wanted.get(target.name) ?? { entity: target, ids: new Set<number>() };
    idsIn(rows, field).forEach((id) => entry.ids.add(id));
    if (entry.ids.size > 0) wanted.set(target.name, entry);
  }
  const list = [...wanted.values()];
  const results = useQueries({
    queries: list.map(({ entity, ids }) => {
      const text = [...ids].sort((a, b) => a - b).join(',');
      return {
        queryKey: [...entityKey(entity.name), 'titles', text],
        queryFn: ({ signal }: { signal: AbortSignal }) =>
          api.entities.list(entity, { page: 1, pageSize: 1000, filters: { 'id[in]': text } }, signal),
        placeholderData: keepPreviousData,
      };
    }),
  });
  return new Map(
    list.map(({ entity }, i) => [
      entity.name,
      new Map((results[i]?.data?.items ?? []).map((row) => [rowId(row), choiceLabel(entity, row)])),
    ]),
  );
}
