// Settings that calls obey: what a form can say has to be heard on the wire.
import { spawn } from 'node:child_process';
import { connect } from 'node:net';

import { afterAll, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall, type MiniOptions } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { SipProxy } from './lib/sipproxy.js';
import { header, method, parseSip, status } from './lib/sipmessage.js';
import { until } from './lib/wait.js';

afterAll(stopPbx);

const mini = (pbx: Pbx, extension: string, options = {}): Promise<MiniPhone> => {
  const { username, secret } = pbx.account(extension);
  return MiniPhone.open(username, secret, pbx.facts.sip.udp, options);
};
const settings = (pbx: Pbx, body: object): Promise<void> => pbx.configure([{ path: '/api/pbx/v2/sipSettings', body }]);

describe('transports of the machine', () => {
  test('[BASE-50] UDP off in the SIP settings: nobody registers or calls by it; on again, all is as before', async ({ pbx }) => {
    const [alice, bob] = [await mini(pbx, '101'), await mini(pbx, '102')];
    expect([await alice.register(), await bob.register()]).toEqual([200, 200]);

    await settings(pbx, { udp_enabled: false });
    await until('the refusal', async () => (await alice.register()) === 403);
    expect((await alice.call('102')).status).toBe(403);

    await settings(pbx, { udp_enabled: true });
    await until('registered', async () => (await alice.register()) === 200);
    expect((await alice.call('102')).status).toBe(480); // its registration went with the transport
    expect(await bob.register()).toBe(200);
    const call = await alice.call('102');
    expect(call.status).toBe(200);
    await alice.hangup(call);
    for (const phone of [alice, bob]) await phone.close();
  });
});

describe('bind addresses', () => {
  const MACHINE = '/api/pbx/v2/sipSettings';
  /** A server that answers at this address takes a call set-up, or a connection. */
  const connects = (host: string, port: number): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, host, () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });

  test('[D-083] an address that is not this machine\'s is refused by name of its field', async ({ pbx }) => {
    const reply = await pbx.rest.call('PATCH', MACHINE, { body: { udp_bind: '192.0.2.1', tls_bind: '%nosuch0%' } });
    expect(reply.status).toBe(422);
    expect(reply.text).toMatch(/udp_bind[^}]*192\.0\.2\.1[^}]*/);
    expect(reply.text).toMatch(/tls_bind[^}]*%nosuch0%/);
  });

  test('UDP and TCP move to their addresses on apply, and a restart finds them there', async ({ pbx }) => {
    const port = Number(pbx.facts.sip.udp.split(':').at(-1));
    const { username, secret } = pbx.account('101');
    const registers = async (host: string): Promise<number> => {
      const phone = await MiniPhone.open(username, secret, `${host}:${port}`);
      const result = await phone.register().catch(() => 0);
      await phone.close();
      return result;
    };
    try {
      await settings(pbx, { udp_bind: '127.0.0.2', tcp_bind: '127.0.0.3' });
      await until('TCP at its new address', () => connects('127.0.0.3', port));
      expect(await connects('127.0.0.1', port)).toBe(false);
      expect(await registers('127.0.0.2')).toBe(200);

      await pbx.restart();
      expect(await registers('127.0.0.2')).toBe(200);
      expect([await connects('127.0.0.3', port), await connects('127.0.0.1', port)]).toEqual([true, false]);
    } finally {
      await settings(pbx, { udp_bind: null, tcp_bind: null });
    }
    await until('TCP where it was', () => connects('127.0.0.1', port));
    expect(await registers('127.0.0.1')).toBe(200);
  });
});

test('[PLT-36] where messages are checked to the letter, real phones call as ever', async ({ pbx, phones }) => {
  try {
    await settings(pbx, { pedantic: true });
    const alice = await phones.start('101');
    const bob = await phones.start('102');
    await alice.dial('102');
    await bob.waitEvent('CALL_INCOMING');
    await bob.answer();
    await alice.waitEvent('CALL_ESTABLISHED');
    await alice.hangup();
    await bob.waitEvent('CALL_CLOSED');
  } finally {
    await settings(pbx, { pedantic: false });
  }
});

