import * as v from 'valibot';
import { check, type Http } from './http';
import { ApiError } from './problem';

export type Level = 'none' | 'list' | 'read' | 'write';
const levels: readonly Level[] = ['none', 'list', 'read', 'write'];

const sessionSchema = v.object({
  username: v.string(),
  domain: v.nullish(v.string(), ''),
  tenant_id: v.nullish(v.number(), 0),
  tenant_name: v.nullish(v.string(), ''),
  role: v.nullish(v.string(), ''),
  language: v.nullish(v.string(), ''),
  csrf: v.string(),
  /** May also act on the node's configuration (single-tenant mode). */
  node_rights: v.nullish(v.boolean(), false),
  must_change_password: v.nullish(v.boolean(), false),
  permissions: v.record(v.string(), v.fallback(v.picklist(['none', 'list', 'read', 'write']), 'none')),
});
export type Session = v.InferOutput<typeof sessionSchema>;

/** The session's level on a permission key is at least `wanted` (BASE-75). */
export function may(session: Session, permission: string, wanted: Level): boolean {
  const level = session.permissions[permission] ?? 'none';
  return levels.indexOf(level) >= levels.indexOf(wanted);
}

const path = '/api/pbx/v2/session';

export class SessionApi {
  private readonly http: Http;
  constructor(http: Http) {
    this.http = http;
  }

  private keep(body: unknown): Session {
    const session = check(sessionSchema, body, path);
    this.http.csrf = session.csrf;
    return session;
  }

  /** The running session; null when there is none. */
  async current(signal?: AbortSignal): Promise<Session | null> {
    try {
      return this.keep((await this.http.request('GET', path, signal ? { signal } : {})).body);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  }

  async login(username: string, password: string): Promise<Session> {
    return this.keep((await this.http.request('POST', path, { json: { username, password } })).body);
  }

  async setLanguage(language: string): Promise<void> {
    await this.http.request('PATCH', path, { json: { language } });
  }

  /** One's own password; other sessions of the user end. */
  async changePassword(current: string, password: string): Promise<void> {
    await this.http.request('PUT', '/api/pbx/v2/me/password', { json: { current, password } });
  }

  async logout(): Promise<void> {
    await this.http.request('DELETE', path);
    this.http.csrf = null;
  }
}
