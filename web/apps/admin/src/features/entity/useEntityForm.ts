import { ApiError, rowId, rowTitle, type Created, type Entity, type Json, type MadeSecret, type Row } from '@aoide/api';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { api } from '../../app/api';
import { changesKey, entityKey } from '../../app/useEvents';
import { findEntity, useSchema } from '../../app/useSchema';
import {
  changedFields, createBody, formOf, missingFields, newForm, patchBody, problemsByPath, withOverride, withValue,
  type FormState,
} from './formState';

const noProblems: ReadonlyMap<string, string> = new Map();
const keepFreshMs = 0;

export interface EntityForm {
  readonly isLoading: boolean;
  readonly loadError: Error | null;
  readonly retry: () => void;
  readonly row: Row | null;
  readonly title: string | null;
  readonly state: FormState | null;
  readonly template: Row | null;
  readonly isDirty: boolean;
  readonly isSaving: boolean;
  readonly saveError: Error | null;
  readonly problems: ReadonlyMap<string, string>;
  readonly set: (name: string, value: Json) => void;
  readonly setOverride: (name: string, on: boolean) => void;
  readonly reset: () => void;
  /** Calls back with the object's id and what the server made up, or with the first field that has a problem. */
  readonly save: (done: { saved: (id: number, secrets: readonly MadeSecret[]) => void; refused: (path: string | null) => void }) => void;
}

/** Loads, edits and saves one object of any entity. `id` null: a new one; of a singleton 0. */
export function useEntityForm(entity: Entity, id: number | null, requiredText: string): EntityForm {
  const schema = useSchema();
  const client = useQueryClient();
  const [edited, setEdited] = useState<FormState | null>(null);
  const [missing, setMissing] = useState<ReadonlyMap<string, string>>(noProblems);

  /* Always the newest: an edit that starts from an old copy ends in a conflict. */
  const object = useQuery({
    queryKey: [...entityKey(entity.name), id],
    queryFn: ({ signal }) => api.entities.load(entity, id ?? 0, signal),
    enabled: id !== null,
    staleTime: keepFreshMs,
    refetchOnReconnect: false,
  });

  const defaults = useDefaults(entity, id === null);
  const initial = useMemo(() => {
    if (id !== null) return object.data ? formOf(entity, object.data.row) : null;
    if (!defaults) return null;
    const fresh = newForm(entity);
    return { ...fresh, values: { ...fresh.values, ...defaults } };
  }, [entity, id, object.data, defaults]);

  const state = edited ?? initial;
  const template = useTemplate(entity, state);
  const isDirty = edited !== null && initial !== null && changedFields(entity, initial, edited).length > 0;

  useEffect(() => {
    setEdited(null);
    setMissing(noProblems);
  }, [entity, id]);

  const write = useMutation({
    mutationFn: async (form: FormState): Promise<Created> => {
      if (id === null) return api.entities.create(entity, createBody(entity, form));
      if (!initial) return { id, secrets: [] };
      return api.entities.change(entity, id, patchBody(entity, initial, form), object.data?.etag ?? null);
    },
  });

  const serverProblems = useMemo(
    () => (write.error instanceof ApiError ? problemsByPath(write.error.errors) : noProblems),
    [write.error],
  );
  const problems = missing.size > 0 ? missing : serverProblems;

  /* Both stay the same functions while the form is open, so that a keystroke redraws one field. */
  const latest = useRef({ initial, template });
  useEffect(() => {
    latest.current = { initial, template };
  });
  const set = useCallback((name: string, value: Json): void => {
    setEdited((old) => {
      const base = old ?? latest.current.initial;
      return base && withValue(base, name, value);
    });
  }, []);
  const setOverride = useCallback(
    (name: string, on: boolean): void => {
      const target = entity.fields.find((f) => f.name === name);
      setEdited((old) => {
        const base = old ?? latest.current.initial;
        return base && target ? withOverride(base, target, on, latest.current.template) : base;
      });
    },
    [entity],
  );

  return {
    isLoading: state === null && object.error === null,
    loadError: object.error,
    retry: () => void object.refetch(),
    row: object.data?.row ?? null,
    title: object.data ? rowTitle(entity, object.data.row) : null,
    state,
    template,
    isDirty,
    isSaving: write.isPending,
    saveError: write.error,
    problems,
    set,
    setOverride,
    reset: () => {
      setEdited(null);
      setMissing(noProblems);
      write.reset();
    },
    save: ({ saved, refused }) => {
      if (!state) return;
      const empty = missingFields(entity, state, id === null);
      setMissing(new Map(empty.map((name) => [name, requiredText])));
      if (empty.length > 0) {
        refused(empty[0] ?? null);
        return;
      }
      write.mutate(state, {
        onSuccess: ({ id: newId, secrets }) => {
          void client.invalidateQueries({ queryKey: changesKey });
          /* Objects that show this one's values through a template changed with it. */
          for (const other of schema.entities)
            if (other.fields.some((f) => f.name === other.templateField && f.ref === entity.name))
              void client.invalidateQueries({ queryKey: entityKey(other.name) });
          /* The form goes on with what the server has now, not with what was loaded before. */
          void client.invalidateQueries({ queryKey: entityKey(entity.name) }).then(() => {
            setEdited(null);
            saved(newId, secrets);
          });
        },
        onError: (error) => {
          const paths = error instanceof ApiError ? [...problemsByPath(error.errors).keys()] : [];
          refused(firstInForm(entity, paths));
        },
      });
    },
  };
}

function firstInForm(entity: Entity, paths: readonly string[]): string | null {
  for (const field of entity.fields) {
    const path = paths.find((p) => p === field.name || p.startsWith(`${field.name}.`));
    if (path !== undefined) return path;
  }
  return null;
}

/** The template that inherited values come from; it changes when another one is chosen in the form. */
function useTemplate(entity: Entity, state: FormState | null): Row | null {
  const schema = useSchema();
  const field = entity.fields.find((f) => f.name === entity.templateField);
  const target = findEntity(schema, field?.ref);
  const id = field && state ? state.values[field.name] : null;
  const wanted = typeof id === 'number' ? id : null;
  const query = useQuery({
    queryKey: [...entityKey(target?.name ?? ''), wanted],
    queryFn: ({ signal }) => (target && wanted !== null ? api.entities.load(target, wanted, signal) : null),
    enabled: target !== null && wanted !== null,
    retry: false,
  });
  return query.data?.row ?? null;
}

/** References that a new object starts with: "@Default" names them by title; a template is the oldest one. */
function useDefaults(entity: Entity, enabled: boolean): Record<string, Json> | null {
  const schema = useSchema();
  const wanted = entity.fields.filter(
    (f) =>
      f.type === 'ref' &&
      (f.name === entity.templateField || (typeof f.default === 'string' && f.default.startsWith('@'))),
  );
  const query = useQuery({
    queryKey: ['defaults', entity.name],
    enabled: enabled && wanted.length > 0,
    retry: false,
    queryFn: async ({ signal }) => {
      const found: Record<string, Json> = {};
      for (const field of wanted) {
        const target = findEntity(schema, field.ref);
        if (!target) continue;
        const title = typeof field.default === 'string' ? field.default.replace(/^@/, '') : 'Default';
        const page = await api.entities.list(target, { page: 1, pageSize: 50, sort: 'id' }, signal);
        const row = page.items.find((r) => rowTitle(target, r) === title) ?? page.items[0];
        if (row) found[field.name] = rowId(row);
      }
      return found;
    },
  });
  if (wanted.length === 0 || query.isError) return noDefaults;
  return query.data ?? null;
}

const noDefaults: Record<string, Json> = {};