describe('outbound proxy', () => {
  test('[BASE-49] calls to the account, and what follows in them, go by its proxy', async ({ pbx }) => {
    const proxy = await SipProxy.start(pbx.facts.sip.udp);
    const id = await pbx.idOf('account', 'username', pbx.account('102').username);
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: {
      outbound_proxy_override: true, outbound_proxy_address: '127.0.0.1', outbound_proxy_port: proxy.port,
      outbound_proxy_protocol: 'UDP' } }]);
    const alice = await mini(pbx, '101');
    const bob = await MiniPhone.open(pbx.account('102').username, pbx.account('102').secret, `127.0.0.1:${proxy.port}`);
    expect([await alice.register(), await bob.register()]).toEqual([200, 200]);
    proxy.requests.length = 0;

    const call = await alice.call('102');
    expect(call.status).toBe(200);
    await alice.hangup(call);
    await until('BYE went by the proxy', () => proxy.requests.some((line) => line.startsWith('BYE')));
    const went = [...new Set(proxy.requests.map((line) => line.split(' ')[0] ?? ''))]; // some perhaps twice
    expect(went).toEqual(['INVITE', 'ACK', 'BYE']);

    // The account says "no proxy" and means it.
    const invites = proxy.requests.filter((line) => line.startsWith('INVITE')).length;
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { outbound_proxy_address: null } }]);
    const near = await mini(pbx, '102');
    await near.register();
    const direct = await alice.call('102');
    expect(direct.status).toBe(200);
    await alice.hangup(direct);
    expect(proxy.requests.filter((line) => line.startsWith('INVITE')).length).toBe(invites);
    await near.close();
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: {
      outbound_proxy_override: null, outbound_proxy_port: null, outbound_proxy_protocol: null } }]);
    for (const phone of [alice, bob]) await phone.close();
    await proxy.stop();
  });
});

test('[CHG-EXT-04] an extension without phones rings for its time when it is told to', async ({ pbx }) => {
  const id = await pbx.idOf('extension', 'number', '105');
  const change = (body: object): Promise<void> => pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body }]);
  await change({ simulate_ringing: true, no_answer_timeout_internal: 5 });
  const alice = await mini(pbx, '101');
  await alice.register();
  const before = Date.now();
  const call = await alice.call('105');
  expect(call.provisional.map(status)).toContain(180);
  expect(call.status).toBe(480);
  expect(Date.now() - before).toBeGreaterThan(4500);
  await change({ simulate_ringing: null, no_answer_timeout_internal: null });
  expect((await alice.call('105')).provisional.map(status)).not.toContain(180);
  await alice.close();
});

