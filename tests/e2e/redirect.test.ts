// Forwards that are set on the phone: 302 and its kin (TEL-46, CHG-ENG-09, D-363; RFC 3261 section 8.1.3.4).
import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall, type MiniOptions } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { closePhones, phone, withAccount } from './lib/phones.js';
import { header, method, status, type SipMessage } from './lib/sipmessage.js';
import { delay, until } from './lib/wait.js';

/** Answers every call with this status and these Contact lines. */
const moved = (contacts: string[], code = 302, before?: (self: MiniPhone, call: MiniCall, invite: SipMessage) => void): MiniOptions => ({
  onInvite: (self, call, invite): void => {
    before?.(self, call, invite);
    const text = [
      `SIP/2.0 ${code} Moved`, ...(invite.headers.get('via') ?? []).map((via) => `Via: ${via}`),
      `From: ${header(invite, 'from')}`, `To: ${call.local}`, `Call-ID: ${header(invite, 'call-id')}`,
      `CSeq: ${header(invite, 'cseq')}`, ...contacts.map((contact) => `Contact: ${contact}`), 'Content-Length: 0', '', '',
    ].join('\r\n');
    self.sendText(text);
    call.endedBy = 'failure';
  },
});

/** The newest call with its path. */
async function record(pbx: Pbx, called: string): Promise<{ row: Record<string, unknown>; path: Record<string, unknown>[] }> {
  const row = await until('the CDR', async () => {
    const [newest] = await pbx.cdrs(0);
    return newest?.called === called ? newest : undefined;
  });
  return { row, path: row.details as Record<string, unknown>[] };
}

afterEach(() => closePhones({ unregister: true }));
afterAll(stopPbx);

describe('302', () => {
  test('[TEL-46] the call rings where the phone sends it; the record tells the way', async ({ pbx }) => {
    await phone(pbx, '102', moved(['<sip:103@192.0.2.7>']));
    const target = await phone(pbx, '103');
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    expect(call.status).toBe(200);
    expect(call.provisional.map(status)).toContain(181);
    const other = await until('it arrives', () => target.calls.at(-1));
    call.rtp.fill = 0x41;
    other.rtp.fill = 0x42;
    call.rtp.start();
    other.rtp.start();
    await until('both hear each other', () => call.rtp.heardFill === 0x42 && other.rtp.heardFill === 0x41);
    // Who calls is shown, and who sent the call on.
    const invite = target.seen.find((m) => method(m) === 'INVITE') as SipMessage;
    expect(header(invite, 'p-asserted-identity')).toContain('sip:101@');
    expect(header(invite, 'diversion')).toMatch(/^"[^"]+" <sip:102@[^>]+>;reason=unconditional;counter=1$/);
    await caller.hangup(call);
    const { row, path } = await record(pbx, '102');
    expect(row).toMatchObject({ status: 'OK', answered_by: '103', called: '102' });
    expect(path).toMatchObject([
      { detail_destination_num: '102', detail_exit_cause: 'CFWD', detail_answered_by: '' },
      { detail_destination_num: '103', detail_exit_cause: 'NCC', detail_answered_by: '103' },
    ]);
  });

  const forms: [string, string[], number][] = [
    ['300 with several contacts: the best one', ['<sip:999@x>;q=0.1, <sip:103@x>;q=0.9', '<sip:998@x>;q=0.5'], 300],
    ['301', ['<sip:103@x>'], 301],
    ['a tel URI', ['<tel:103;phone-context=example.com>'], 302],
    ['parameters in the user part', ['"Forward" <sip:103;isub=1@x:5070;transport=tcp>'], 302],
    ['escapes, no brackets', ['sip:%3103@x'], 302],
  ];
  for (const [name, contacts, code] of forms) {
    test(`[TEL-46] ${name}`, async ({ pbx }) => {
      await phone(pbx, '102', moved(contacts, code));
      await phone(pbx, '103');
      const caller = await phone(pbx, '101');
      const call = await caller.call('102');
      expect(call.status).toBe(200);
      await caller.hangup(call);
    });
  }

  const nowhere: [string, string[], number, number, number][] = [
    ['without Contact', [], 302, 480, 20],
    ['to nobody in particular', ['<sip:192.0.2.7>'], 302, 480, 20],
    ['to a number that is none', ['<sip:4711@x>'], 302, 404, 1],
    ['with garbage', ['<<;;@>'], 302, 480, 20],
    ['305 names a proxy, which is not asked', ['<sip:103@192.0.2.7>'], 305, 480, 20],
    ['to an extension without a phone', ['<sip:105@x>'], 302, 480, 20],
  ];
  for (const [name, contacts, code, expected, cause] of nowhere) {
    test(`${name}: the caller hears ${expected}`, async ({ pbx }) => {
      await phone(pbx, '102', moved(contacts, code));
      const caller = await phone(pbx, '101');
      const call = await caller.call('102');
      expect(call.status).toBe(expected);
      expect(caller.seen.map((m) => header(m, 'reason')).filter(Boolean).at(-1)).toBe(`Q.850;cause=${cause}`);
    });
  }

  test('[TEL-46] to a service: the echo test answers', async ({ pbx }) => {
    await phone(pbx, '102', moved(['<sip:800@x>']));
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    expect(call.status).toBe(200);
    await caller.hangup(call);
    const { path } = await record(pbx, '102');
    expect(path.map((step) => step.detail_destination_id)).toEqual(['102', 'echo']);
  });

  test('after ringing and early media of the first phone the second one is heard', async ({ pbx }) => {
    await phone(pbx, '102', {
      onInvite: (self, call, invite) => {
        self.respond(call, invite, 183, 'Session Progress', self.sdp(call.rtp));
        call.rtp.fill = 0x43;
        call.rtp.start();
        setTimeout(() => moved(['<sip:103@x>']).onInvite?.(self, call, invite), 600);
      },
    });
    const target = await phone(pbx, '103', { codecs: ['0 PCMU/8000'] });
    const caller = await phone(pbx, '101');
    const pending = caller.call('102');
    const call = await until('the call exists', () => caller.calls[0]);
    call.rtp.start();
    await until('early media', () => call.rtp.heardFill === 0x43);
    expect((await pending).status).toBe(200);
    const other = await until('it arrives', () => target.calls.at(-1));
    other.rtp.payloadType = 0;
    other.rtp.start();
    call.rtp.reset();
    other.rtp.reset();
    await until('sound both ways, transcoded', () => call.rtp.received > 10 && other.rtp.received > 10);
    expect(other.rtp.heardType).toBe(0);
    await caller.hangup(call);
  });
});

