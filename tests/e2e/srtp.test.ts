// Encrypted sound by SDES keys (BASE-48, PLT-41, D-080): off, optional, required; encrypted and plain.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall, type MiniOptions } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { closePhones, phone, withAccounts } from './lib/phones.js';
import { status, type SipMessage } from './lib/sipmessage.js';
import { keysOf, SrtpKeys, type Suite } from './lib/srtp.js';
import { delay, until } from './lib/wait.js';

type Srtp = 'off' | 'optional' | 'required';

const everyKey: string[] = [];

const srtp = (pbx: Pbx, setting: Record<string, Srtp>): Promise<void> =>
  withAccounts(pbx, Object.fromEntries(Object.entries(setting).map(([extension, value]) => [extension, { srtp: value }])));

const inviteOf = (callee: MiniPhone, n = 0): string =>
  callee.seen.filter((message) => message.start.startsWith('INVITE'))[n]?.body ?? '';
const protoOf = (sdp: string): string => /m=audio \d+ (\S+)/.exec(sdp)?.[1] ?? '';
const hasKeys = (sdp: string): boolean => sdp.includes('a=crypto');

/** Answers with keys of a suite, the way the offer was made. */
function answerWith(suite: Suite, proto?: string): Pick<MiniOptions, 'onInvite'> {
  return {
    onInvite: (self, call, invite) => {
      const mine = new SrtpKeys(suite);
      const tag = Number(new RegExp(`a=crypto:(\\d+) ${suite} `).exec(invite.body)?.[1] ?? 1);
      everyKey.push(mine.inline);
      call.rtp.tx = mine;
      call.rtp.rx = keysOf(invite.body, suite);
      everyKey.push(call.rtp.rx.inline);
      self.respond(call, invite, 200, 'OK', self.sdp(call.rtp, {
        proto: proto ?? protoOf(invite.body), attributes: [mine.line(tag)],
      }));
    },
  };
}

/** Both hear the other's octet, and nothing that they could not open. */
async function bothHear(a: MiniCall, b: MiniCall): Promise<void> {
  a.rtp.fill = 0x11;
  b.rtp.fill = 0x22;
  a.rtp.start();
  b.rtp.start();
  await until('the callee hears', () => b.rtp.heardFill === 0x11 && b.rtp.received > 20);
  await until('the caller hears', () => a.rtp.heardFill === 0x22 && a.rtp.received > 20);
  expect([a.rtp.rejected, b.rtp.rejected]).toEqual([0, 0]);
}

const calleeOf = (callee: MiniPhone): Promise<MiniCall> => until('the call arrives', () => callee.calls.at(-1));

/** Calls with keys; the call has them before its first packet. */
async function callWith(caller: MiniPhone, number: string, suite: Suite, proto = 'RTP/SAVP'): Promise<MiniCall> {
  const mine = new SrtpKeys(suite);
  everyKey.push(mine.inline);
  const call = await caller.call(number, { proto, attributes: [mine.line(7)] });
  if (call.status === 200 && hasKeys(call.remoteSdp)) {
    call.rtp.tx = mine;
    call.rtp.rx = keysOf(call.remoteSdp, suite);
    everyKey.push(call.rtp.rx.inline);
  }
  return call;
}

afterEach(() => closePhones());
afterAll(stopPbx);