describe('who calls', () => {
  const modes = [['remote_party_id', 'remote-party-id'], ['p_asserted_identity', 'p-asserted-identity'], ['disabled', '']];

  test('[PLT-38] the identity is asserted as the settings say, and no name breaks out of its quotes', async ({ pbx }) => {
    const id = await pbx.idOf('extension', 'number', '101');
    await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { last_name: 'back\\' } }]);
    let invited = new Map<string, string[]>();
    const alice = await mini(pbx, '101');
    const bob = await mini(pbx, '102');
    const listen = bob.channel.take;
    bob.channel.take = (text): void => {
      if (text.startsWith('INVITE')) invited = parseSip(text).headers;
      listen(text);
    };
    await alice.register();
    await bob.register();
    for (const [mode = '', name = ''] of modes) {
      await settings(pbx, { send_rpid_mode: mode });
      await until(`mode ${mode}`, async () => {
        const call = await alice.call('102');
        await alice.hangup(call);
        return ['remote-party-id', 'p-asserted-identity'].every((known) => invited.has(known) === (known === name));
      });
      if (name) expect(invited.get(name)?.[0]).toMatch(/^"Anna back\\\\" <sip:101@[^>]+>/);
      expect(invited.get('from')?.[0]).toMatch(/^"Anna back\\\\" </);
    }
    await settings(pbx, { send_rpid_mode: 'p_asserted_identity' });
    await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { last_name: 'Demo' } }]);
    for (const phone of [alice, bob]) await phone.close();
  });

  test('[PLT-38] what the calling phone asserts is what the called one sees, unless the settings say no', async ({ pbx }) => {
    let invited = new Map<string, string[]>();
    const allow = 'INVITE, ACK, CANCEL, BYE, UPDATE';
    const said: MiniOptions = { lines: [], allow };
    const hears: MiniOptions = { lines: [], allow };
    const alice = await mini(pbx, '101', said);
    const bob = await mini(pbx, '102', hears);
    const listen = bob.channel.take;
    bob.channel.take = (text): void => {
      if (text.startsWith('INVITE')) invited = parseSip(text).headers;
      listen(text);
    };
    await alice.register();
    await bob.register();
    const shown = async (...lines: string[]): Promise<string> => {
      said.lines = lines;
      await alice.hangup(await alice.call('102'));
      return /^(?:"(.*)" )?<sip:([^@]+)@/.exec(invited.get('from')?.[0] ?? '')?.slice(1).join(' | ') ?? '';
    };
    const own = 'Anna Demo | 101';
    const name = pbx.account('101').username;
    expect(await shown('P-Asserted-Identity: "Desk \\"7\\"" <sip:9007@elsewhere.example>')).toBe('Desk \\"7\\" | 9007');
    expect(invited.get('p-asserted-identity')?.[0]).toMatch(/^"Desk \\"7\\"" <sip:9007@127/);
    expect(await shown('P-Asserted-Identity: <tel:+390501234567>')).toBe(' | +390501234567');
    expect(await shown('Remote-Party-ID: Porter <sip:9008@x.example>;party=calling;privacy=off')).toBe('Porter | 9008');
    expect(await shown(`P-Asserted-Identity: <sip:${name}@x.example>`)).toBe(own);
    for (const useless of ['P-Asserted-Identity: nonsense', 'P-Asserted-Identity: <sip:a%0d%0ab@x.example>',
      'Remote-Party-ID: <sip:9@x.example>;party=called', 'Remote-Party-ID: <sip:9@x.example>;privacy=full']) {
      expect(await shown(useless)).toBe(own);
    }
    const [cdr] = await pbx.cdrs(1);
    expect(JSON.stringify(cdr)).toContain('"101"'); // whose rights counted

    // Another party within a call: the other phone is told, once, if it takes UPDATE (D-091).
    said.lines = [];
    const call = await alice.call('102');
    const other = await until('it is there', () => bob.calls.at(-1));
    const told = (one: MiniCall): string[] => one.requests.filter((m) => method(m) === 'UPDATE').map((m) => header(m, 'p-asserted-identity'));
    said.lines = ['P-Asserted-Identity: "Boss" <sip:9010@x.example>'];
    for (const body of ['', '', alice.sdp(call.rtp)]) expect(status(await alice.inDialog(call, 'UPDATE', body))).toBe(200);
    await until('the called phone is told', () => told(other).length > 0);
    hears.lines = ['P-Asserted-Identity: <sip:9011@x.example>'];
    expect(status(await bob.inDialog(other, 'INVITE', bob.sdp(other.rtp)))).toBe(200);
    await until('the calling phone is told', () => told(call).length > 0);
    hears.lines = [];
    said.lines = [];
    await alice.hangup(call);
    expect(told(other)).toEqual([expect.stringMatching(/^"Boss" <sip:9010@127/)]);
    expect(told(call)).toEqual([expect.stringMatching(/^<sip:9011@127/)]);

    await settings(pbx, { accept_rpid: false });
    await until('nothing is accepted', async () => (await shown('P-Asserted-Identity: <sip:9007@x.example>')) === own);
    await settings(pbx, { accept_rpid: true });
    for (const phone of [alice, bob]) await phone.close();
  });
});

/** The TOS octets of the packets that reach a port: node does not tell them, python does. */
async function tosAt(send: (port: number) => void): Promise<number> {
  const child = spawn('python3', ['-c', `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); s.settimeout(10)
s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS if hasattr(socket, "IP_RECVTOS") else 13, 1)
print(s.getsockname()[1], flush=True)
print(s.recvmsg(2048, 64)[1][0][2][0], flush=True)`]);
  let text = '';
  child.stdout.on('data', (data) => (text += String(data)));
  await until('the port', () => text.includes('\n'));
  send(Number(text.split('\n')[0]));
  await until('a packet', () => text.split('\n').length > 2);
  return Number(text.split('\n')[1]);
}

test('[PLT-39] sound carries the DSCP of the settings, also none', async ({ pbx }) => {
  const [alice, bob] = [await mini(pbx, '101'), await mini(pbx, '102')];
  await alice.register();
  await bob.register();
  bob.startRtp();
  for (const dscp of [10, 0, 46]) {
    await settings(pbx, { tos_audio: dscp });
    await until(`DSCP ${dscp}`, async () => {
      let call: ReturnType<typeof alice.call> | undefined;
      const tos = await tosAt((port) => {
        call = alice.call('102', { text: ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 'c=IN IP4 127.0.0.1', 't=0 0',
          `m=audio ${port} RTP/AVP 8`, 'a=rtpmap:8 PCMA/8000', ''].join('\r\n') });
      });
      if (call) await alice.hangup(await call);
      return tos === dscp << 2;
    });
  }
  for (const phone of [alice, bob]) await phone.close();
});