describe('several phones of an extension', () => {
  const two = async (pbx: Pbx, n: number | null): Promise<void> => {
    const id = await pbx.idOf('account', 'username', pbx.account('102').username);
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { max_contacts: n } }]);
  };

  /** Rings until it is told to answer, or until another has. */
  const rings = (): MiniOptions & { answer?: () => void } => {
    const options: MiniOptions & { answer?: () => void } = {
      onInvite: (self, call, invite) => {
        self.respond(call, invite, 180, 'Ringing');
        options.answer = () => self.respond(call, invite, 200, 'OK', self.sdp(call.rtp));
        options.onRequest = (_self, _call, message) => {
          if (method(message) === 'CANCEL') self.respond(call, invite, 487, 'Request Terminated');
          return false;
        };
      },
    };
    return options;
  };

  for (const who of ['102', '103'] as const) {
    test(`[TEL-46] one sends the call to 103, the other rings on beside it: ${who} takes it`, async ({ pbx }) => {
      await two(pbx, 2);
      try {
        const [atDesk, elsewhere] = [rings(), rings()];
        const desk = await phone(pbx, '102', atDesk);
        await phone(pbx, '102', moved(['<sip:103@x>']));
        const target = await phone(pbx, '103', elsewhere);
        const caller = await phone(pbx, '101');
        const pending = caller.call('102');
        await until('both ring', () => atDesk.answer && elsewhere.answer);
        const invite = target.seen.find((m) => method(m) === 'INVITE') as SipMessage;
        expect(header(invite, 'diversion')).toMatch(/<sip:102@[^>]+>;reason=unconditional/);
        (who === '102' ? atDesk : elsewhere).answer?.();
        const call = await pending;
        expect(call.status).toBe(200);
        const [winner, loser] = who === '102' ? [desk, target] : [target, desk];
        expect(winner.calls.at(-1)?.isUp).toBe(true);
        await until('the other stops ringing', () => loser.calls.at(-1)?.endedBy === 'failure');
        call.rtp.fill = 0x41;
        call.rtp.start();
        await until('sound', () => winner.calls.at(-1)?.rtp.heardFill === 0x41);
        await caller.hangup(call);
        const { row, path } = await record(pbx, '102');
        expect(row).toMatchObject({ status: 'OK', called: '102', answered_by: who });
        expect(path.map((step) => [step.detail_destination_num, step.detail_exit_cause, step.detail_answered_by]))
          .toEqual(who === '102' ? [['102', 'NCC', '102']] : [['102', 'CFWD', ''], ['103', 'NCC', '103']]);
      } finally {
        await two(pbx, null);
      }
    });
  }

  for (const [who, is103Direct] of [['102', true], ['103', true], ['102', false], ['103', false]] as const) {
    test(`[TEL-46] with direct media, 103 ${is103Direct ? 'too' : 'without'}: both ring, ${who} takes it and sound has its way`, async ({ pbx }) => {
      for (const one of ['101', '102', '103']) await withAccount(pbx, one, { direct_media: one !== '103' || is103Direct });
      await two(pbx, 2);
      try {
        const [atDesk, elsewhere] = [rings(), rings()];
        const desk = await phone(pbx, '102', atDesk);
        await phone(pbx, '102', moved(['<sip:103@x>']));
        const target = await phone(pbx, '103', elsewhere);
        const caller = await phone(pbx, '101');
        const pending = caller.call('102');
        await until('both ring', () => atDesk.answer && elsewhere.answer);
        (who === '102' ? atDesk : elsewhere).answer?.();
        const call = await pending;
        expect(call.status).toBe(200);
        const other = (who === '102' ? desk : target).calls.at(-1) as MiniCall;
        call.rtp.fill = 0x41;
        other.rtp.fill = 0x42;
        call.rtp.start();
        other.rtp.start();
        await until('both hear each other', () => call.rtp.heardFill === 0x42 && other.rtp.heardFill === 0x41);
        expect(other.rtp.from === `127.0.0.1:${call.rtp.port}`).toBe(who === '102' || is103Direct);
        await caller.hangup(call);
      } finally {
        for (const one of ['101', '102', '103']) await withAccount(pbx, one, { direct_media: null });
        await two(pbx, null);
      }
    });
  }

  for (const [code, status_, name] of [[486, 200, 'is busy: the forward counts'], [603, 486, 'says no: that counts']] as const) {
    test(`[TEL-46] the other ${name}`, async ({ pbx }) => {
      await two(pbx, 2);
      try {
        await phone(pbx, '102', moved(['<sip:103@x>']));
        await phone(pbx, '102', {
          onInvite: (self, call, invite) => {
            self.respond(call, invite, 180, 'Ringing');
            setTimeout(() => self.respond(call, invite, code, 'No'), 500);
          },
        });
        const elsewhere = rings();
        await phone(pbx, '103', elsewhere);
        const caller = await phone(pbx, '101');
        if (code === 486) void until('it rings', () => elsewhere.answer).then(() => setTimeout(() => elsewhere.answer?.(), 800)).catch(() => undefined);
        const call = await caller.call('102');
        expect(call.status).toBe(status_);
        if (call.isUp) await caller.hangup(call);
      } finally {
        await two(pbx, null);
      }
    });
  }
});

