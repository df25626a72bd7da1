// Two real phones call each other (issue: foundation, points 8 and 9).
import { afterAll, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { delay, until } from './lib/wait.js';

afterAll(stopPbx);

type Row = Record<string, unknown>;

describe('a call between two extensions', () => {
  test('[BASE-29] [PLT-59] phones register, talk both ways, hang up; the call and its CDR are there', async ({ pbx, phones }) => {
    const before = (await pbx.cdrs(0)).length;
    const alice = await phones.start('101');
    const bob = await phones.start('102');

    await alice.dial('102');
    await bob.waitEvent('CALL_INCOMING');
    await alice.waitEvent('CALL_RINGING');

    const ringing = await pbx.ctlJson<Row[]>('calls');
    expect(ringing).toHaveLength(1);
    expect(ringing[0]).toMatchObject({ state: 'ringing', caller: '101', called: '102' });

    await bob.answer();
    await alice.waitEvent('CALL_ESTABLISHED');
    await alice.hears(500); // 102 says 500 Hz
    await bob.hears(400); // 101 says 400 Hz

    const live = await pbx.rest.ok('GET', '/api/pbx/v2/phoneService/calls');
    expect((live.json as { items: Row[] }).items[0]).toMatchObject({
      state: 'answered', caller: '101', called: '102',
    });

    await alice.hangup();
    await bob.waitEvent('CALL_CLOSED');

    const rows = await pbx.cdrs(before + 1);
    expect(rows[0]).toMatchObject({
      source_type: 'local_exten', destination_type: 'local_exten', status: 'OK',
      caller: '101', called: '102', answered_by: '102', src_peer_name: pbx.account('101').username,
    });
    expect(Number(rows[0]?.['bill_secs'])).toBeGreaterThan(0.5);
    await until('no call is left', async () => (await pbx.ctlJson<Row[]>('calls')).length === 0);
  });

  test('[PLT-60] [PLT-61] [PLT-63] the path of an answered call has one step with its times and NCC', async ({ pbx, phones }) => {
    const before = (await pbx.cdrs(0)).length;
    const alice = await phones.start('101');
    await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    await alice.hangup();
    const rows = await pbx.cdrs(before + 1);
    const details = rows[0]?.['details'] as Row[];
    expect(details).toHaveLength(1);
    expect(details[0]).toMatchObject({
      detail_source_num: '101', detail_destination_type: 'local_exten', detail_destination_id: '102',
      detail_exit_cause: 'NCC', detail_answered_by: '102',
    });
    for (const field of ['detail_enter_datetime', 'detail_answer_datetime', 'detail_exit_datetime']) {
      expect(String(details[0]?.[field])).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/);
    }
  });

  test('the callee hangs up: the caller hears of it', async ({ phones }) => {
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    await bob.hangup();
    await alice.waitEvent('CALL_CLOSED');
  });

  for (const transport of ['tcp', 'tls'] as const) {
    test(`phones on ${transport} and udp talk`, async ({ phones }) => {
      const alice = await phones.start('101', { transport });
      const bob = await phones.start('102', { autoAnswer: true });
      await alice.dial('102');
      await alice.waitEvent('CALL_ESTABLISHED');
      await alice.hears(500);
      await bob.hears(400);
      await bob.dial('101');
      await alice.waitEvent('CALL_INCOMING');
      await alice.hangup();
    });
  }
});

