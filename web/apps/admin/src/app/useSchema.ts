import type { Entity, SchemaDocument } from '@aoide/api';
import { useSuspenseQuery } from '@tanstack/react-query';
import { api } from './api';

/** The schema document; fetched once per session. The shell shows the skeleton meanwhile. */
export function useSchema(): SchemaDocument {
  return useSuspenseQuery({
    queryKey: ['schema'],
    queryFn: ({ signal }) => api.entities.schema(signal),
    staleTime: Infinity,
  }).data;
}

/** By the name in addresses ("extensionTemplate") or in references ("extension_template"). */
export function findEntity(schema: SchemaDocument, name: string | null | undefined): Entity | null {
  return schema.entities.find((e) => e.rest === name || e.name === name) ?? null;
}