describe('circles', () => {
  test('[CHG-ENG-09] a phone that sends its calls to itself: 480, FAILED, told in the log', async ({ pbx }) => {
    const self = await phone(pbx, '102', moved(['<sip:102@x>']));
    const caller = await phone(pbx, '101');
    expect((await caller.call('102')).status).toBe(480);
    expect(self.calls).toHaveLength(1);
    expect((await record(pbx, '102')).row).toMatchObject({ status: 'FAILED', called: '102' });
    await until('the log', () => /pbx\.loop\.dropped/.test(pbx.output));
  });

  test('[CHG-ENG-09] two phones that send their calls to each other: 20 steps, then 480', async ({ pbx }) => {
    await phone(pbx, '102', moved(['<sip:103@x>']));
    await phone(pbx, '103', moved(['<sip:102@x>']));
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    expect(call.status).toBe(480);
    const { row, path } = await record(pbx, '102');
    expect(row.status).toBe('FAILED');
    expect(path).toHaveLength(20);
  });
});

test('the caller gives up while the second phone rings', async ({ pbx }) => {
  await phone(pbx, '102', moved(['<sip:103@x>']));
  const target = await phone(pbx, '103', {
    onInvite: (self, call, invite) => self.respond(call, invite, 180, 'Ringing'),
  });
  const caller = await phone(pbx, '101');
  const pending = caller.call('102');
  await until('it rings', () => target.calls.length);
  await until('180', () => caller.calls[0]?.provisional.some((m) => status(m) === 180));
  const invite = caller.seen.find((m) => status(m) === 181) as SipMessage;
  const call = caller.calls[0] as MiniCall;
  caller.sendText([
    `CANCEL sip:102@${caller.server} SIP/2.0`, `Via: ${header(invite, 'via')}`, 'Max-Forwards: 70', `From: ${call.local}`,
    `To: <sip:102@${caller.server}>`, `Call-ID: ${call.callId}`, `CSeq: ${call.cseq} CANCEL`, 'Content-Length: 0', '', '',
  ].join('\r\n'));
  expect((await pending).status).toBe(487);
  await until('it stops', () => target.seen.some((m) => method(m) === 'CANCEL'));
  await delay(100);
  const { row, path } = await record(pbx, '102');
  expect(row.status).toBe('CANCELED');
  expect(path.map((step) => step.detail_exit_cause)).toEqual(['CFWD', 'CANCELED']);
});
