// SIP over WebSocket on the web port (APP-110, D-082, D-084).
import { afterAll, afterEach, describe, expect } from 'vitest';
import { WebSocket, type ClientOptions } from 'ws';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall, type MiniOptions } from './lib/miniphone.js';
import { Pbx } from './lib/pbx.js';
import { freePorts } from './lib/ports.js';
import { method, status } from './lib/sipmessage.js';
import { delay, until } from './lib/wait.js';

const open: MiniPhone[] = [];
const sockets: WebSocket[] = [];

const webPort = (pbx: Pbx): string => new URL(pbx.facts.https).host;

async function made(pbx: Pbx, extension: string, options: MiniOptions = {}): Promise<MiniPhone> {
  const { username, secret } = pbx.account(extension);
  const server = options.path ? webPort(pbx) : (pbx.facts.sip[options.transport ?? 'udp'] ?? '');
  const phone = await MiniPhone.open(username, secret, server, options);
  open.push(phone);
  expect(await phone.register()).toBe(200);
  return phone;
}

async function browser(pbx: Pbx, extension: string, options: MiniOptions = {}): Promise<MiniPhone> {
  await pbx.configure([
    {
      path: `/api/pbx/v2/account/${await pbx.idOf('account', 'username', pbx.account(extension).username)}`,
      body: { transport_wss: true, transport_ws: false },
    },
  ]);
  return made(pbx, extension, { transport: 'wss', path: '/ws-sip', ...options });
}

async function talk(caller: MiniPhone, number: string, callee: MiniPhone): Promise<[MiniCall, MiniCall]> {
  const known = callee.calls.length;
  const call = await caller.call(number);
  expect(call.status).toBe(200);
  const other = await until('the call rings', () => callee.calls[known]);
  call.rtp.fill = 0x21;
  other.rtp.fill = 0x22;
  call.rtp.start();
  other.rtp.start();
  await until('sound both ways', () => call.rtp.heardFill === 0x22 && other.rtp.heardFill === 0x21);
  return [call, other];
}

/** What a handshake ends with: "open <subprotocol>", or the status it was refused with. */
function handshake(pbx: Pbx, path: string, protocol: string | undefined, options: ClientOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`wss://${webPort(pbx)}${path}`, protocol ? [protocol] : [], {
      rejectUnauthorized: false, ...options,
    });
    sockets.push(socket);
    socket.on('open', () => resolve(`open ${socket.protocol}`));
    socket.on('unexpected-response', (_request, response) => resolve(String(response.statusCode)));
    socket.on('error', (error) => resolve(error.message));
  });
}

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  for (const socket of sockets.splice(0)) socket.terminate();
});
afterAll(stopPbx);

