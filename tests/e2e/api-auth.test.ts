// Signing requests, representations and refusals of the REST API (specification of the API, sections 1 and 2).
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

import {
  clientOf, items, makeMachineUser, makeTenant, makeUser, onePbx, PASSWORD, problem, roleId, row, V2, xmlText,
} from './lib/api.js';
import { Pbx } from './lib/pbx.js';
import { run } from './lib/proc.js';
import { fetchSalt, sendHttps, xAuthenticate, type Reply } from './lib/rest.js';

const pbx = onePbx();
const repo = fileURLToPath(new URL('../../', import.meta.url));

/** A request with a header of the test's own. */
function signed(header: string, path = '/rest/extension', method = 'GET', name = 'X-authenticate'): Promise<Reply> {
  return sendHttps(pbx().rest.base + path, method, { headers: { [name]: header } });
}

const salts = new Map<string, string>();

async function salt(domain = 'default'): Promise<string> {
  const known = salts.get(domain) ?? (await fetchSalt(pbx().rest.base, domain));
  salts.set(domain, known);
  return known;
}

describe('the salt', () => {
  test('[API-03] [PUB-01] anybody gets the salt of a tenant in JSON, XML and text; without a usable Accept in XML', async () => {
    const url = `${pbx().rest.base}/rest/salt/default`;
    const json = await sendHttps(url, 'GET');
    expect(json.status).toBe(200);
    expect(json.headers['content-type']).toContain('application/json');
    const value = (json.json as { salt: string }).salt;
    expect(value).toMatch(/^[0-9a-f]{32}$/);
    expect(Object.keys(json.json as object)).toEqual(['salt']);
    for (const accept of ['application/xml', '*/*', '']) {
      const xml = await sendHttps(url, 'GET', { accept });
      expect(xml.headers['content-type']).toContain('application/xml');
      expect(xmlText(xml.text, 'salt')).toBe(value);
    }
    const text = await sendHttps(url, 'GET', { accept: 'text/plain' });
    expect(text.text.trim()).toBe(value);
    expect(await salt('pbxAdmin')).toMatch(/^[0-9a-f]{32}$/);
    expect(await salt('pbxAdmin')).not.toBe(value);
  });

  test('[API-03] the salt does not tell which tenants exist: a strange domain has a steady one too', async () => {
    const first = await salt('no-such-domain');
    expect(first).toMatch(/^[0-9a-f]{32}$/);
    expect(await fetchSalt(pbx().rest.base, 'no-such-domain')).toBe(first);
    expect(await salt('another-one')).not.toBe(first);
  });
});

