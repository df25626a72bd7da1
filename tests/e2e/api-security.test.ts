// What the web server refuses and hides.
import { connect as connectPlain, type Socket } from 'node:net';
import { connect } from 'node:tls';
import { request } from 'node:http';
import { expect, test } from 'vitest';

import { items, makeUser, onePbx, PASSWORD, row, Session, V2 } from './lib/api.js';
import { wwwDir } from './lib/browser.js';
import { sendHttps, type Reply } from './lib/rest.js';

const pbx = onePbx(['--web-rate', '0', '--www', wwwDir]);
const plain = (path: string, headers: Record<string, string> = {}): Promise<Reply> =>
  sendHttps(pbx().rest.base + path, 'GET', { accept: '*/*', headers });
const admin = (): Promise<Session> => Session.login(pbx().rest.base, 'admin@default', pbx().facts.admin.password);

/** A request as it is typed, without a library that would tidy the path. */
function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(pbx().rest.base);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => socket.write(text));
    let answer = '';
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer')));
    socket.on('data', (data: Buffer) => {
      answer += data.toString('latin1');
      if (/\r\n\r\n/.test(answer)) socket.destroy();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

test('the session cookie is HttpOnly, Secure, SameSite=Strict, and its life is 12 hours', async () => {
  const { setCookie, facts } = await admin();
  for (const flag of ['HttpOnly', 'Secure', 'SameSite=Strict', 'Path=/', 'Max-Age=43200']) expect(setCookie).toContain(flag);
  expect(/aoide_session=([^;]+)/.exec(setCookie)?.[1]?.length).toBeGreaterThanOrEqual(22);
  expect(JSON.stringify(facts)).not.toContain(pbx().facts.admin.password);
});

test('a browser cannot write without its CSRF token, nor from another origin', async () => {
  const session = await admin();
  const { csrf: _, ...rest } = session.facts;
  expect(rest['username']).toBe('admin');
  const body = { name: 'csrf' };
  const without = await sendHttps(`${pbx().rest.base}${V2}/routingClass`, 'POST', { body, headers: { Cookie: session.cookie } });
  expect(without.status).toBe(403);
  expect((await session.call('POST', `${V2}/routingClass`, body, { 'X-CSRF-Token': 'wrong' })).status).toBe(403);
  const other = await admin();
  expect((await session.call('POST', `${V2}/routingClass`, body, { 'X-CSRF-Token': String(other.facts['csrf']) })).status).toBe(403);
  expect((await session.call('POST', `${V2}/routingClass`, body, { Origin: 'https://evil.example' })).status).toBe(403);
  expect((await session.call('POST', `${V2}/routingClass`, body, { Origin: pbx().rest.base })).status).toBe(201);
});

test('a form of another site cannot log anybody in', async () => {
  const credentials = JSON.stringify({ username: 'admin@default', password: pbx().facts.admin.password });
  const form = await sendHttps(`${pbx().rest.base}${V2}/session`, 'POST', {
    body: credentials, type: 'text/plain', headers: { Origin: 'https://evil.example' } });
  expect(form.status).toBeGreaterThanOrEqual(400);
  expect(form.headers['set-cookie']).toBeUndefined();
});

test('[PLT-09] the password of one self: checked, changed, other sessions end', async () => {
  const { client } = await makeUser(pbx(), 'paolo');
  const session = await Session.login(pbx().rest.base, 'paolo@default', PASSWORD);
  const second = await Session.login(pbx().rest.base, 'paolo', PASSWORD);
  const change = (body: unknown): Promise<Reply> => session.call('PUT', `${V2}/me/password`, body);
  expect((await change({ current: 'wrong', password: 'Another-Passw0rd' })).status).toBeGreaterThanOrEqual(400);
  expect((await change({ current: PASSWORD, password: 'short' })).status).toBeGreaterThanOrEqual(400);
  expect((await change({ current: PASSWORD, password: 'Another-Passw0rd' })).status).toBeLessThan(300);
  expect((await second.call('GET', `${V2}/session`)).status).toBe(401);
  expect((await client.call('GET', `${V2}/session`)).status).toBe(401);
  await expect(Session.login(pbx().rest.base, 'paolo', PASSWORD)).rejects.toThrow('401');
  await Session.login(pbx().rest.base, 'paolo', 'Another-Passw0rd');
});

test('with a change of the password due, the pages open nothing else', async () => {
  await pbx().rest.ok('POST', `${V2}/role`, { description: 'engineer', priority: 1, permissions: { extensions: 'write', call_log_view: 'read' } });
  await makeUser(pbx(), 'due', { role: 'engineer', fields: { force_password_change: true } });
  const session = await Session.login(pbx().rest.base, 'due', PASSWORD);
  expect(session.facts['must_change_password']).toBe(true);
  for (const path of ['/rest/dashboard', '/rest/cdr', `${V2}/extension`, `${V2}/phoneService/calls`, `${V2}/configuration/change`]) {
    expect((await session.call('GET', path)).status, path).toBe(403);
  }
  expect((await session.call('POST', `${V2}/configuration/apply`, {})).status).toBe(403);
  // Nothing that is no new password counts as a change.
  for (const body of [{ current: PASSWORD }, { current: PASSWORD, password: '' }, { current: PASSWORD, password: null },
    { current: PASSWORD, password: PASSWORD }, { current: PASSWORD, password: 'due' }]) {
    expect((await session.call('PUT', `${V2}/me/password`, body)).status, JSON.stringify(body)).toBe(422);
  }
  expect((await session.call('GET', '/rest/dashboard')).status).toBe(403);
  expect((await session.call('PUT', `${V2}/me/password`, { current: PASSWORD, password: 'Chosen-by-me-12' })).status).toBeLessThan(300);
  const after = await Session.login(pbx().rest.base, 'due', 'Chosen-by-me-12');
  expect((await after.call('GET', '/rest/dashboard')).status).toBe(200);
});

test('every answer has the security headers; pages have a Content-Security-Policy', async () => {
  const page = await plain('/');
  expect(page.status).toBe(200);
  expect(page.headers['content-type']).toContain('text/html');
  const csp = page.headers['content-security-policy'] ?? '';
  for (const part of ["default-src 'self'", "script-src 'self'", "object-src 'none'", "frame-ancestors 'none'"]) expect(csp).toContain(part);
  expect(csp).not.toMatch(/script-src[^;]*unsafe/);
  for (const reply of [page, await plain('/rest/salt/default'), await plain('/rest/nothing'), await plain('/aoide.svg')]) {
    expect(reply.headers).toMatchObject({
      'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': expect.any(String),
      'strict-transport-security': expect.stringContaining('max-age='),
    });
    expect(reply.headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(reply.headers['access-control-allow-origin']).toBeUndefined();
  }
});

test('static files: nothing outside the folder, in whatever way it is written', async () => {
  const { hostname, port } = new URL(pbx().rest.base);
  const paths = ['/../../../../etc/passwd', '/..%2f..%2f..%2fetc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/assets/../../../../etc/passwd',
    '/..\\..\\etc\\passwd', '//etc/passwd', '/%00/etc/passwd', '/assets/%2e%2e%2f%2e%2e%2findex.html%00.js', '/./../demo.json', '/.hidden'];
  for (const path of paths) {
    const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: close\r\n\r\n`);
    expect(answer, path).not.toContain('root:');
    expect(answer, path).not.toContain('"secret"');
  }
  const asset = /src="(\/assets\/[^"]+\.js)"/.exec((await plain('/')).text)?.[1] ?? '';
  const file = await plain(asset);
  expect(file.status).toBe(200);
  expect(file.headers['content-type']).toContain('javascript');
  expect(file.headers['cache-control']).toContain('immutable');
  expect((await plain('/assets/none.js')).status).toBe(404);
  expect((await plain('/config/extension')).headers['content-type']).toContain('text/html'); // an address of the pages
});

test('plain HTTP only leads to HTTPS', async () => {
  const reply = await new Promise<{ status: number; location: string }>((resolve, reject) => {
    request(`${pbx().facts.http}/rest/salt/default?a=1&b%5Bne%5D=x%20%C3%A8%26;c`, (res) => {
      res.resume();
      resolve({ status: res.statusCode ?? 0, location: res.headers.location ?? '' });
    }).on('error', reject).end();
  });
  expect([301, 302, 307, 308]).toContain(reply.status);
  const location = new URL(reply.location);
  expect(location.origin + location.pathname).toBe(`${pbx().rest.base}/rest/salt/default`);
  expect([...location.searchParams]).toEqual([['a', '1'], ['b[ne]', 'x è&'], ['c', '']]);
});

test('secrets are in no answer; ?reveal=true shows them to those who may write', async () => {
  const secret = pbx().account('101').secret;
  const id = await pbx().idOf('account', 'username', '101');
  for (const path of [`${V2}/account`, '/rest/account', `${V2}/account/${id}`, `/rest/account/${id}`, `${V2}/account/export.csv`]) {
    const reply = await pbx().rest.call('GET', path, { accept: '*/*' });
    expect(reply.status, path).toBe(200);
    expect(reply.text, path).not.toContain(secret);
  }
  expect(JSON.stringify((await pbx().rest.ok('GET', `${V2}/user`)).json)).not.toContain('password":"');
  const revealed = await pbx().rest.ok('GET', `${V2}/account/${id}?reveal=true`);
  expect(row(revealed)['password']).toBe(secret);
  expect(revealed.headers['cache-control']).toContain('no-store');
  expect(items(await pbx().rest.ok('GET', `${V2}/account?reveal=true`))[0]?.['password']).toBe(secret);
  // and the revealed list is not what the next reader gets from a cache
  expect((await pbx().rest.ok('GET', `${V2}/account`)).text).not.toContain(secret);
  await pbx().rest.ok('POST', `${V2}/role`, { description: 'reader', priority: 1, permissions: { accounts: 'read' } });
  const { client } = await makeUser(pbx(), 'reader', { role: 'reader' });
  expect((await client.call('GET', `${V2}/account/${id}`)).status).toBe(200);
  expect((await client.call('GET', `${V2}/account/${id}?reveal=true`)).status).toBe(403);
  expect((await client.call('GET', `${V2}/account/export.csv?secrets=true`)).status).toBe(403);
  // The demo prints its accounts when it starts; what comes later must not be in the log.
  await pbx().rest.ok('PATCH', `${V2}/account/${id}`, { password: 'Never-in-the-log-1' });
  await pbx().rest.ok('POST', `${V2}/configuration/apply`, {});
  expect(pbx().output).not.toContain('Never-in-the-log-1');
});

test('a session outlives the web process, not its log-out', async () => {
  const session = await admin();
  await pbx().killChild('web');
  await expect.poll(async () => (await session.call('GET', `${V2}/session`).catch(() => undefined))?.status, { timeout: 30_000 }).toBe(200);
  expect((await session.call('DELETE', `${V2}/session`)).status).toBe(204);
  expect((await session.call('GET', `${V2}/session`)).status).toBe(401);
});

test('thousands of connections that ask for nothing do not keep anybody else waiting', { timeout: 120_000 }, async () => {
  const { hostname } = new URL(pbx().rest.base);
  const port = Number(new URL(String(pbx().facts.http)).port);
  const open: Socket[] = [];
  try {
    // More than the limit of 4096; where one process may not open so many, as many as it may.
    for (let n = 0; n < 46; n++) {
      const batch = Array.from({ length: 100 }, () => new Promise<void>((resolve) => {
        const socket = connectPlain({ host: hostname, port }, () => {
          socket.write('GET / HTTP/1.1\r\nHo');
          resolve();
        });
        socket.on('error', () => resolve());
        open.push(socket);
      }));
      await Promise.all(batch);
    }
    expect((await pbx().rest.call('GET', '/rest/extension')).status).toBe(200);
  } finally {
    for (const socket of open) socket.destroy();
  }
  expect((await pbx().rest.call('GET', '/rest/extension')).status).toBe(200);
});