describe('/ws-sip', () => {
  test('[D-084] a browser registers, calls and is called over the web port', async ({ pbx }) => {
    const one = await browser(pbx, '101');
    const other = await made(pbx, '102');

    const [mine, theirs] = await talk(one, '102', other);
    expect(await one.hangup(mine)).toBe(200);
    await until('BYE', () => theirs.endedBy === 'bye');

    const [again, last] = await talk(other, '101', one);
    expect(await other.hangup(again)).toBe(200);
    await until('BYE on the connection', () => last.endedBy === 'bye');
  });

  test('a browser that is closed while its call rings has hung up', async ({ pbx }) => {
    const other = await made(pbx, '102', { onInvite: (self, call, invite) => self.respond(call, invite, 180, 'Ringing') });
    const one = await browser(pbx, '101');
    one.call('102').catch(() => undefined); // nobody will answer it
    const theirs = await until('it rings', () => other.calls[0]);
    await until('the browser knows', () => one.calls[0]?.provisional.find((m) => status(m) === 180));
    await one.close();
    open.splice(open.indexOf(one), 1);
    await until('the phone stops ringing', () => theirs.requests.find((m) => method(m) === 'CANCEL'));
  });

  test('the switch knows the browser by its own address and as WSS', async ({ pbx }) => {
    const one = await browser(pbx, '101');
    const items = await pbx.ctlJson<{ username: string; transport: string; source?: string; contact?: string }[]>('registrations');
    const item = items.find((entry) => entry.username === one.username);
    expect(item?.transport.toLowerCase()).toBe('wss');
    const reply = await one.registerReply();
    const via = /received=([\d.]+)/.exec(reply.headers.get('via')?.[0] ?? '')?.[1];
    const port = /rport=(\d+)/.exec(reply.headers.get('via')?.[0] ?? '')?.[1];
    expect(via).toBe('127.0.0.1');
    expect(Number(port)).toBe(one.channel.localPort);
  });

  test('a browser from another address is known by that address: ACLs see it', async ({ pbx }) => {
    const id = await pbx.idOf('account', 'username', pbx.account('103').username);
    const account = `/api/pbx/v2/account/${id}`;
    await pbx.configure([{ path: account, body: { transport_wss: true, acl_source_ip: ['127.0.0.7/32'] } }]);
    try {
      const { username, secret } = pbx.account('103');
      const wrong = await MiniPhone.open(username, secret, webPort(pbx), { transport: 'wss', path: '/ws-sip' });
      open.push(wrong);
      expect(await wrong.register()).toBe(403);
      const right = await MiniPhone.open(username, secret, webPort(pbx), {
        transport: 'wss', path: '/ws-sip', localAddress: '127.0.0.7',
      });
      open.push(right);
      expect(await right.register()).toBe(200);
    } finally {
      await pbx.configure([{ path: account, body: { acl_source_ip: null } }]);
    }
  });

  test('only SIP from pages of ours gets in', async ({ pbx }) => {
    expect(await handshake(pbx, '/ws-sip', 'sip')).toBe('open sip');
    expect(await handshake(pbx, '/ws-sip', 'sip', { origin: `https://${webPort(pbx)}` })).toBe('open sip');
    expect(await handshake(pbx, '/ws-sip', 'sip', { origin: 'https://elsewhere.example' })).toBe('403');
    expect(await handshake(pbx, '/ws-sip', 'chat')).toBe('400');
    expect(await handshake(pbx, '/ws-sip', undefined)).toBe('400');
    expect(await handshake(pbx, '/ws', 'sip')).not.toMatch(/^open/);
    expect(await handshake(pbx, '/elsewhere', 'sip')).toBe('404');
  });

  test('a message over 64 KiB ends its connection, and no other', async ({ pbx }) => {
    const good = await browser(pbx, '101');
    const socket = new WebSocket(`wss://${webPort(pbx)}/ws-sip`, 'sip', { rejectUnauthorized: false });
    sockets.push(socket);
    let code = 0;
    socket.on('error', () => undefined);
    socket.on('close', (why) => (code = why));
    await until('open', () => socket.readyState === WebSocket.OPEN);
    socket.send('X'.repeat(70_000));
    await until('closed', () => code, 10_000);
    expect(code).toBe(1009);
    expect(await good.register()).toBe(200);
  });

  test('a large message passes whole, in pieces too', async ({ pbx }) => {
    const one = await browser(pbx, '101', { userAgent: 'x'.repeat(6000) });
    expect(await one.register()).toBe(200);
  });

  test('who leaves takes his registration along', async ({ pbx }) => {
    const one = await browser(pbx, '101');
    const caller = await made(pbx, '102');
    open.splice(open.indexOf(one), 1);
    await one.close();
    await until('unavailable', async () => {
      const call = await caller.call('101');
      return call.status === 480;
    });
  });

  test('after a restart of the web server browsers come back; a call goes on meanwhile', async ({ pbx }) => {
    const one = await browser(pbx, '101');
    const other = await made(pbx, '102');
    const [mine, theirs] = await talk(one, '102', other);
    const pid = pbx.childPid('web');
    if (!pid) throw new Error('no web process');
    process.kill(pid, 'SIGKILL');
    await until('the connection ends', () => !one.channel.isOpen);
    theirs.rtp.reset();
    await until('sound goes on', () => theirs.rtp.received > 20);
    expect(mine.isUp).toBe(true);
    await until('the web server is back', async () => (await handshake(pbx, '/ws-sip', 'sip')) === 'open sip');
    const back = await browser(pbx, '101');
    const call = await other.call('101');
    expect(call.status).toBe(200);
    expect(back.calls.length).toBe(1);
    await other.hangup(call);
  });

  test('after a restart of the switch the web server finds its new door', async ({ pbx }) => {
    const one = await browser(pbx, '101');
    const pid = pbx.childPid('switch');
    if (!pid) throw new Error('no switch process');
    process.kill(pid, 'SIGKILL');
    await until('the connection ends', () => !one.channel.isOpen);
    await until('registered again', async () => {
      const { username, secret } = pbx.account('101');
      const phone = await MiniPhone.open(username, secret, webPort(pbx), { transport: 'wss', path: '/ws-sip' });
      open.push(phone);
      await delay(100);
      return phone.channel.isOpen && (await Promise.race([phone.register(), delay(1500)])) === 200;
    });
  });

  test('500 browsers at once', async ({ pbx }) => {
    const many = await Promise.all(Array.from({ length: 500 }, () => handshake(pbx, '/ws-sip', 'sip')));
    expect(many.filter((word) => word !== 'open sip')).toEqual([]);
    await delay(300);
    expect(sockets.filter((socket) => socket.readyState !== WebSocket.OPEN).length).toBe(0);
    const one = await browser(pbx, '101');
    expect(await one.register()).toBe(200);
  });
});