describe('the signed header', () => {
  test('[API-01] [API-02] [API-04] [API-05] a fresh header opens both families over HTTPS', async () => {
    for (const path of ['/rest/extension', `${V2}/extension`]) {
      expect((await pbx().rest.call('GET', path)).status).toBe(200);
    }
    expect(pbx().rest.base).toMatch(/^https:/);
  });

  test('[API-07] [PUB-02] the vectors of the specification, and the header of the client is built the same way', () => {
    const hash = createHash('sha256').update('admin{b5a8fdcf2f8d5acdad33c4a072a97d7a}').digest('hex');
    expect(hash).toBe('dd7b0be7fa37d6cbaf0b842bf7532f229cb79ab8d54d509c2aa7eea27a53cd5e');
    const header = xAuthenticate(
      { username: 'admin', domain: 'default', password: 'admin' }, 'b5a8fdcf2f8d5acdad33c4a072a97d7a',
      { nonce: 'bfb79078ff44c35714af28b7412a702b', created: '2016-04-29T15:48:26Z' },
    );
    expect(header).toContain('Digest="+PJg7Tb3v98XnL6iJVv+v5hwhYjdzQ2tIWxvJB2cE40="');
  });

  test('[API-07] the server computes what the vectors say: a password with an accent signs as UTF-8', async () => {
    await makeUser(pbx(), 'accented', { fields: { password: 'caffè-Corretto-12' } });
    const client = clientOf(pbx(), 'accented', 'default', 'caffè-Corretto-12');
    expect((await client.call('GET', `${V2}/session`)).status).toBe(200);
  });

  test('[API-02] [PUB-02] the name of the header has any case; order and blanks of the parameters do not matter', async () => {
    for (const name of ['x-authenticate', 'X-AUTHENTICATE', 'X-Authenticate']) {
      expect((await signed(await pbx().rest.authHeader(), '/rest/extension', 'GET', name)).status).toBe(200);
    }
    const parts = (await pbx().rest.authHeader()).replace('RestApiUsernameToken ', '').split(', ');
    expect((await signed(`RestApiUsernameToken ${parts.reverse().join(',')}`)).status).toBe(200);
    const spaced = (await pbx().rest.authHeader()).replace(/(Username|Domain|Digest|Nonce|Created)="/g, '$1 =  "').replaceAll(', ', ' ,  ');
    expect((await signed(spaced)).status).toBe(200);
  });

  test('[API-02] [API-08] whatever is wrong with a header, the answer is the same 401', async () => {
    const user = { ...pbx().facts.admin, username: 'nobody-there' };
    const good = await pbx().rest.authHeader();
    const wrong: Record<string, string> = {
      'no such user': xAuthenticate(user, await salt()),
      'wrong password': xAuthenticate({ ...pbx().facts.admin, password: 'wrong' }, await salt()),
      'wrong domain': xAuthenticate({ ...pbx().facts.admin, domain: 'elsewhere' }, await salt()),
      'another salt': xAuthenticate(pbx().facts.admin, '00112233445566778899aabbccddeeff'),
      'short nonce': xAuthenticate(pbx().facts.admin, await salt(), { nonce: '1234567' }),
      'nonce not hexadecimal': xAuthenticate(pbx().facts.admin, await salt(), { nonce: 'zzzzzzzzzzzz' }),
      'no such day': xAuthenticate(pbx().facts.admin, await salt(), { created: '2026-02-31T00:00:00Z' }),
      'no digest': good.replace(/Digest="[^"]*", /, ''),
      'twice the nonce': `${good}, Nonce="0011223344556677"`,
      'no quotes': good.replaceAll('"', ''),
      'another scheme': good.replace('RestApiUsernameToken', 'Basic'),
      'nothing': ' ',
      'long': `RestApiUsernameToken Username="${'a'.repeat(3000)}"`,
    };
    const bodies = new Set<string>();
    for (const [what, header] of Object.entries(wrong)) {
      const reply = await signed(header);
      expect(reply.status, what).toBe(401);
      bodies.add(reply.text);
    }
    bodies.add((await sendHttps(`${pbx().rest.base}/rest/extension`, 'GET')).text);
    expect([...bodies]).toHaveLength(1);
  });

  test('[API-06] a header works once, also after the web process was killed', async () => {
    const header = await pbx().rest.authHeader();
    expect((await signed(header)).status).toBe(200);
    expect((await signed(header)).status).toBe(401);
    await pbx().killChild('web');
    await expect.poll(async () => (await pbx().rest.call('GET', '/rest/extension').catch(() => undefined))?.status,
      { timeout: 30_000 }).toBe(200);
    expect((await signed(header)).status).toBe(401);
  });

  test('[API-06] a refused header does not burn its nonce', async () => {
    const nonce = 'abcdef0123456789';
    const bad = xAuthenticate({ ...pbx().facts.admin, username: 'admin', password: 'x' }, await salt(), { nonce });
    expect((await signed(bad)).status).toBe(401);
    expect((await signed(xAuthenticate(pbx().facts.admin, await salt(), { nonce }))).status).toBe(200);
  });

  test('[API-06] five minutes of difference between the clocks are the limit, both ways', async () => {
    const at = (s: number): string => new Date(Date.now() + s * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
    const status = async (s: number): Promise<number> =>
      (await signed(xAuthenticate(pbx().facts.admin, await salt(), { created: at(s) }))).status;
    expect(await status(-290)).toBe(200);
    expect(await status(290)).toBe(200);
    expect(await status(-310)).toBe(401);
    expect(await status(310)).toBe(401);
  });
});

describe('who may use the API', () => {
  test('[API-08] without API access, disabled: the same 401; the browser login is judged by itself', async () => {
    const { id, client } = await makeUser(pbx(), 'carlo', { fields: { gui_access: true } });
    expect((await client.call('GET', `${V2}/session`)).status).toBe(200);
    const strange = await signed(xAuthenticate({ ...client.credentials, username: 'stranger' }, await salt()), `${V2}/session`);

    await pbx().rest.ok('PATCH', `${V2}/user/${id}`, { api_access: false });
    const without = await client.call('GET', `${V2}/session`);
    expect([without.status, without.text]).toEqual([401, strange.text]);
    const browser = (): Promise<Reply> => sendHttps(`${pbx().rest.base}${V2}/session`, 'POST',
      { body: { username: 'carlo@default', password: PASSWORD } });
    expect((await browser()).status).toBe(201);

    await pbx().rest.ok('PATCH', `${V2}/user/${id}`, { api_access: true, enabled: false });
    const disabled = await client.call('GET', `${V2}/session`);
    expect([disabled.status, disabled.text]).toEqual([401, strange.text]);
    expect((await browser()).status).toBe(401);

    await pbx().rest.ok('PATCH', `${V2}/user/${id}`, { enabled: true, gui_access: false });
    expect((await client.call('GET', `${V2}/session`)).status).toBe(200);
    expect((await browser()).status).toBe(403);
  });

  test('[API-08] the API works while a change of the password is due', async () => {
    const { client } = await makeUser(pbx(), 'dario', { fields: { force_password_change: true } });
    expect((await client.call('GET', '/rest/dashboard')).status).toBe(200);
  });

  test('[PUB-02] [API-03] a machine user signs with an empty Domain and the salt of pbxAdmin', async () => {
    const own = await Pbx.start(['--web-rate', '0']);
    try {
      const { credentials } = await makeMachineUser(own);
      const machineSalt = await fetchSalt(own.rest.base, 'pbxAdmin');
      const get = (domain: string, path: string): Promise<Reply> => sendHttps(own.rest.base + path, 'GET', {
        headers: { 'X-authenticate': xAuthenticate({ ...credentials, domain }, machineSalt) } });
      for (const domain of ['', 'pbxAdmin']) {
        const reply = await get(domain, `${V2}/tenant`);
        expect(reply.status, domain).toBe(200);
        expect(items(reply).map((tenant) => tenant['domain'])).toContain('default');
      }
      expect((await get('', `${V2}/extension`)).status).toBe(403);
      expect((await own.rest.call('GET', `${V2}/tenant`)).status).toBe(403); // no longer the node's administrator
    } finally {
      await own.stop();
    }
  });

  test('[API-08] ten failures a minute, then 429 with Retry-After, also with the right password', async () => {
    const { client } = await makeUser(pbx(), 'elena');
    const bad = { ...client.credentials, password: 'wrong' };
    for (let i = 0; i < 10; i++) expect((await signed(xAuthenticate(bad, await salt()))).status).toBe(401);
    const reply = await signed(xAuthenticate(client.credentials, await salt()));
    expect(reply.status).toBe(429);
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
    expect((await pbx().rest.call('GET', '/rest/extension')).status).toBe(200); // others are not punished
  });

  test('one user may send only so many requests a second', async () => {
    const own = await Pbx.start(['--web-rate', '5']);
    try {
      await own.rest.authHeader();
      const replies = await Promise.all(Array.from({ length: 24 }, () => own.rest.call('GET', '/rest/extension/101')));
      const statuses = new Set(replies.map((reply) => reply.status));
      expect(statuses).toEqual(new Set([200, 429]));
      const refused = replies.find((reply) => reply.status === 429);
      expect(Number(refused?.headers['retry-after'])).toBeGreaterThan(0);
    } finally {
      await own.stop();
    }
  });
});

describe('representations', () => {
  test('[PUB-01] lists, objects and errors come in JSON or XML after Accept', async () => {
    const json = await pbx().rest.call('GET', '/rest/extension/101');
    expect(json.headers['content-type']).toContain('application/json');
    expect(row(json)['number']).toBe('101');
    const xml = await pbx().rest.call('GET', '/rest/extension/101', { accept: 'application/xml' });
    expect(xml.headers['content-type']).toContain('application/xml');
    expect(xml.text).toMatch(/^<\?xml version="1\.0"/);
    expect(xmlText(xml.text, 'number')).toBe('101');
    const list = await pbx().rest.call('GET', '/rest/extension', { accept: 'application/xml' });
    expect(list.text.match(/<number>\d+<\/number>/g)?.length).toBe((
      (await pbx().rest.call('GET', '/rest/extension')).json as unknown[]).length);
    const missing = await pbx().rest.call('GET', '/rest/extension/9998', { accept: 'application/xml' });
    expect([missing.status, xmlText(missing.text, 'code')]).toEqual([404, 'not_found']);
    const best = await pbx().rest.call('GET', '/rest/extension/101', { accept: 'application/xml;q=0.2, application/json;q=0.9' });
    expect(best.headers['content-type']).toContain('application/json');
  });

  test('[PUB-01] [API-01] XML, JSON and form bodies make the same object', async () => {
    const bodies: [string, string][] = [
      ['application/xml', '<?xml version="1.0"?><extension><number>201</number><first_name>X &amp; Y</first_name></extension>'],
      ['application/json', '{"number":"202","first_name":"X & Y"}'],
      ['application/x-www-form-urlencoded', 'number=203&first_name=X+%26+Y'],
    ];
    for (const [type, body] of bodies) {
      const made = await pbx().rest.call('POST', '/rest/extension', { body, type });
      expect(made.status, type).toBe(201);
      expect(row(made)['first_name']).toBe('X & Y');
      const location = made.headers['location'] ?? '';
      expect(row(await pbx().rest.ok('GET', location)).id, location).toBe(row(made).id);
      await pbx().rest.ok('DELETE', location);
    }
  });

  test('Location on /rest/ leads to the new object also where another one is called like its id', async () => {
    const first = await pbx().rest.call('POST', '/rest/extension', { body: { number: '220' } });
    const number = String(row(first).id + 2); // the id of the one after next
    const trap = await pbx().rest.call('POST', '/rest/extension', { body: { number } });
    const made = await pbx().rest.call('POST', '/rest/extension', { body: { number: '221' } });
    expect(row(made).id).toBe(Number(number));
    expect(row(await pbx().rest.ok('GET', made.headers['location'] ?? '')).id).toBe(row(made).id);
    for (const one of [first, trap, made]) await pbx().rest.ok('DELETE', `${V2}/extension/${row(one).id}`);
  });

  test('[D-229] ETag: 304 when nothing changed, 412 when somebody was faster', async () => {
    const path = `${V2}/extension/${await pbx().idOf('extension', 'number', '104')}`;
    const first = await pbx().rest.call('GET', path);
    const tag = first.headers['etag'] ?? '';
    expect(tag).toMatch(/^"/);
    const again = await pbx().rest.call('GET', path, { headers: { 'If-None-Match': tag } });
    expect([again.status, again.text]).toEqual([304, '']);

    const changed = await pbx().rest.call('PATCH', path, { body: { last_name: 'One' }, headers: { 'If-Match': tag } });
    expect(changed.status).toBe(200);
    expect(changed.headers['etag']).not.toBe(tag);
    expect((await pbx().rest.call('GET', path, { headers: { 'If-None-Match': tag } })).status).toBe(200);
    const late = await pbx().rest.call('PATCH', path, { body: { last_name: 'Two' }, headers: { 'If-Match': tag } });
    expect(late.status).toBe(412);
    expect(row(await pbx().rest.ok('GET', path))['last_name']).toBe('One');

    const list = await pbx().rest.call('GET', '/rest/extension');
    const same = await pbx().rest.call('GET', '/rest/extension', { headers: { 'If-None-Match': list.headers['etag'] ?? '' } });
    expect(same.status).toBe(304);
  });

  test('[D-226] what is not right is refused with 400, 404, 405, 406, 413, 415 and never 500', async () => {
    const rest = pbx().rest;
    const call = async (method: string, path: string, options = {}): Promise<Reply> => rest.call(method, path, options);
    expect((await call('GET', '/rest/nothing')).status).toBe(404);
    expect((await call('GET', `${V2}/extension/999999`)).status).toBe(404);
    expect((await call('GET', '/rest/extension/abc')).status).toBe(404);
    const method = await call('PUT', '/rest/dashboard', { body: {} });
    expect(method.status).toBe(405);
    expect(method.headers['allow']).toContain('GET');
    for (const odd of ['PROPFIND', 'TRACE', 'LOCK']) {
      expect((await call(odd, '/rest/dashboard').catch(() => ({ status: 405 }))).status, odd).toBeGreaterThanOrEqual(400);
    }
    expect((await call('GET', '/rest/extension', { accept: 'image/png' })).status).toBe(406);
    expect((await call('POST', '/rest/extension', { body: 'x', type: 'image/png' })).status).toBe(415);
    const big = await call('POST', `${V2}/extension`, { body: `{"number":"${'1'.repeat(9 << 20)}"}` }).catch(() => ({ status: 413 }));
    expect(big.status).toBe(413);
    for (const [type, body] of [
      ['application/json', '{"number":'], ['application/json', '[1,2]'], ['application/json', ''],
      ['application/json', `${'['.repeat(5000)}`], ['application/json', '{"number":"1","number":"2"}'],
      ['application/xml', '<extension><number>1</number>'],
      ['application/xml', '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a><number>&b;</number></a>'],
      ['application/xml', `${'<a>'.repeat(3000)}`],
    ] as const) {
      const reply = await call('POST', '/rest/extension', { body, type });
      expect(reply.status, `${type} ${body.slice(0, 40)}`).toBe(400);
      expect(problem(reply).code, body.slice(0, 40)).toBeTruthy();
    }
  });

  test('[D-227] unknown fields and control characters are named in the answer; all errors at once', async () => {
    const body = { number: '101', nonsense: 1, first_name: 'a\tb', last_name: 'c\r\nd', busy_level: 'many' };
    const reply = await pbx().rest.call('POST', `${V2}/extension`, { body });
    expect(reply.status).toBe(422);
    expect(reply.headers['content-type']).toContain('application/problem+json');
    const fields = problem(reply).errors?.map((error) => `${error.field}:${error.code}`) ?? [];
    expect(fields).toEqual(expect.arrayContaining(['nonsense:unknown_field', 'first_name:control_characters',
      'last_name:control_characters', 'number:duplicate']));
    expect(fields.some((text) => text.startsWith('busy_level:'))).toBe(true);
    const italian = await pbx().rest.call('POST', '/rest/extension', { body, headers: { 'Accept-Language': 'it' } });
    expect(italian.status).toBe(400);
    expect(problem(italian).errors?.[0]?.message).not.toBe(problem(reply).errors?.[0]?.message);
  });

  test('[D-227] a user that exists: 400 and a readable message; a missing mandatory field is refused', async () => {
    const role = await roleId(pbx().rest, 'Tenant User');
    const body = { username: 'admin', password: PASSWORD, role };
    const again = await pbx().rest.call('POST', '/rest/user', { body });
    expect(again.status).toBe(400);
    expect(problem(again).errors?.[0]?.message).toContain('admin');
    expect((await pbx().rest.call('POST', `${V2}/user`, { body })).status).toBe(409);
    const missing = await pbx().rest.call('POST', '/rest/user', { body: { password: PASSWORD } });
    expect(missing.status).toBe(400);
    expect(problem(missing).errors?.map((error) => error.field)).toEqual(['username']);
  });

  test('[D-230] a POST repeated with its Idempotency-Key makes one object', async () => {
    const send = (name = 'once'): Promise<Reply> => pbx().rest.call('POST', `${V2}/routingClass`, {
      body: { name }, headers: { 'Idempotency-Key': 'key-1' } });
    const [first, second] = [await send(), await send()];
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(row(second).id).toBe(row(first).id);
    // Another body under the same key is a slip of the client: nothing is made, and nothing pretended.
    const other = await send('twice');
    expect([other.status, problem(other).code]).toEqual([422, 'idempotency_key_used']);
    await pbx().rest.ok('DELETE', `${V2}/routingClass/${row(first).id}`);
  });

  test('objects of another tenant do not exist: 404 for reading and writing', async () => {
    const other = await makeTenant(pbx(), 'foreign', { sip_prefix: 'foreig' });
    const id = await pbx().idOf('extension', 'number', '101');
    expect((await other.admin.call('GET', `${V2}/extension/${id}`)).status).toBe(404);
    expect((await other.admin.call('PATCH', `${V2}/extension/${id}`, { body: { last_name: 'X' } })).status).toBe(404);
    expect((await other.admin.call('DELETE', `${V2}/extension/${id}`)).status).toBe(404);
    await pbx().rest.ok('DELETE', `${V2}/tenant/${other.id}?force=true`);
  });
});

describe('dashboard and documentation', () => {
  test('[PUB-03] dashboard, version, serial number, account and ctiUser, also with a slash at the end', async () => {
    const rest = pbx().rest;
    const version = await rest.ok('GET', '/rest/dashboard/firmwareVersion');
    expect(version.json).toMatch(/^4\.\d+\.\d+-/);
    const text = await rest.call('GET', '/rest/dashboard/firmwareVersion', { accept: 'text/plain' });
    expect(text.text.trim()).toBe(version.json);
    const serial = (await rest.ok('GET', '/rest/dashboard/serialNumber')).json;
    expect(serial).toMatch(/^\S+$/);
    const dashboard = (await rest.ok('GET', '/rest/dashboard')).json;
    expect(dashboard).toMatchObject({ serialNumber: serial, firmwareVersion: version.json, accounts: 5, extensions: 5 });
    const accounts = (await rest.ok('GET', '/rest/account/')).json as { username: string }[];
    expect(accounts.map((account) => account.username)).toEqual(['101', '102', '103', '104', '105']);
    const cti = (await rest.ok('GET', '/rest/ctiUser/')).json as { username: string }[];
    expect(cti.map((user) => user.username)).toContain('admin');
    expect((await rest.call('GET', '/rest/ctiUser', { accept: 'application/xml' })).text).toContain('<username>admin</username>');
  });

  test('[API-09] the documentation is a page, an OpenAPI document and a Postman collection', async () => {
    const page = await pbx().rest.call('GET', '/api/doc', { accept: 'text/html' });
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toContain('text/html');
    for (const word of ['/rest/extension', '/rest/cdr', 'X-authenticate']) expect(page.text).toContain(word);

    const doc = (await pbx().rest.ok('GET', '/api/doc.json')).json as { openapi: string; paths: Record<string, Record<string, unknown>> };
    expect(doc.openapi).toMatch(/^3\.0/);
    const values: Record<string, string> = {
      '{format}': 'summary', '{years}': '2026', '{months}': '01', '{days}': '01', '{domain}': 'default', '{exten}': '101',
    };
    let count = 0;
    for (const [path, methods] of Object.entries(doc.paths)) {
      if (!methods['get']) continue;
      const url = path.replace(/\{\w+\}/g, (name) => values[name] ?? '1');
      const reply = await pbx().rest.call('GET', url);
      expect([200, 404], `${url}: ${reply.status} ${reply.text.slice(0, 200)}`).toContain(reply.status);
      if (!path.includes('{')) expect(reply.status, url).toBe(200);
      count++;
    }
    expect(count).toBeGreaterThan(40);

    const postman = (await pbx().rest.ok('GET', '/api/doc/postman.json')).json as
      { info: { schema: string }; item: unknown[]; event: { listen: string; script: { exec: string[] } }[] };
    expect(postman.info.schema).toContain('v2.1.0');
    expect(JSON.stringify(postman.item)).toContain('/rest/extension');
    expect(postman.event.find((event) => event.listen === 'prerequest')?.script.exec.join('\n')).toContain('X-authenticate');
  });

  test('[API-09] every documented way to write says no to an empty body, but answers', async () => {
    const doc = (await pbx().rest.ok('GET', '/api/doc.json')).json as { paths: Record<string, Record<string, unknown>> };
    for (const [path, methods] of Object.entries(doc.paths)) {
      if (/configuration|session/.test(path)) continue;
      for (const method of ['post', 'put', 'patch'].filter((name) => methods[name])) {
        const url = path.replace(/\{\w+\}/g, '999999');
        const reply = await pbx().rest.call(method.toUpperCase(), url, { body: '{"no_such_field":1}' });
        expect(reply.status, `${method} ${url} ${reply.text.slice(0, 200)}`).toBeGreaterThanOrEqual(400);
        expect(reply.status, `${method} ${url} ${reply.text.slice(0, 200)}`).toBeLessThan(500);
      }
    }
  });

  test('[API-10] the shell, Python and JavaScript examples of docs/api.md work as they are printed', async () => {
    const doc = readFileSync(join(repo, 'docs/api.md'), 'utf8');
    const block = (language: string): string => new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(doc)?.[1] ?? '';
    const admin = pbx().facts.admin;
    const shell = block('sh')
      .replace('password=secret', `password='${admin.password}'`)
      .replace('https://127.0.0.1:8443', pbx().rest.base);
    expect(shell).toContain('curl');
    const answer = await run('bash', ['-c', shell]);
    expect(answer.code).toBe(0);
    const numbers = (JSON.parse(answer.output) as { number: string }[]).map((extension) => extension.number);
    expect(numbers).toEqual(expect.arrayContaining(['101', '105']));

    const python = `${block('python')}\nimport sys\nprint(x_authenticate(*sys.argv[1:]))`;
    const args = [admin.username, admin.domain, admin.password, await salt()];
    const header = (await run('python3', ['-W', 'ignore', '-c', python, ...args])).output.trim();
    expect((await signed(header)).status).toBe(200);
    const script = `${block('js')}\nconsole.log(xAuthenticate(...process.argv.slice(1)));`;
    const byNode = (await run('node', ['--input-type=module', '-e', script, ...args])).output.trim();
    expect((await signed(byNode)).status).toBe(200);
    const pattern = /```\n(RestApiUsernameToken Username="\[\^[^\n]*)\n```/.exec(doc)?.[1] ?? 'missing';
    for (const text of [header, byNode]) expect(text).toMatch(new RegExp(`^${pattern}$`));
  });
});
