// What the tests of the REST API share: a PBX of the file, users and clients, other bodies than JSON.
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

import { Pbx } from './pbx.js';
import { run } from './proc.js';
import { RestClient, sendHttps, type Reply } from './rest.js';

export const V2 = '/api/pbx/v2';
export type Row = Record<string, unknown> & { id: number };
export type Problem = {
  status: number; code: string; title: string; detail: string;
  errors?: { field: string; code: string; message: string }[];
};

/** One PBX for the test file; without a limit of requests, which a test of its own checks. */
export function onePbx(args: string[] = ['--web-rate', '0']): () => Pbx {
  let pbx: Pbx | undefined;
  beforeAll(async () => {
    pbx = await Pbx.start(args);
  });
  afterAll(async () => {
    await pbx?.stop();
  });
  return () => {
    if (!pbx) throw new Error('the PBX did not start');
    return pbx;
  };
}

export const items = (reply: Reply): Row[] => (reply.json as { items: Row[] }).items;
export const problem = (reply: Reply): Problem => reply.json as Problem;
export const row = (reply: Reply): Row => reply.json as Row;

/** A password that the policy accepts. */
export const PASSWORD = 'Passw0rd-for-Tests';

export function clientOf(pbx: Pbx, username: string, domain = 'default', password = PASSWORD): RestClient {
  return new RestClient(pbx.rest.base, { username, domain, password });
}

export async function roleId(client: RestClient, description: string): Promise<number> {
  const found = items(await client.ok('GET', `${V2}/role`)).find((role) => role['description'] === description);
  if (!found) throw new Error(`no role ${description}`);
  return found.id;
}

/** A user with API and GUI access, and the client that signs as him. */
export async function makeUser(
  pbx: Pbx,
  username: string,
  options: { role?: string; by?: RestClient; domain?: string; fields?: Record<string, unknown> } = {},
): Promise<{ id: number; client: RestClient }> {
  const by = options.by ?? pbx.rest;
  const role = await roleId(by, options.role ?? 'Tenant User');
  const reply = await by.ok('POST', `${V2}/user`, {
    username, password: PASSWORD, role, api_access: true, gui_access: true, ...options.fields,
  });
  return { id: row(reply).id, client: clientOf(pbx, username, options.domain) };
}

/** A tenant and its administrator, who may use the API. */
export async function makeTenant(
  pbx: Pbx,
  domain: string,
  fields: Record<string, unknown> = {},
): Promise<{ id: number; admin: RestClient }> {
  const reply = await pbx.rest.ok('POST', `${V2}/tenant`, { name: domain, domain, password: PASSWORD, ...fields });
  return { id: row(reply).id, admin: clientOf(pbx, 'admin', domain) };
}

/** The node's own administrator, as the multi-tenant mode has him; afterwards no tenant's administrator is one. */
export async function makeMachineUser(pbx: Pbx): Promise<RestClient> {
  const done = await run('sqlite3', ['-cmd', '.timeout 5000', join(pbx.dataDir, 'aoide.db'),
    `INSERT INTO "user" (tenant_id, revision, sort_key, search_key, rest, username, role, gui_access, api_access)
     SELECT 0, 1, 'pbxadmin', 'pbxadmin',
       replace(replace(u.rest, '"username":"admin"', '"username":"pbxadmin"'), '"role":' || u.role, '"role":' || r.id),
       'pbxadmin', r.id, 1, 1
     FROM "user" u, role r WHERE u.username = 'admin' AND u.tenant_id = 1 AND r.kind = 'pbx_admin'`]);
  if (done.code !== 0) throw new Error(done.output);
  const password = (await pbx.ctl('user', 'reset-password', 'pbxadmin')).trim();
  return new RestClient(pbx.rest.base, { username: 'pbxadmin', domain: '', password });
}

/** A browser's session: cookie and token for writing. */
export class Session {
  private constructor(
    readonly base: string,
    readonly cookie: string,
    readonly setCookie: string,
    readonly facts: Record<string, unknown>,
  ) {}

  static async login(base: string, username: string, password: string): Promise<Session> {
    const reply = await sendHttps(`${base}${V2}/session`, 'POST', { body: { username, password } });
    if (reply.status !== 201) throw new Error(`login of ${username}: ${reply.status} ${reply.text}`);
    const setCookie = reply.headers['set-cookie'] ?? '';
    return new Session(base, setCookie.split(';')[0] ?? '', setCookie, reply.json as Record<string, unknown>);
  }

  call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    return sendHttps(this.base + path, method, {
      ...(body === undefined ? {} : { body }),
      headers: { Cookie: this.cookie, 'X-CSRF-Token': String(this.facts['csrf']), ...headers },
    });
  }
}

/** Text of the first element of that name. */
export function xmlText(xml: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
}
