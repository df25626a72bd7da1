// What the other side of a failed call is told: SIP status, Q.850 cause, CDR (CHG-ENG-10, PLT-62, D-067, D-069, D-070; RFC 3326, RFC 3398).
import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall, type MiniOptions } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { closePhones, phone } from './lib/phones.js';
import { header, method, status, type SipMessage } from './lib/sipmessage.js';
import { until } from './lib/wait.js';

afterEach(() => closePhones({ unregister: true }));
afterAll(stopPbx);

/** Answers every call with this status and these lines; rings first, if told. */
const refuses = (code: number, lines: string[] = [], rings = false): MiniOptions => ({
  onInvite: (self, call, invite): void => {
    if (rings) self.respond(call, invite, 180, 'Ringing');
    self.sendText([
      `SIP/2.0 ${code} No`, ...(invite.headers.get('via') ?? []).map((via) => `Via: ${via}`),
      `From: ${header(invite, 'from')}`, `To: ${call.local}`, `Call-ID: ${header(invite, 'call-id')}`,
      `CSeq: ${header(invite, 'cseq')}`, ...lines, 'Content-Length: 0', '', '',
    ].join('\r\n'));
    call.endedBy = 'failure';
  },
});

const causeOf = (message: SipMessage | undefined): number =>
  Number(/Q\.850;\s*cause=(\d+)/.exec((message?.headers.get('reason') ?? []).join('\n'))?.[1] ?? 0);

type Record_ = { status: string; sip_code: number | string; q850: number };

async function newest(pbx: Pbx): Promise<Record_> {
  await pbx.settled();
  const reply = await pbx.rest.ok('GET', '/api/pbx/v2/cdr?limit=1');
  const [row] = (reply.json as { items: Record_[] }).items;
  if (!row) throw new Error('no CDR');
  return row;
}

/** The caller's final response with its cause, which the CDR repeats. */
async function refused(
  pbx: Pbx, number: string, afterwards = async (): Promise<unknown> => undefined,
): Promise<{ told: [number, number]; row: Record_ }> {
  const caller = await phone(pbx, '101');
  const call = await caller.call(number);
  const final = caller.seen.filter((m) => header(m, 'call-id') === call.callId && status(m) === call.status).at(-1);
  await afterwards();
  const row = await newest(pbx);
  expect([Number(row.sip_code), row.q850]).toEqual([call.status, causeOf(final)]);
  return { told: [call.status, causeOf(final)], row };
}

describe('a lone phone refuses', () => {
  const rows: [number, string[], boolean, number, number, string][] = [
    // what the phone says             rings   the caller hears   CDR
    [486, [], false, 486, 17, 'BUSY'],
    [600, [], false, 486, 17, 'BUSY'],
    [603, [], true, 486, 17, 'BUSY'],
    [480, [], false, 480, 20, 'UNAVAILABLE'],
    [480, [], true, 480, 19, 'NOANSWER'],
    [404, [], false, 480, 20, 'UNAVAILABLE'],
    [408, [], false, 480, 20, 'UNAVAILABLE'],
    [410, [], false, 480, 20, 'UNAVAILABLE'],
    [503, [], false, 480, 20, 'UNAVAILABLE'],
    [604, [], false, 480, 20, 'UNAVAILABLE'],
    [403, [], false, 403, 21, 'FAILED'],
    [415, [], false, 415, 79, 'FAILED'],
    [484, [], false, 484, 28, 'FAILED'],
    [488, [], false, 488, 65, 'FAILED'],
    [500, [], false, 500, 41, 'FAILED'],
    [501, [], false, 501, 79, 'FAILED'],
    [504, [], false, 504, 102, 'FAILED'],
    [606, [], false, 606, 58, 'FAILED'],
    // A cause of its own is the caller's too.
    [486, ['Reason: Q.850;cause=34;text="no channel"'], false, 486, 34, 'BUSY'],
    [603, ['Reason: Q.850;cause=21'], false, 486, 21, 'BUSY'],
    [480, ['Reason: SIP;cause=480', 'Reason: Q.850 ;cause=18'], false, 480, 18, 'UNAVAILABLE'],
    [480, ['Reason: Q.850;cause=18'], true, 480, 18, 'NOANSWER'],
    [503, ['Reason: Q.850;cause=38'], false, 480, 38, 'UNAVAILABLE'],
    [488, ['Reason: Q.850;cause=88'], false, 488, 88, 'FAILED'],
    [500, ['Reason: Q.850;cause=999'], false, 500, 41, 'FAILED'],
  ];
  for (const [code, lines, rings, expected, cause, cdr] of rows) {
    test(`[PLT-62] ${code}${rings ? ' after 180' : ''} ${lines.join(' ')}: ${expected}, cause ${cause}, ${cdr}`, async ({ pbx }) => {
      await phone(pbx, '102', refuses(code, lines, rings));
      const { told, row } = await refused(pbx, '102');
      expect(told).toEqual([expected, cause]);
      expect(row.status).toBe(cdr);
    });
  }
});

