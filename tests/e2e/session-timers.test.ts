// Session timers in real time, all roles at once (RFC 4028; issue: foundation, switch).
import { afterAll, afterEach, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniOptions } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { header, method } from './lib/sipmessage.js';
import { delay, until } from './lib/wait.js';

const open: MiniPhone[] = [];

async function phone(pbx: Pbx, extension: string, options: MiniOptions = {}): Promise<MiniPhone> {
  const { username, secret } = pbx.account(extension);
  const made = await MiniPhone.open(username, secret, pbx.facts.sip.udp, options);
  open.push(made);
  expect(await made.register()).toBe(200);
  return made;
}

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
afterAll(stopPbx);

const timer = ['Supported: timer', 'Session-Expires: 90', 'Min-SE: 90'];
const causeOf = (phone_: MiniPhone): string => header(phone_.seen.filter((m) => method(m) === 'BYE').at(-1) ?? phone_.seen[0]!, 'reason');

test('the PBX refreshes by UPDATE or re-INVITE; a phone that should have refreshed and did not is gone', { timeout: 120_000 }, async ({ pbx }) => {
  // 101 leaves the choice to us, and knows UPDATE; 102 wants to be refreshed, and knows re-INVITE only.
  const called = await phone(pbx, '102', { lines: ['Supported: timer', 'Session-Expires: 90;refresher=uac'], allow: 'INVITE, ACK, BYE, CANCEL' });
  const caller = await phone(pbx, '101', { lines: timer, allow: 'INVITE, ACK, BYE, CANCEL, UPDATE' });
  const call = await caller.call('102');
  expect(call.status).toBe(200);
  // 103 wants to refresh its call to 104, and never does.
  const patient = await phone(pbx, '104');
  const lazy = await phone(pbx, '103', { lines: ['Supported: timer', 'Session-Expires: 90;refresher=uac'] });
  const dies = await lazy.call('104');
  expect(dies.status).toBe(200);
  const other = called.calls[0];
  if (!other) throw new Error('no call');

  // Half of 90 s later.
  await until('UPDATE to the caller', () => call.requests.find((m) => method(m) === 'UPDATE'), 80_000, 200);
  const again = await until('re-INVITE to the callee', () => other.requests.find((m) => method(m) === 'INVITE'), 20_000, 200);
  expect(header(again, 'session-expires')).toMatch(/^90;refresher=uac/);
  expect(again.body).toMatch(/m=audio [1-9]/); // the same session once more

  // 32 s before the end (section 10) the PBX takes the silent phone for gone.
  await until('BYE', () => dies.endedBy === 'bye' && patient.calls[0]?.endedBy === 'bye', 60_000, 200);
  expect(causeOf(patient)).toBe('Q.850;cause=102');
  await delay(100);
  expect([call.endedBy, other.endedBy]).toEqual(['', '']);
  await caller.hangup(call);
  const rows = await pbx.cdrs(2);
  expect(rows.map((row) => row['status'])).toEqual(['OK', 'OK']);
});