describe('what a phone may ask for', () => {
  const cases: [Srtp, string, boolean, number][] = [
    // account, proto, with keys, status
    ['off', 'RTP/AVP', false, 200],
    ['off', 'RTP/AVP', true, 200],
    ['off', 'RTP/SAVP', true, 488],
    ['optional', 'RTP/AVP', false, 200],
    ['optional', 'RTP/AVP', true, 200],
    ['optional', 'RTP/SAVP', true, 200],
    ['required', 'RTP/AVP', false, 488],
    ['required', 'RTP/AVP', true, 200],
    ['required', 'RTP/SAVP', true, 200],
    ['required', 'RTP/SAVP', false, 488],
  ];
  for (const [account, proto, keys, wanted] of cases) {
    test(`[BASE-48] ${account}: ${proto} ${keys ? 'with' : 'without'} keys: ${wanted}`, async ({ pbx }) => {
      await srtp(pbx, { '101': account, '102': 'off' });
      const callee = await phone(pbx, '102');
      const caller = await phone(pbx, '101');
      const call = keys
        ? await callWith(caller, '102', 'AES_CM_128_HMAC_SHA1_80', proto)
        : await caller.call('102', { proto });
      expect(call.status).toBe(wanted);
      if (wanted !== 200) {
        expect(callee.calls).toHaveLength(0);
        expect(pbx.output).toContain('call.encryption');
        return;
      }
      expect(protoOf(call.remoteSdp)).toBe(proto);
      expect(hasKeys(call.remoteSdp)).toBe(keys && account !== 'off');
      expect(protoOf(inviteOf(callee))).toBe('RTP/AVP'); // nothing of the caller's leaks
      expect(hasKeys(inviteOf(callee))).toBe(false);
      await bothHear(call, await calleeOf(callee));
      await caller.hangup(call);
    });
  }
});

describe('what a phone is offered', () => {
  test('[BASE-48] required: nor is a caller without offer who answers ours in clear', async ({ pbx }) => {
    await srtp(pbx, { '101': 'required', '102': 'off' });
    const callee = await phone(pbx, '102');
    const caller = await phone(pbx, '101');
    const call = await caller.call('102', { text: '' });
    expect(protoOf(call.remoteSdp)).toBe('RTP/SAVP');
    const other = await calleeOf(callee);
    other.rtp.start();
    await until('the call is ended', () => call.endedBy === 'bye' && other.endedBy === 'bye');
    expect(call.rtp.received).toBe(0);
  });

  test('[BASE-48] required: RTP/SAVP, and who answers in clear is not connected', async ({ pbx }) => {
    await srtp(pbx, { '101': 'off', '102': 'required' });
    const callee = await phone(pbx, '102', {
      onInvite: (self, call, invite) => self.respond(call, invite, 200, 'OK', self.sdp(call.rtp)),
    });
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    expect(protoOf(inviteOf(callee))).toBe('RTP/SAVP');
    expect(call.status).toBe(488);
    await until('the callee is released', () => callee.calls[0]?.endedBy === 'bye');
  });

  test('[BASE-48] optional: keys beside plain RTP, and the phone decides', async ({ pbx }) => {
    await srtp(pbx, { '101': 'off', '102': 'optional', '103': 'optional' });
    const secret = await phone(pbx, '102', answerWith('AES_CM_128_HMAC_SHA1_80'));
    const plain = await phone(pbx, '103');
    const caller = await phone(pbx, '101');
    for (const [number, callee] of [['102', secret], ['103', plain]] as const) {
      const call = await caller.call(number);
      expect(call.status).toBe(200);
      expect(protoOf(inviteOf(callee))).toBe('RTP/AVP');
      expect(hasKeys(inviteOf(callee))).toBe(true);
      expect(hasKeys(call.remoteSdp)).toBe(false);
      await bothHear(call, await calleeOf(callee));
      await caller.hangup(call);
    }
  });

  test('optional: a phone that refuses keys is asked again without', async ({ pbx }) => {
    await srtp(pbx, { '101': 'off', '102': 'optional' });
    const callee = await phone(pbx, '102', {
      onInvite: (self, call, invite) => {
        if (hasKeys(invite.body)) self.respond(call, invite, 488, 'Not Acceptable Here');
        else self.respond(call, invite, 200, 'OK', self.sdp(call.rtp));
      },
    });
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    expect(call.status).toBe(200);
    await bothHear(call, await calleeOf(callee));
    await caller.hangup(call);
  });

  for (const suite of [
    'AES_CM_128_HMAC_SHA1_80', 'AES_CM_128_HMAC_SHA1_32', 'AES_256_CM_HMAC_SHA1_80', 'AEAD_AES_128_GCM', 'AEAD_AES_256_GCM',
  ] as const) {
    test(`[PLT-41] ${suite} on both sides, each with keys of its own`, async ({ pbx }) => {
      await srtp(pbx, { '101': 'required', '102': 'required' });
      const callee = await phone(pbx, '102', answerWith(suite));
      const caller = await phone(pbx, '101');
      const call = await callWith(caller, '102', suite);
      expect(call.status).toBe(200);
      expect(call.remoteSdp).toContain(`a=crypto:7 ${suite} `);
      const other = await calleeOf(callee);
      expect(call.rtp.rx?.inline).not.toBe(other.rtp.tx?.inline);
      await bothHear(call, other);
      await caller.hangup(call);
    });
  }
});