describe('a call that is not answered', () => {
  test('[PLT-62] the caller cancels: the callee stops ringing, the CDR says CANCELED', async ({ pbx, phones }) => {
    const before = (await pbx.cdrs(0)).length;
    const alice = await phones.start('101');
    const bob = await phones.start('102');
    await alice.dial('102');
    await bob.waitEvent('CALL_INCOMING');
    await alice.hangup();
    await bob.waitEvent('CALL_CLOSED');
    const rows = await pbx.cdrs(before + 1);
    expect(rows[0]).toMatchObject({ status: 'CANCELED', answered_by: '' });
  });

  test('[PLT-62] the callee refuses: 486 and BUSY', async ({ pbx, phones }) => {
    const before = (await pbx.cdrs(0)).length;
    const alice = await phones.start('101');
    const bob = await phones.start('102');
    await alice.dial('102');
    await bob.waitEvent('CALL_INCOMING');
    await bob.hangup();
    const closed = await alice.waitEvent('CALL_CLOSED');
    expect(closed.param).toContain('486');
    expect((await pbx.cdrs(before + 1))[0]).toMatchObject({ status: 'BUSY' });
  });

  test('[PLT-62] nobody is registered: 480 and UNAVAILABLE', async ({ pbx, phones }) => {
    const before = (await pbx.cdrs(0)).length;
    const alice = await phones.start('101');
    await alice.dial('105');
    const closed = await alice.waitEvent('CALL_CLOSED');
    expect(closed.param).toContain('480');
    expect((await pbx.cdrs(before + 1))[0]).toMatchObject({ status: 'UNAVAILABLE' });
  });

  test('a number that does not exist: 404', async ({ pbx, phones }) => {
    const before = (await pbx.cdrs(0)).length;
    const alice = await phones.start('101');
    await alice.dial('999');
    const closed = await alice.waitEvent('CALL_CLOSED');
    expect(closed.param).toContain('404');
    expect((await pbx.cdrs(before + 1))[0]).toMatchObject({ status: 'FAILED', called: '999' });
  });

  test('[PLT-62] nobody answers in the time of the extension: NOANSWER', async ({ pbx, phones }) => {
    const before = (await pbx.cdrs(0)).length;
    const id = await pbx.idOf('extension', 'number', '103');
    await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { no_answer_timeout_internal: 5 } }]);

    const alice = await phones.start('101');
    const carol = await phones.start('103');
    await alice.dial('103');
    await carol.waitEvent('CALL_INCOMING');
    const closed = await alice.waitEvent('CALL_CLOSED');
    expect(closed.param).toContain('480');
    await carol.waitEvent('CALL_CLOSED');
    expect((await pbx.cdrs(before + 1))[0]).toMatchObject({ status: 'NOANSWER' });
  });
});

describe('several phones of one extension', () => {
  test('[BASE-28] [BASE-31] two accounts ring together; the one that answers has the call', async ({ pbx, phones }) => {
    const id = await pbx.idOf('extension', 'number', '104');
    const username = `104b${Date.now() % 100000}`;
    await pbx.configure([
      { method: 'POST', path: '/api/pbx/v2/account', body: { username, password: 'Second-phone-104', extension: id } },
    ]);
    const alice = await phones.start('101');
    const desk = await phones.start('104');
    const soft = await phones.start('104', { username, secret: 'Second-phone-104', toneHz: 1000 });

    await alice.dial('104');
    await desk.waitEvent('CALL_INCOMING');
    await soft.waitEvent('CALL_INCOMING');
    await soft.answer();
    await alice.waitEvent('CALL_ESTABLISHED');
    await desk.waitEvent('CALL_CLOSED'); // cancelled: answered elsewhere
    await alice.hears(1000);

    await soft.hangup();
    await alice.waitEvent('CALL_CLOSED');
    soft.forget();
    alice.forget();

    // One identity, whichever phone calls.
    await soft.dial('101');
    const incoming = await alice.waitEvent('CALL_INCOMING');
    expect(incoming.peeruri).toContain('104@');
    await soft.hangup();
  });
});

describe('limits', () => {
  test('[BASE-39] busy level 1: a second call gets 486 and does not ring', async ({ pbx, phones }) => {
    const id = await pbx.idOf('extension', 'number', '102');
    await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { busy_level: 1 } }]);
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    const carol = await phones.start('103');
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    bob.forget();
    await carol.dial('102');
    const closed = await carol.waitEvent('CALL_CLOSED');
    expect(closed.param).toContain('486');
    expect(bob.has('CALL_INCOMING')).toBe(false);
    await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { busy_level: null } }]);
  });

  test('[BASE-39] max concurrent calls 1: a second outgoing call gets 486', async ({ pbx, phones }) => {
    const id = await pbx.idOf('extension', 'number', '101');
    await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { max_concurrent_calls: 1 } }]);
    const alice = await phones.start('101');
    await phones.start('102', { autoAnswer: true });
    await phones.start('103', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    await alice.hold();
    await alice.dial('103');
    const closed = await alice.waitEvent('CALL_CLOSED');
    expect(closed.param).toContain('486');
    await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { max_concurrent_calls: null } }]);
  });
});

