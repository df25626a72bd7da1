import * as v from 'valibot';
import { check, type Http } from './http';

const revisionSchema = v.object({
  saved: v.number(),
  applied: v.number(),
  pending: v.nullish(v.number(), 0),
});
export type Revision = v.InferOutput<typeof revisionSchema>;

const changeSchema = v.object({
  entity: v.string(),
  id: v.nullish(v.number(), 0),
  title: v.nullish(v.string(), ''),
  action: v.string(),
  user: v.nullish(v.string(), ''),
  at: v.nullish(v.union([v.string(), v.number()]), ''),
});
export type Change = v.InferOutput<typeof changeSchema>;

const changesSchema = v.pipe(
  v.union([v.array(changeSchema), v.object({ items: v.array(changeSchema) })]),
  v.transform((body) => (Array.isArray(body) ? body : body.items)),
);

/** Whose configuration: the session's tenant, or the node (SIP settings, tenants). */
export type ConfigLevel = 'tenant' | 'node';

const base = '/api/pbx/v2/configuration';

/** Saved against applied configuration (BASE-80, PLT-108). */
export class ConfigApi {
  private readonly http: Http;
  constructor(http: Http) {
    this.http = http;
  }

  revision(level: ConfigLevel, signal?: AbortSignal): Promise<Revision> {
    return this.http.get(revisionSchema, `${base}/revision`, { query: { level }, ...(signal ? { signal } : {}) });
  }

  async changes(level: ConfigLevel, signal?: AbortSignal): Promise<readonly Change[]> {
    const path = `${base}/change`;
    const { body } = await this.http.request('GET', path, { query: { level }, ...(signal ? { signal } : {}) });
    return check(changesSchema, body, path);
  }

  async apply(level: ConfigLevel): Promise<void> {
    await this.http.request('POST', `${base}/apply`, { query: { level } });
  }

  async discard(level: ConfigLevel): Promise<void> {
    await this.http.request('POST', `${base}/discard`, { query: { level } });
  }
}