/** 101 with keys talks to 102 without. */
async function encryptedToPlain(pbx: Pbx): Promise<{
  caller: MiniPhone; callee: MiniPhone; call: MiniCall; other: MiniCall;
}> {
  await srtp(pbx, { '101': 'required', '102': 'off' });
  const callee = await phone(pbx, '102');
  const caller = await phone(pbx, '101');
  const call = await callWith(caller, '102', 'AES_CM_128_HMAC_SHA1_80');
  return { caller, callee, call, other: await calleeOf(callee) };
}

describe('during the call', () => {
  test('who has the wrong key hears nothing and is not heard', async ({ pbx }) => {
    const { caller, call, other } = await encryptedToPlain(pbx);
    call.rtp.tx = new SrtpKeys('AES_CM_128_HMAC_SHA1_80');
    call.rtp.rx = new SrtpKeys('AES_CM_128_HMAC_SHA1_80');
    call.rtp.start();
    other.rtp.start();
    await until('packets that do not open', () => call.rtp.rejected > 20);
    expect(call.rtp.received).toBe(0);
    expect(other.rtp.received).toBe(0);
    // And what is on the wire is no sound: the octets are not those that were said.
    call.rtp.rx = undefined;
    other.rtp.fill = 0x33;
    await until('packets in cipher', () => call.rtp.received > 20);
    expect(call.rtp.heardFill).not.toBe(0x33);
    await caller.hangup(call);
  });

  test('hold and back keep the keys', async ({ pbx }) => {
    const { caller, call, other } = await encryptedToPlain(pbx);
    await bothHear(call, other);
    const answered = call.remoteSdp;
    for (const dir of ['sendonly', 'sendrecv']) {
      const reply: SipMessage = await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp, {
        dir, proto: 'RTP/SAVP', attributes: [call.rtp.tx?.line(7) ?? ''],
      }));
      expect(status(reply)).toBe(200);
      expect(keysOf(reply.body, 'AES_CM_128_HMAC_SHA1_80').inline).toBe(
        keysOf(answered, 'AES_CM_128_HMAC_SHA1_80').inline);
      await delay(200);
    }
    call.rtp.reset();
    other.rtp.reset();
    await bothHear(call, other);
    await caller.hangup(call);
  });

  test('a suite in use stays, though a re-INVITE names another one first', async ({ pbx }) => {
    const { caller, call, other } = await encryptedToPlain(pbx);
    await bothHear(call, other);
    const reply: SipMessage = await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp, {
      proto: 'RTP/SAVP',
      attributes: [new SrtpKeys('AEAD_AES_256_GCM').line(1), call.rtp.tx?.line(7) ?? ''],
    }));
    expect(status(reply)).toBe(200);
    expect(reply.body).toContain('a=crypto:7 AES_CM_128_HMAC_SHA1_80 ');
    call.rtp.reset();
    other.rtp.reset();
    await bothHear(call, other);
    await caller.hangup(call);
  });

  test('a crash of the switch does not touch encrypted sound', async ({ pbx }) => {
    const { caller, callee, call, other } = await encryptedToPlain(pbx);
    await bothHear(call, other);
    const old = pbx.childPid('switch') ?? 0;
    process.kill(old, 'SIGKILL');
    call.rtp.reset();
    caller.longestStallMs = callee.longestStallMs = 0;
    // The new switch ends the call; until its BYE comes the sound goes on.
    await until('the call ends', () => call.endedBy === 'bye');
    expect(call.rtp.received).toBeGreaterThan(0); // how many depends on how soon the new switch is there
    expect(call.rtp.longestGapMs - Math.max(caller.longestStallMs, callee.longestStallMs)).toBeLessThan(200);
    expect(call.rtp.rejected).toBe(0);
    await until('a new switch', async () => (pbx.childPid('switch') ?? old) !== old && (await pbx.ctl('status')).length > 0);
  });
});

