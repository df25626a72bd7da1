// What phones agree on, and which way the sound takes (issue: foundation, point 9).
import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { closePhones, phone, withAccount } from './lib/phones.js';
import { status, type SipMessage } from './lib/sipmessage.js';
import { delay, until } from './lib/wait.js';

const incoming = (callee: MiniPhone): Promise<MiniCall> => until('the call arrives', () => callee.calls[0]);
const inviteOf = (callee: MiniPhone): SipMessage | undefined =>
  callee.seen.find((message) => message.start.startsWith('INVITE'));
const audioFormats = (sdp: string): string[] =>
  /m=audio \d+ \S+ ([\d ]+)/.exec(sdp)?.[1]?.split(' ').filter((format) => format !== '101') ?? [];
const mediaPort = (sdp: string): number => Number(/m=audio (\d+)/.exec(sdp)?.[1] ?? 0);

afterEach(() => closePhones());
afterAll(stopPbx);

describe('before the answer', () => {
  test('early media: the caller hears the callee\'s 183 before anybody answers', async ({ pbx }) => {
    let answer = (): void => undefined;
    const callee = await phone(pbx, '102', {
      onInvite: (self, call, invite) => {
        call.rtp.fill = 0x2a;
        self.respond(call, invite, 183, 'Session Progress', self.sdp(call.rtp));
        call.rtp.start();
        answer = () => self.respond(call, invite, 200, 'OK', self.sdp(call.rtp));
      },
    });
    const caller = await phone(pbx, '101');
    const pending = caller.call('102');
    await incoming(callee);
    const call = await until('the call exists', () => caller.calls[0]);
    await until('183 with a description', () => call.provisional.find((m) => status(m) === 183 && m.body));
    // A phone behind a NAT says something first; so does this one.
    call.rtp.start();
    await until('the announcement', () => call.rtp.heardFill === 0x2a && call.rtp.received > 10);
    expect(call.isUp).toBe(false);
    expect((await pbx.ctlJson<{ state: string }[]>('calls'))[0]?.state).toBe('ringing');
    answer();
    await pending;
    expect(call.status).toBe(200);
    call.rtp.reset();
    await until('sound after the answer', () => call.rtp.heardFill === 0x2a);
    expect(await caller.hangup(call)).toBe(200);
  });
});

describe('codecs', () => {
  test('[BASE-51] the callee is offered the codecs of its account, in the account\'s order', async ({ pbx }) => {
    await withAccount(pbx, '102', { audio_codecs: ['G722', 'PCMU', 'PCMA'] });
    const callee = await phone(pbx, '102', { codecs: ['9 G722/8000'] });
    const caller = await phone(pbx, '101', {
      codecs: ['8 PCMA/8000', '3 GSM/8000', '0 PCMU/8000', '9 G722/8000'],
    });
    const call = await caller.call('102');
    expect(call.status).toBe(200);
    expect(audioFormats(inviteOf(callee)?.body ?? '')).toEqual(['9', '0', '8']);
    await caller.hangup(call);

    // The other order gives the other offer: it is the list that decides.
    await withAccount(pbx, '102', { audio_codecs: ['PCMA', 'G722'] });
    callee.seen.length = 0;
    const again = await caller.call('102');
    expect(audioFormats(inviteOf(callee)?.body ?? '')).toEqual(['8', '9']);
    await caller.hangup(again);
    await withAccount(pbx, '102', { audio_codecs: null });
  });

  test('[BASE-51] nothing that we know: 488, the callee is not disturbed, the CDR says FAILED', async ({ pbx }) => {
    const before = (await pbx.cdrs(0)).length;
    const callee = await phone(pbx, '102');
    const caller = await phone(pbx, '101', { codecs: ['97 iLBC/8000'] });
    const call = await caller.call('102');
    expect(call.status).toBe(488);
    expect(inviteOf(callee)).toBeUndefined();
    const rows = await pbx.cdrs(before + 1);
    expect(rows).toHaveLength(before + 1);
    expect(rows[0]).toMatchObject({ status: 'FAILED', caller: '101', called: '102' });
  });

  test('[BASE-51] nothing in common: each side has its own codec', async ({ pbx }) => {
    await withAccount(pbx, '102', { audio_codecs: ['OPUS'] });
    try {
      const callee = await phone(pbx, '102', { codecs: ['111 opus/48000/2'] });
      const caller = await phone(pbx, '101', { codecs: ['8 PCMA/8000'] });
      const call = await caller.call('102');
      expect(call.status).toBe(200);
      expect(audioFormats(call.remoteSdp)).toEqual(['8']);
      expect((await incoming(callee)).remoteSdp).toMatch(/m=audio \d+ RTP\/AVP 111 101 110\r\na=rtpmap:111 opus\/48000\/2\r\n/);
      await caller.hangup(call);
    } finally {
      await withAccount(pbx, '102', { audio_codecs: null });
    }
  });

  test('a re-INVITE with another codec is answered at once; the other side is not bothered', async ({ pbx }) => {
    const callee = await phone(pbx, '102', { codecs: ['8 PCMA/8000', '0 PCMU/8000'] });
    const caller = await phone(pbx, '101', { codecs: ['8 PCMA/8000'] });
    const call = await caller.call('102');
    expect(call.status).toBe(200);
    const other = await incoming(callee);
    const reply = await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp, { codecs: ['0 PCMU/8000'] }));
    expect(status(reply)).toBe(200);
    expect(audioFormats(reply.body)).toEqual(['0']);
    expect(other.requests.some((m) => m.start.startsWith('INVITE'))).toBe(false);
    expect(await caller.hangup(call)).toBe(200);
    await until('BYE', () => other.endedBy === 'bye');
  });
});