describe('hold', () => {
  test('[TEL-03] the held party hears music, afterwards both hear each other again', async ({ pbx, phones }) => {
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    await bob.hears(400);

    await alice.hold();
    await until('the call is shown as held', async () => {
      const items = await pbx.ctlJson<Row[]>('calls');
      return items[0]?.['state'] === 'held';
    });
    await until('music instead of the tone', async () => {
      await delay(600); // a window with nothing of the time before
      return bob.heardLevel() > 0.005 && !(await heardTone(bob, 400));
    });

    await alice.resume();
    await bob.hears(400);
    await alice.hears(500);
    await alice.hangup();
  });

  async function heardTone(phone: { hears(hz: number, timeoutMs?: number): Promise<void> }, hz: number): Promise<boolean> {
    try {
      await phone.hears(hz, 1);
      return true;
    } catch {
      return false;
    }
  }
});

describe('digits', () => {
  test('RFC 4733 digits reach the other phone', async ({ phones }) => {
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    await alice.hears(500);
    await alice.command('sndcode', '5').catch(() => alice.command('dtmf', '5'));
    const digit = await bob.waitEvent('CALL_DTMF_START');
    expect(digit.param).toBe('5');
  });
});

describe('administration while phones talk', () => {
  test('[PLT-22] a live call is hung up over REST; both phones are told', async ({ pbx, phones }) => {
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    const items = await pbx.ctlJson<Row[]>('calls');
    await pbx.rest.ok('DELETE', `/api/pbx/v2/phoneService/call/${String(items[0]?.['linkedid'])}`);
    await alice.waitEvent('CALL_CLOSED');
    await bob.waitEvent('CALL_CLOSED');
  });

  test('a call that still rings is hung up over REST: the caller gets 480, the callee stops ringing', async ({ pbx, phones }) => {
    const alice = await phones.start('101');
    const bob = await phones.start('102');
    await alice.dial('102');
    await bob.waitEvent('CALL_INCOMING');
    const items = await pbx.ctlJson<Row[]>('calls');
    await pbx.rest.ok('DELETE', `/api/pbx/v2/phoneService/call/${String(items[0]?.['linkedid'])}`);
    const closed = await alice.waitEvent('CALL_CLOSED');
    expect(closed.param).toContain('480');
    await bob.waitEvent('CALL_CLOSED');
  });

  test('an apply during a call disturbs nothing', async ({ pbx, phones }) => {
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    const id = await pbx.idOf('extension', 'number', '105');
    await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { first_name: 'Nuova' } }]);
    await alice.hears(500);
    await bob.hears(400);
    expect(alice.has('CALL_CLOSED')).toBe(false);
  });

  test('the SIP trace of a call reads as text and as pcap, without credentials', async ({ pbx, phones }) => {
    const alice = await phones.start('101');
    await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    const items = await pbx.ctlJson<Row[]>('calls');
    const linkedid = String(items[0]?.['linkedid']);
    await alice.hangup();
    const text = await pbx.ctl('trace', linkedid);
    expect(text).toMatch(/INVITE sip:102@/);
    expect(text).toMatch(/SIP\/2\.0 200/);
    expect(text).not.toMatch(/response="[0-9a-f]{32}/);
    const pcap = `${pbx.dataDir}/call.pcap`;
    await pbx.ctl('trace', linkedid, '--pcap', pcap);
    const { readFileSync } = await import('node:fs');
    expect([0xa1b2c3d4, 0xa1b23c4d]).toContain(readFileSync(pcap).readUInt32LE(0));
  });
});
