// Ways to reach the PBX besides UDP over IPv4 (issue: foundation, point 8).
import { afterAll, afterEach, describe, expect } from 'vitest';

import { Baresip } from './lib/baresip.js';
import { splitHostPort, type Transport } from './lib/channel.js';
import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall, type MiniOptions } from './lib/miniphone.js';
import { Pbx } from './lib/pbx.js';
import { closePhone, closePhones, phone } from './lib/phones.js';
import { method, status } from './lib/sipmessage.js';
import { until } from './lib/wait.js';

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

afterEach(() => closePhones());
afterAll(stopPbx);

describe('transports', () => {
  for (const transport of ['tcp', 'tls', 'ws', 'wss'] as Transport[]) {
    test(`${transport}: registers, calls, and is called on the connection it opened`, async ({ pbx }) => {
      await pbx.configure([
        {
          path: `/api/pbx/v2/account/${await pbx.idOf('account', 'username', pbx.account('101').username)}`,
          body: { transport_ws: true, transport_wss: true },
        },
      ]);
      const one = await phone(pbx, '101', { transport });
      const other = await phone(pbx, '102');
      const items = await pbx.ctlJson<{ username: string; transport: string }[]>('registrations');
      expect(items.find((item) => item.username === one.username)?.transport.toLowerCase()).toBe(transport);

      const [mine, theirs] = await talk(one, '102', other);
      expect(await one.hangup(mine)).toBe(200);
      await until('BYE', () => theirs.endedBy === 'bye');

      const [, back] = await talk(other, '101', one);
      expect(await one.hangup(back)).toBe(200);
      await until('no call is left', async () => (await pbx.ctlJson<unknown[]>('calls')).length === 0);

      // And the other end hangs up.
      const [again, last] = await talk(other, '101', one);
      expect(await other.hangup(again)).toBe(200);
      await until('BYE on the connection', () => last.endedBy === 'bye');
    });
  }

  for (const transport of ['tcp', 'tls', 'ws', 'wss'] as Transport[]) {
    test(`${transport}: who loses its connection while it rings has hung up, or cannot be rung any more`, async ({ pbx }) => {
      await pbx.configure([
        {
          path: `/api/pbx/v2/account/${await pbx.idOf('account', 'username', pbx.account('101').username)}`,
          body: { transport_ws: true, transport_wss: true },
        },
      ]);
      const rings: MiniOptions = { onInvite: (self, call, invite) => self.respond(call, invite, 180, 'Ringing') };
      const other = await phone(pbx, '102', rings);
      const caller = await phone(pbx, '101', { transport });
      caller.call('102').catch(() => undefined); // nobody will answer it
      const theirs = await until('it rings', () => other.calls[0]);
      await until('the caller knows', () => caller.calls[0]?.provisional.find((m) => status(m) === 180));
      await closePhone(caller);
      await until('the phone stops ringing', () => theirs.requests.find((m) => method(m) === 'CANCEL'));
      await until('no call is left', async () => (await pbx.ctlJson<unknown[]>('calls')).length === 0);

      const callee = await phone(pbx, '101', { ...rings, transport });
      const mine = other.call('101');
      await until('it rings', () => callee.calls[0]);
      await until('the caller knows', () => other.calls.at(-1)?.provisional.find((m) => status(m) === 180));
      await closePhone(callee);
      expect((await mine).status).toBe(480);
    });
  }

  test('a connection that is closed takes its registration along: 480', async ({ pbx }) => {
    const one = await phone(pbx, '103', { transport: 'ws' });
    const caller = await phone(pbx, '101');
    await closePhone(one);
    const call = await caller.call('103');
    expect(call.status).toBe(480);
  });
});

describe('IPv6', () => {
  test('phones on ::1 register, call and talk', async () => {
    const pbx = await Pbx.start([], '::1');
    try {
      const one = await phone(pbx, '101');
      const other = await phone(pbx, '102');
      const [mine, theirs] = await talk(one, '102', other);
      expect(mine.remoteSdp).toMatch(/c=IN IP6 ::1/);
      expect(await one.hangup(mine)).toBe(200);
      await until('BYE', () => theirs.endedBy === 'bye');
    } finally {
      await closePhones();
      await pbx.stop();
    }
  });
});

describe('IPv4 and IPv6 at once', () => {
  test('a desk phone on ::1 and one on 127.0.0.1 hear each other, whoever calls', async () => {
    const pbx = await Pbx.start([], '::');
    const phones: Baresip[] = [];
    try {
      const start = async (extension: string, address: string, toneHz: number): Promise<Baresip> => {
        const { username, secret } = pbx.account(extension);
        const host = address.includes(':') ? `[${address}]` : address;
        const made = await Baresip.start({
          username, secret, server: `${host}:${splitHostPort(pbx.facts.sip.udp).port}`, address, toneHz, autoAnswer: true, codecs: 'PCMA',
        });
        phones.push(made);
        return made;
      };
      const six = await start('101', '::1', 400);
      const four = await start('102', '127.0.0.1', 500);
      for (const [caller, callee, number] of [[six, four, '102'], [four, six, '101']] as const) {
        const before = [caller.events.length, callee.events.length];
        await caller.dial(number);
        await caller.waitEvent('CALL_ESTABLISHED', before[0]);
        await Promise.all([six.hears(500), four.hears(400)]);
        await caller.hangup();
        await callee.waitEvent('CALL_CLOSED', before[1]);
      }
    } finally {
      for (const phone of phones) await phone.close();
      await pbx.stop();
    }
  });
});
