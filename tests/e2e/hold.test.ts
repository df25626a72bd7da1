// Hold in every form that phones have, from either side (TEL-03; RFC 3264 sections 5.1, 6.1, 8.4; RFC 2543; RFC 3311).
import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { closePhones, phone } from './lib/phones.js';
import { method, status, type SipMessage } from './lib/sipmessage.js';
import { delay, until } from './lib/wait.js';

const directionOf = (sdp: string): string => /^a=(sendrecv|sendonly|recvonly|inactive)/m.exec(sdp)?.[1] ?? '';
const reinvites = (call: MiniCall): SipMessage[] => call.requests.filter((m) => method(m) === 'INVITE');
const stateOf = async (pbx: Pbx): Promise<string | undefined> =>
  (await pbx.ctlJson<{ state: string }[]>('calls'))[0]?.state;
const held = (pbx: Pbx): Promise<unknown> => until('held', async () => (await stateOf(pbx)) === 'held');
const answered = (pbx: Pbx): Promise<unknown> => until('answered', async () => (await stateOf(pbx)) === 'answered');

type Side = { phone: MiniPhone; call: MiniCall };

/** Two that talk, each with an octet of its own. */
async function talk(pbx: Pbx): Promise<{ caller: Side; callee: Side }> {
  const far = await phone(pbx, '102');
  const near = await phone(pbx, '101');
  const call = await near.call('102');
  const other = await until('the call arrives', () => far.calls.at(-1));
  call.rtp.fill = 0x31;
  other.rtp.fill = 0x32;
  call.rtp.start();
  other.rtp.start();
  const pair = { caller: { phone: near, call }, callee: { phone: far, call: other } };
  await hear(pair.caller, 0x32);
  await hear(pair.callee, 0x31);
  return pair;
}

/** Hears this octet, and that it is so now. */
async function hear(side: Side, fill: number): Promise<void> {
  side.call.rtp.reset();
  await until(`0x${fill.toString(16)} is heard`, () => side.call.rtp.heardFill === fill);
}

/** Hears sound, for a quarter of a second, that is not the other's. */
async function hearMusic(side: Side, not: number): Promise<void> {
  await until('the other is no longer heard', async () => {
    side.call.rtp.reset();
    await delay(100);
    return side.call.rtp.received > 2 && side.call.rtp.heardFill !== not;
  });
  const heard = new Set<number>();
  await until('music', () => {
    heard.add(side.call.rtp.heardFill);
    return side.call.rtp.received > 12;
  }, 5000, 5);
  expect(heard.size).toBeGreaterThan(3); // neither silence nor one octet, which the others send
}

async function hearNothing(...sides: Side[]): Promise<void> {
  await delay(200); // what is on its way
  for (const side of sides) side.call.rtp.reset();
  await delay(300);
  for (const side of sides) expect(side.call.rtp.received).toBe(0);
}

afterEach(() => closePhones());
afterAll(stopPbx);

type Way = { name: string; how: { dir?: string; address?: string }; answer: string };
const ways: Way[] = [
  { name: 'a=sendonly', how: { dir: 'sendonly' }, answer: 'recvonly' },
  { name: 'a=inactive', how: { dir: 'inactive' }, answer: 'inactive' },
  { name: 'c=0.0.0.0', how: { address: '0.0.0.0' }, answer: 'sendrecv' },
  { name: 'c=0.0.0.0 and a=sendonly', how: { address: '0.0.0.0', dir: 'sendonly' }, answer: 'recvonly' },
  { name: 'c=0.0.0.0 and a=inactive', how: { address: '0.0.0.0', dir: 'inactive' }, answer: 'inactive' },
];

describe('one holds', () => {
  for (const request of ['INVITE', 'UPDATE']) {
    for (const who of ['caller', 'callee'] as const) {
      for (const { name, how, answer } of ways) {
        test(`[TEL-03] the ${who} by ${request} with ${name}`, async ({ pbx }) => {
          const pair = await talk(pbx);
          const mine = pair[who];
          const theirs = pair[who === 'caller' ? 'callee' : 'caller'];
          if (!mine.call.peerTarget) throw new Error('no target');

          const reply = await mine.phone.inDialog(mine.call, request, mine.phone.sdp(mine.call.rtp, how));
          expect(status(reply)).toBe(200);
          expect(directionOf(reply.body)).toBe(answer);
          await held(pbx);
          await hearMusic(theirs, mine.call.rtp.fill);
          await hearNothing(mine);

          const back = await mine.phone.inDialog(mine.call, request, mine.phone.sdp(mine.call.rtp));
          expect(directionOf(back.body)).toBe('sendrecv');
          mine.call.rtp.sendTo(back.body);
          await answered(pbx);
          await hear(theirs, mine.call.rtp.fill);
          await hear(mine, theirs.call.rtp.fill);
          expect(reinvites(theirs.call)).toHaveLength(0);
        });
      }
    }
  }
});