describe('with real phones', () => {
  // media encryption of baresip -> what its account must be
  const kinds = { plain: '', optional: ';mediaenc=srtp', required: ';mediaenc=srtp-mand' } as const;
  const pairs: [keyof typeof kinds, Srtp, keyof typeof kinds, Srtp][] = [
    ['required', 'required', 'plain', 'off'],
    ['plain', 'off', 'required', 'required'],
    ['required', 'required', 'required', 'required'],
    ['optional', 'optional', 'optional', 'optional'],
    ['plain', 'optional', 'required', 'optional'],
  ];
  for (const [a, aAccount, b, bAccount] of pairs) {
    test(`[BASE-48] baresip ${a} (account ${aAccount}) calls baresip ${b} (account ${bAccount})`, async ({ pbx, phones }) => {
      await srtp(pbx, { '101': aAccount, '102': bAccount });
      const caller = await phones.start('101', { modules: ['srtp.so'], extra: kinds[a] });
      const callee = await phones.start('102', { modules: ['srtp.so'], extra: kinds[b], autoAnswer: true });
      await caller.dial('102');
      await caller.waitEvent('CALL_ESTABLISHED');
      await Promise.all([caller.hears(500), callee.hears(400)]);
      await caller.hangup();
      await callee.waitEvent('CALL_CLOSED');
    });
  }
});

describe('with DTLS and ICE of a SIP phone', () => {
  const cases: [string, string[], string, Srtp][] = [
    ['DTLS-SRTP on one port', ['dtls_srtp.so'], ';mediaenc=dtls_srtp;rtcp_mux=yes', 'required'],
    ['DTLS-SRTP on two ports', ['dtls_srtp.so'], ';mediaenc=dtls_srtp', 'optional'],
    ['ICE', ['ice.so'], ';medianat=ice', 'off'],
    ['ICE and SDES', ['ice.so', 'srtp.so'], ';medianat=ice;mediaenc=srtp-mand', 'required'],
  ];
  for (const [name, modules, extra, account] of cases) {
    test(`baresip with ${name} calls a plain phone`, async ({ pbx, phones }) => {
      await srtp(pbx, { '101': account, '102': 'off' });
      const caller = await phones.start('101', { modules, extra });
      const callee = await phones.start('102', { autoAnswer: true });
      await caller.dial('102');
      await caller.waitEvent('CALL_ESTABLISHED');
      await Promise.all([caller.hears(500), callee.hears(400)]);
      await caller.hangup();
      await callee.waitEvent('CALL_CLOSED');
    });
  }
});

describe('the system switch', () => {
  test('[PLT-41] without SRTP support nobody is offered keys, and who insists is refused', async ({ pbx }) => {
    await srtp(pbx, { '101': 'off', '102': 'optional' });
    await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { srtp_support: false } }]);
    try {
      const callee = await phone(pbx, '102');
      const caller = await phone(pbx, '101');
      const call = await caller.call('102');
      expect(call.status).toBe(200);
      expect(hasKeys(inviteOf(callee))).toBe(false);
      await caller.hangup(call);
      const back = await callWith(callee, '101', 'AES_CM_128_HMAC_SHA1_80');
      expect(back.status).toBe(488);
    } finally {
      await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { srtp_support: true } }]);
    }
  });
});

test('no key of any call is in a log, in the journal of calls or in another file', async ({ pbx }) => {
  await srtp(pbx, { '101': 'required', '102': 'required' });
  await pbx.ctl('log', '*', 'debug');
  const callee = await phone(pbx, '102', answerWith('AES_CM_128_HMAC_SHA1_80'));
  const caller = await phone(pbx, '101');
  const call = await callWith(caller, '102', 'AES_CM_128_HMAC_SHA1_80');
  await bothHear(call, await calleeOf(callee));
  expect(everyKey.length).toBeGreaterThan(3);
  const files = readdirSync(pbx.dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  for (const key of everyKey) {
    expect(pbx.output.includes(key)).toBe(false);
    for (const file of files) expect(readFileSync(file).includes(key), file).toBe(false);
  }
  await caller.hangup(call);
  await pbx.ctl('log', '*', 'info');
});
