import * as v from 'valibot';
import { check, type Http } from './http';
import type { Json, JsonObject } from './json';
import { ApiError } from './problem';
import { schemaDocument, type Entity, type SchemaDocument } from './schema';

/** An entity object in REST form; its members are what its schema says. */
export type Row = JsonObject;

export interface Page<T> {
  readonly items: readonly T[];
  readonly page: number;
  readonly pageSize: number;
  readonly total: number;
}

export interface ListQuery {
  readonly page?: number;
  readonly pageSize?: number;
  readonly sort?: string;
  readonly q?: string;
  readonly fields?: string;
  /** Filters as the server reads them: `{"status": "OK"}`, `{"id[in]": "1,2"}` (D-228). */
  readonly filters?: Readonly<Record<string, string>>;
}

export interface Loaded {
  readonly row: Row;
  /** Revision to send back, so that two editors do not overwrite each other (D-229). */
  readonly etag: string | null;
}

export interface ImportError {
  readonly row: number;
  readonly field: string;
  readonly code: string;
  readonly message: string;
}

const importReport = v.object({
  rows: v.nullish(v.number(), 0),
  created: v.nullish(v.number(), 0),
  updated: v.nullish(v.number(), 0),
  failed: v.nullish(v.number(), 0),
  errors: v.nullish(
    v.array(
      v.object({
        row: v.nullish(v.number(), 0),
        field: v.nullish(v.string(), ''),
        code: v.nullish(v.string(), ''),
        message: v.nullish(v.string(), ''),
      }),
    ),
    [],
  ),
});
export type ImportReport = v.InferOutput<typeof importReport>;
export type ImportMode = 'preview' | 'all' | 'valid';

const rowSchema = v.custom<Row>((input) => typeof input === 'object' && input !== null && !Array.isArray(input));

export function pageSchema<S extends v.GenericSchema>(
  item: S,
): v.GenericSchema<unknown, Page<v.InferOutput<S>>> {
  return v.pipe(
    v.object({
      items: v.array(item),
      page: v.nullish(v.number(), 1),
      page_size: v.nullish(v.number(), 0),
      total: v.number(),
    }),
    v.transform(({ items, page, page_size, total }) => ({ items, page, pageSize: page_size, total })),
  );
}

/** The id of an object; every configurable object has one. */
export function rowId(row: Row): number {
  const id = row['id'];
  return typeof id === 'number' ? id : 0;
}

export function rowOverrides(row: Row): readonly string[] {
  const list = row['overrides'];
  return Array.isArray(list) ? list.filter((name): name is string => typeof name === 'string') : [];
}

export function rowTitle(entity: Entity, row: Row): string {
  const value = row[entity.titleField ?? entity.naturalKey ?? 'id'];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : `#${rowId(row)}`;
}

/** A password that the server made up; only the answer to the write has it in clear. */
export interface MadeSecret {
  /** "password" of the object itself; "account_password", "user_password" of what was made with it. */
  readonly name: string;
  readonly value: string;
}

export interface Created {
  readonly id: number;
  readonly secrets: readonly MadeSecret[];
}

/** The passwords in an answer that nobody sent. */
export function madeSecrets(sent: JsonObject, answer: Row): MadeSecret[] {
  return Object.entries(answer).flatMap(([name, value]) =>
    /(^|_)password$/.test(name) && typeof value === 'string' && value !== '' && value !== sent[name] ? [{ name, value }] : [],
  );
}

/*
 * Writes are saved only; "apply" is the user's own step in the bar of pending changes (BASE-80), so
 * the automatic apply that programs get (D-052) is switched off.
 */
const saveOnly = { apply: false };

export class EntityApi {
  private readonly http: Http;
  constructor(http: Http) {
    this.http = http;
  }

  schema(signal?: AbortSignal): Promise<SchemaDocument> {
    return this.http.get(schemaDocument, '/api/pbx/v2/schema', signal ? { signal } : {});
  }

  private base(entity: Entity): string {
    return `/api/pbx/v2/${entity.rest}`;
  }

  private item(entity: Entity, id: number): string {
    return entity.singleton ? this.base(entity) : `${this.base(entity)}/${id}`;
  }

  list(entity: Entity, query: ListQuery, signal?: AbortSignal): Promise<Page<Row>> {
    return this.http.get(pageSchema(rowSchema), this.base(entity), {
      query: {
        ...query.filters,
        page: query.page,
        page_size: query.pageSize,
        sort: query.sort,
        q: query.q,
        fields: query.fields,
      },
      ...(signal ? { signal } : {}),
    });
  }

  /** One object; of a singleton the id is ignored. */
  async load(entity: Entity, id: number, signal?: AbortSignal): Promise<Loaded> {
    const path = this.item(entity, id);
    const { body, etag } = await this.http.request('GET', path, signal ? { signal } : {});
    return { row: check(rowSchema, body, path), etag };
  }

  async create(entity: Entity, body: JsonObject): Promise<Created> {
    const answer = await this.http.request('POST', this.base(entity), { json: body, query: saveOnly });
    const row = check(rowSchema, answer.body, this.base(entity));
    return { id: rowId(row), secrets: madeSecrets(body, row) };
  }

  /** An extension may get an account or a user later too, with a password that the server makes up. */
  async change(entity: Entity, id: number, body: JsonObject, etag: string | null): Promise<Created> {
    const path = this.item(entity, id);
    const answer = await this.http.request('PATCH', path, { json: body, ifMatch: etag, query: saveOnly });
    return { id, secrets: madeSecrets(body, check(rowSchema, answer.body, path)) };
  }

  async remove(entity: Entity, id: number): Promise<void> {
    await this.http.request('DELETE', this.item(entity, id), { query: saveOnly });
  }

  /** The clear text of a secret field; the server writes this into its audit log (D-364). */
  async reveal(entity: Entity, id: number, field: string): Promise<string> {
    const path = this.item(entity, id);
    const { body } = await this.http.request('GET', path, { query: { reveal: true } });
    const value: Json | undefined = check(rowSchema, body, path)[field];
    if (typeof value !== 'string') throw new ApiError(-1, 'contract', `${path}: ${field}`);
    return value;
  }

  exportUrl(entity: Entity, query: ListQuery): string {
    const params = new URLSearchParams({ ...query.filters });
    if (query.q) params.set('q', query.q);
    if (query.sort) params.set('sort', query.sort);
    /* What a spreadsheet opens with a click in our countries (D-213); programs get commas. */
    params.set('separator', ';');
    params.set('bom', 'true');
    return `${this.base(entity)}/export.csv?${params.toString()}`;
  }

  async import(entity: Entity, mode: ImportMode, csv: string): Promise<ImportReport> {
    const path = `${this.base(entity)}/import`;
    const { body } = await this.http.request('POST', path, {
      query: { mode, ...saveOnly },
      text: { type: 'text/csv; charset=utf-8', body: csv },
    });
    return check(importReport, body, path);
  }
}