describe('several phones', () => {
  const contacts = async (pbx: Pbx, n: number | null): Promise<void> => {
    const id = await pbx.idOf('account', 'username', pbx.account('102').username);
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { max_contacts: n } }]);
  };

  test('who answered is told to the others: their displays list no missed call', async ({ pbx }) => {
    await contacts(pbx, 2);
    try {
      const rings: MiniOptions = { onInvite: (self, call, invite) => self.respond(call, invite, 180, 'Ringing') };
      const other = await phone(pbx, '102', rings);
      await phone(pbx, '102');
      const caller = await phone(pbx, '101');
      const call = await caller.call('102');
      const cancel = await until('CANCEL', () => other.seen.find((m) => method(m) === 'CANCEL'));
      expect(cancel.headers.get('reason')).toEqual(['SIP;cause=200;text="Call completed elsewhere"', 'Q.850;cause=26']);
      await caller.hangup(call);
    } finally {
      await contacts(pbx, null);
    }
  });

  test('[PLT-62] one is busy, the other not reachable: busy, with the cause of the busy one', async ({ pbx }) => {
    await contacts(pbx, 2);
    try {
      await phone(pbx, '102', refuses(486, ['Reason: Q.850;cause=34']));
      await phone(pbx, '102', refuses(480, ['Reason: Q.850;cause=18']));
      expect((await refused(pbx, '102')).told).toEqual([486, 34]);
    } finally {
      await contacts(pbx, null);
    }
  });
});

describe('what the PBX says itself', () => {
  test('a number that nobody has: 404, cause 1', async ({ pbx }) => {
    const { told, row } = await refused(pbx, '4711');
    expect(told).toEqual([404, 1]);
    expect(row.status).toBe('FAILED');
  });

  test('no phone is registered: 480, cause 20', async ({ pbx }) => {
    const { told, row } = await refused(pbx, '105');
    expect(told).toEqual([480, 20]);
    expect(row.status).toBe('UNAVAILABLE');
  });

  test('nobody answers in time: 480, cause 19', async ({ pbx }) => {
    const id = await pbx.idOf('extension', 'number', '102');
    await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { no_answer_timeout_internal: 5 } }]);
    try {
      await phone(pbx, '102', { onInvite: (self, call, invite) => self.respond(call, invite, 180, 'Ringing') });
      const { told, row } = await refused(pbx, '102');
      expect(told).toEqual([480, 19]);
      expect(row.status).toBe('NOANSWER');
    } finally {
      await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { no_answer_timeout_internal: null } }]);
    }
  });

  for (const [name, field, extension, number] of [
    ['busy level of the called extension', 'busy_level', '102', '102'],
    ['call limit of the called extension', 'max_concurrent_calls', '102', '102'],
    ['call limit of the caller', 'max_concurrent_calls', '101', '103'],
  ] as const) {
    test(`[BASE-39] ${name}: 486, cause 17`, async ({ pbx }) => {
      const id = await pbx.idOf('extension', 'number', extension);
      await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { [field]: 1 } }]);
      try {
        await phone(pbx, '103');
        await phone(pbx, '102');
        const first = await phone(pbx, extension === '101' ? '101' : '104');
        const call = await first.call('102');
        expect(call.status).toBe(200);
        const { told, row } = await refused(pbx, number, () => first.hangup(call));
        expect(told).toEqual([486, 17]);
        expect(row.status).toBe('BUSY');
      } finally {
        await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { [field]: null } }]);
      }
    });
  }
});

describe('the end of a conversation', () => {
  /** BYE with these lines. */
  async function bye(one: MiniPhone, call: MiniCall, lines: string[]): Promise<void> {
    call.cseq++;
    call.isUp = false;
    await one.request('BYE', [
      `From: ${call.local}`, `To: ${call.remote}`, `Call-ID: ${call.callId}`, `CSeq: ${call.cseq} BYE`, ...lines,
    ], call.peerTarget);
  }

  for (const who of ['caller', 'callee'] as const) {
    for (const [lines, cause] of [[[], 16], [['Reason: Q.850;cause=31;text="ended"'], 31]] as [string[], number][]) {
      test(`the ${who} hangs up ${lines.join('')}: the other's BYE and the CDR have cause ${cause}`, async ({ pbx }) => {
        const far = await phone(pbx, '102');
        const near = await phone(pbx, '101');
        const call = await near.call('102');
        const other = await until('the call arrives', () => far.calls.at(-1));
        const [mine, theirs] = who === 'caller' ? [near, far] : [far, near];
        await bye(mine, who === 'caller' ? call : other, lines);
        const said = await until('BYE', () => theirs.seen.find((m) => method(m) === 'BYE'));
        expect(causeOf(said)).toBe(cause);
        expect(await newest(pbx)).toMatchObject({ status: 'OK', q850: cause });
      });
    }
  }
});