describe('WebSocket ports of the SIP settings (APP-110, D-082)', () => {
  const tries = async (url: string): Promise<string> => {
    const socket = new WebSocket(url, 'sip', { rejectUnauthorized: false });
    sockets.push(socket);
    return new Promise((resolve) => {
      socket.on('open', () => resolve('open'));
      socket.on('error', () => resolve('refused'));
    });
  };

  test('they open, move and close while calls go on', async () => {
    const [ws, other] = [await freePorts(1), await freePorts(1)];
    const pbx = await Pbx.start(['--ws-port', '0']); // the settings decide
    try {
      const change = (body: Record<string, unknown>): Promise<unknown> =>
        pbx.configure([{ path: '/api/pbx/v2/sipSettings', body }]);
      expect(await tries(`ws://127.0.0.1:${ws}/`)).toBe('refused');
      await change({ ws_enabled: true, ws_port: ws });
      await until('WS is open', async () => (await tries(`ws://127.0.0.1:${ws}/`)) === 'open');
      const { username, secret } = pbx.account('101');
      const id = await pbx.idOf('account', 'username', username);
      await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { transport_ws: true, transport_wss: true } }]);
      const phone = await MiniPhone.open(username, secret, `127.0.0.1:${ws}`, { transport: 'ws' });
      open.push(phone);
      expect(await phone.register()).toBe(200);

      await change({ ws_port: other });
      await until('WS has moved', async () => (await tries(`ws://127.0.0.1:${other}/`)) === 'open');
      expect(await tries(`ws://127.0.0.1:${ws}/`)).toBe('refused');
      await change({ ws_enabled: false, wss_enabled: false });
      await until('WS is closed', async () => (await tries(`ws://127.0.0.1:${other}/`)) === 'refused');
      expect(await phone.register()).toBe(403); // on the connection it has

      // /ws-sip is WSS, too.
      const browser = new WebSocket(`wss://${webPort(pbx)}/ws-sip`, 'sip', { rejectUnauthorized: false });
      sockets.push(browser);
      browser.on('error', () => undefined);
      await until('it is sent away', () => browser.readyState === WebSocket.CLOSED);
      await change({ ws_enabled: true, wss_enabled: true });
      await until('WS is back', async () => (await tries(`ws://127.0.0.1:${other}/`)) === 'open');
      const again = await MiniPhone.open(username, secret, webPort(pbx), { transport: 'wss', path: '/ws-sip' });
      open.push(again);
      expect(await again.register()).toBe(200);
    } finally {
      await pbx.stop();
    }
  });
});