describe('the way of the sound', () => {
  test('[BASE-46] a phone that names a wrong address gets answers and sound where its packets come from', async ({ pbx }) => {
    await withAccount(pbx, '101', { nat: true });
    const lies = { contact: `<sip:${pbx.account('101').username}@192.0.2.77:5999>`, sdpAddress: '192.0.2.77' };
    const behind = await phone(pbx, '101', lies);
    const other = await phone(pbx, '102');

    const call = await behind.call('102');
    expect(call.status).toBe(200);
    call.rtp.start();
    const far = await incoming(other);
    far.rtp.fill = 0x11;
    far.rtp.start();
    await until('sound at the real port', () => call.rtp.heardFill === 0x11);
    await until('sound from the phone behind the NAT', () => far.rtp.received > 5);
    // In-dialog requests of the other side find it as well.
    expect(await other.hangup(far)).toBe(200);
    await until('BYE behind the NAT', () => call.endedBy === 'bye');

    // And it can be called.
    const back = await other.call('101');
    expect(back.status).toBe(200);
    await other.hangup(back);
    await until('BYE of the second call', () => behind.calls[1]?.endedBy === 'bye');
    await withAccount(pbx, '101', { nat: null });
  });

  test('[BASE-47] direct media: each phone is told the other\'s address, no stream passes the PBX', async ({ pbx }) => {
    await withAccount(pbx, '101', { direct_media: true });
    await withAccount(pbx, '102', { direct_media: true });
    const callee = await phone(pbx, '102');
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    const other = await incoming(callee);
    expect(mediaPort(other.remoteSdp)).toBe(call.rtp.port);
    expect(mediaPort(call.remoteSdp)).toBe(other.rtp.port);
    call.rtp.start();
    other.rtp.start();
    await until('sound both ways', () => call.rtp.received > 5 && other.rtp.received > 5);
    expect(other.rtp.from).toBe(`127.0.0.1:${call.rtp.port}`);
    expect(await openStreams(pbx)).toBe(0);
    // What needs the stream is refused with the reason (D-079), not pretended.
    const { linkedid } = (await pbx.ctlJson<{ linkedid: string }[]>('calls'))[0] ?? { linkedid: '' };
    for (const wanted of [['record', linkedid, 'start'], ['play', linkedid, 'b', 'tone:425/1000'], ['spy', linkedid, '103']]) {
      await expect(pbx.ctl(...wanted), wanted[0]).rejects.toThrow('talk to each other directly');
    }
    await caller.hangup(call);

    // One of the two says no: the PBX is between them again.
    await withAccount(pbx, '102', { direct_media: false });
    const again = await caller.call('102');
    expect(again.status).toBe(200);
    expect(mediaPort(again.remoteSdp)).not.toBe(callee.calls[1]?.rtp.port);
    expect(await openStreams(pbx)).toBe(2);
    await caller.hangup(again);
    await withAccount(pbx, '101', { direct_media: null });
    await withAccount(pbx, '102', { direct_media: null });
  });

  async function openStreams(pbx: Pbx): Promise<number> {
    const { media } = await pbx.ctlJson<{ media?: { streams?: number } }>('status');
    if (media?.streams === undefined) throw new Error('ctl status tells nothing about media');
    return media.streams;
  }
});

describe('hold in the ways that phones have', () => {
  const ways: [string, { dir?: string; address?: string }][] = [
    ['a=sendonly', { dir: 'sendonly' }],
    ['a=inactive', { dir: 'inactive' }],
    ['c=0.0.0.0 (RFC 2543)', { address: '0.0.0.0' }],
  ];
  for (const [name, how] of ways) {
    test(`[TEL-03] ${name}: the other side gets music, the call is shown as held, and comes back`, async ({ pbx }) => {
      const callee = await phone(pbx, '102');
      const caller = await phone(pbx, '101');
      const call = await caller.call('102');
      const other = await incoming(callee);
      call.rtp.fill = 0x31;
      call.rtp.start();
      other.rtp.start();
      await until('the caller is heard', () => other.rtp.heardFill === 0x31);

      const reply = await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp, how));
      expect(status(reply)).toBe(200);
      if (how.dir === 'inactive') expect(reply.body).toContain('a=inactive');
      if (how.dir === 'sendonly') expect(reply.body).toMatch(/a=(recvonly|inactive)/);
      await until('held', async () => (await pbx.ctlJson<{ state: string }[]>('calls'))[0]?.state === 'held');
      await delay(200);
      other.rtp.reset();
      await until('music comes', () => other.rtp.received > 20 && other.rtp.heardFill !== 0x31);

      expect(status(await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp)))).toBe(200);
      await until('answered again', async () => (await pbx.ctlJson<{ state: string }[]>('calls'))[0]?.state === 'answered');
      other.rtp.reset();
      await until('the caller is heard again', () => other.rtp.heardFill === 0x31);
      await caller.hangup(call);
    });
  }
});
