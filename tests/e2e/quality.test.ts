// How a call sounded, and what happens when a phone falls silent (issue: media engine, part 9).
import { afterAll, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { header } from './lib/sipmessage.js';
import { delay, until } from './lib/wait.js';

type Leg = {
  leg: string; account: string; codec: string; mos: number; mos_min: number; rx_packets: number; rx_lost: number;
  tx_packets: number; tx_lost: number; jitter_ms: number; jitter_max_ms: number; rtt_ms: number; transcoded: boolean;
};
type Row = { quality: Leg[]; status: string };

async function newestCdr(pbx: Pbx): Promise<Row> {
  await pbx.settled();
  const reply = await pbx.rest.ok('GET', '/api/pbx/v2/cdr?page_size=1');
  return (reply.json as { items: Row[] }).items[0] as Row;
}

const open: MiniPhone[] = [];
async function phone(pbx: Pbx, extension: string): Promise<MiniPhone> {
  const { username, secret } = pbx.account(extension);
  const made = await MiniPhone.open(username, secret, pbx.facts.sip.udp, { allow: 'INVITE, ACK, BYE, CANCEL' });
  open.push(made);
  expect(await made.register()).toBe(200);
  return made;
}
async function talk(pbx: Pbx): Promise<{ caller: MiniPhone; callee: MiniPhone; call: MiniCall; far: MiniCall }> {
  const callee = await phone(pbx, '102');
  const caller = await phone(pbx, '101');
  const call = await caller.call('102');
  const far = await until('the call arrives', () => callee.calls[0]);
  call.rtp.start();
  far.rtp.start();
  await until('sound', () => far.rtp.received > 5 && call.rtp.received > 5);
  return { caller, callee, call, far };
}

afterAll(async () => {
  for (const one of open.splice(0)) await one.close();
  await stopPbx();
});

describe('quality', () => {
  test('the record of a call tells loss, jitter, round trip and an estimate for each leg', async ({ pbx, phones }) => {
    const callee = await phones.start('104', { autoAnswer: true, codecs: 'PCMA' });
    const caller = await phones.start('103', { codecs: 'PCMA' });
    await caller.dial('104');
    await callee.waitEvent('CALL_ESTABLISHED');
    // baresip reports every 5 s; its report must have seen one of ours, which comes within 4 s.
    await until('a round trip of both legs is known', async () => {
      const streams = await pbx.ctlJson<{ rtt_ms: number }[]>('streams');
      return streams.length === 2 && streams.every((stream) => stream.rtt_ms > 0);
    }, 25_000);
    const [{ linkedid }] = (await pbx.ctlJson<{ linkedid: string }[]>('calls')) as [{ linkedid: string }];
    const live = await pbx.ctlJson<{ caller: string; streams: { account: string; codec: string; mos: number }[] }>('calls', linkedid);
    expect(live.caller).toBe('103');
    expect(live.streams.map(({ account }) => account).sort()).toEqual(
      [pbx.account('103').username, pbx.account('104').username].sort());
    expect(live.streams.every(({ codec, mos }) => codec === 'PCMA' && mos > 4)).toBe(true);
    expect(await pbx.ctl('streams', linkedid)).toMatch(/CALL +ACCOUNT .*MOS\n.*audio.*\n.*audio.*\n2 streams/);
    await expect(pbx.ctl('streams', '1.1')).rejects.toThrow('exit 4');
    await caller.hangup();
    const { quality } = await newestCdr(pbx);
    expect(quality.map((leg) => leg.leg).sort()).toEqual(['callee', 'caller']);
    for (const leg of quality) {
      expect(leg).toMatchObject({ codec: 'PCMA', rx_lost: 0, tx_lost: 0, transcoded: false });
      expect(leg.account).toBe(pbx.account(leg.leg === 'caller' ? '103' : '104').username);
      expect(leg.rx_packets).toBeGreaterThan(200);
      expect(Math.abs(leg.tx_packets - leg.rx_packets)).toBeLessThan(60);
      expect(leg.rtt_ms).toBeGreaterThan(0);
      expect(leg.rtt_ms).toBeLessThan(1000); // the phone may wait for the processor
      expect(leg.mos).toBeGreaterThan(4.2);
      expect(leg.mos_min).toBeGreaterThan(3.5);
    }
  });

  test('a leg that loses a tenth of its packets is told from one that loses none', async ({ pbx }) => {
    const { caller, call } = await talk(pbx);
    for (let i = 0; i < 20; i++) {
      call.rtp.skip(1);
      await delay(180);
    }
    await caller.hangup(call);
    const { quality } = await newestCdr(pbx);
    const bad = quality.find((leg) => leg.leg === 'caller');
    const good = quality.find((leg) => leg.leg === 'callee');
    expect(bad?.rx_lost).toBe(20);
    expect(good?.rx_lost).toBe(0);
    expect(bad?.mos).toBeLessThan(3.7);
    expect(good?.mos).toBeGreaterThan(4.2);
  });
});

describe('silence', () => {
  test('a phone that is no longer heard loses its call; on hold it may be silent', async ({ pbx }) => {
    await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { rtp_timeout: 2 } }]);
    const { caller, call, far } = await talk(pbx);
    // Held: neither side needs to speak.
    await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp, { dir: 'inactive' }));
    call.rtp.stop();
    far.rtp.stop();
    await delay(4000);
    expect(far.endedBy).toBe('');
    await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp));
    call.rtp.start();
    far.rtp.start();
    await delay(2500);
    expect(far.endedBy).toBe('');

    // The callee's cable is pulled.
    far.rtp.stop();
    await until('BYE for the callee', () => far.endedBy === 'bye', 8000);
    await until('BYE for the caller', () => call.endedBy === 'bye', 8000);
    const bye = call.requests.find((m) => m.start.startsWith('BYE'));
    expect(header(bye as NonNullable<typeof bye>, 'reason')).toMatch(/Q\.850;\s*cause=27/);
    expect((await newestCdr(pbx)).status).toBe('OK');
    await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { rtp_timeout: 60 } }]);
  });

  test('the caller falls silent: both sides are told', async ({ pbx }) => {
    await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { rtp_timeout: 2 } }]);
    const { call, far } = await talk(pbx);
    call.rtp.stop();
    await until('BYE for the callee', () => far.endedBy === 'bye', 8000);
    await until('BYE for the caller', () => call.endedBy === 'bye', 8000);
    expect((await newestCdr(pbx)).status).toBe('OK');
    await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { rtp_timeout: 60 } }]);
  });
});