describe('both hold', () => {
  for (const first of ways.slice(0, 3)) {
    for (const second of ways.slice(0, 3)) {
      test(`[TEL-03] the caller with ${first.name}, the callee with ${second.name}`, async ({ pbx }) => {
        const { caller, callee } = await talk(pbx);
        await caller.phone.inDialog(caller.call, 'INVITE', caller.phone.sdp(caller.call.rtp, first.how));
        await callee.phone.inDialog(callee.call, 'INVITE', callee.phone.sdp(callee.call.rtp, second.how));
        await held(pbx);
        await hearNothing(caller, callee);

        const back = await caller.phone.inDialog(caller.call, 'INVITE', caller.phone.sdp(caller.call.rtp));
        expect(directionOf(back.body)).toBe('sendrecv');
        await hearMusic(caller, callee.call.rtp.fill);
        expect(await stateOf(pbx)).toBe('held');
        await callee.phone.inDialog(callee.call, 'INVITE', callee.phone.sdp(callee.call.rtp));
        await answered(pbx);
        await hear(caller, callee.call.rtp.fill);
        await hear(callee, caller.call.rtp.fill);
      });
    }
  }
});

describe('without an offer', () => {
  for (const { name, how } of ways.slice(0, 3)) {
    test(`[TEL-03] ${name}, then a re-INVITE without offer: the ACK keeps the hold, another one ends it`, async ({ pbx }) => {
      const { caller, callee } = await talk(pbx);
      const { phone: self, call } = caller;
      await self.inDialog(call, 'INVITE', self.sdp(call.rtp, how));
      await held(pbx);

      const kept = await self.inDialog(call, 'INVITE', '', undefined, self.sdp(call.rtp, how));
      expect(status(kept)).toBe(200);
      expect(directionOf(kept.body)).toBe('sendrecv'); // RFC 6337 section 5.3: all that we can
      await hearMusic(callee, 0x31);
      expect(await stateOf(pbx)).toBe('held');

      await self.inDialog(call, 'INVITE', '', undefined, self.sdp(call.rtp));
      await answered(pbx);
      await hear(callee, 0x31);
      await hear(caller, 0x32);
      expect(reinvites(callee.call)).toHaveLength(0);
    });
  }
});

describe('from the start', () => {
  for (const { name, how } of ways.filter((way) => way.answer !== 'recvonly')) {
    test(`[TEL-03] an INVITE with ${name}: who answers hears music until the address comes (RFC 3725)`, async ({ pbx }) => {
      const far = await phone(pbx, '102');
      const near = await phone(pbx, '101');
      const call = await near.call('102', how);
      expect(call.status).toBe(200);
      const other = await until('the call arrives', () => far.calls.at(-1));
      expect(directionOf(other.remoteSdp) || 'sendrecv').toBe('sendrecv');
      const callee = { phone: far, call: other };
      other.rtp.fill = 0x32;
      other.rtp.start();
      await held(pbx);
      await hearMusic(callee, 0x31);
      await near.inDialog(call, 'INVITE', near.sdp(call.rtp));
      call.rtp.fill = 0x31;
      call.rtp.start();
      await answered(pbx);
      await hear(callee, 0x31);
      await hear({ phone: near, call }, 0x32);
      expect(reinvites(other)).toHaveLength(0);
    });
  }

  test('an announcement (a=sendonly from the start) is heard, no music', async ({ pbx }) => {
    const far = await phone(pbx, '102');
    const near = await phone(pbx, '101');
    const call = await near.call('102', { dir: 'sendonly' });
    const other = await until('the call arrives', () => far.calls.at(-1));
    call.rtp.fill = 0x31;
    call.rtp.start();
    other.rtp.start();
    await hear({ phone: far, call: other }, 0x31);
    await hearNothing({ phone: near, call });
    expect(await stateOf(pbx)).toBe('answered');
    expect(reinvites(other)).toHaveLength(0);
  });
});
