// What is offered and answered on each leg (issue: media engine; RFC 3264, BASE-51, PLT-40, PLT-44, TEL-03, D-081).
import { createSocket, type Socket } from 'node:dgram';
import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall, type MiniOptions } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { closePhones, phone, withAccount } from './lib/phones.js';
import { header, method, status, tagOf, type SipMessage } from './lib/sipmessage.js';
import { toneShare } from './lib/tone.js';
import { delay, until } from './lib/wait.js';
import { EventSocket } from './lib/ws.js';

const sockets: Socket[] = [];

async function withSettings(pbx: Pbx, body: Record<string, unknown>): Promise<void> {
  await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body }]);
}

const incoming = (callee: MiniPhone): Promise<MiniCall> => until('the call arrives', () => callee.calls.at(-1));
/** "audio 8 0 101; video - " */
const linesOf = (sdp: string): string =>
  [...sdp.matchAll(/^m=(\w+) (\d+) \S+ (.*?)\r?$/gm)]
    .map(([, kind, port, formats]) => `${kind} ${port === '0' ? '-' : formats}`)
    .join('; ');
const versionOf = (sdp: string): number => Number(/^o=\S+ \d+ (\d+)/m.exec(sdp)?.[1]);
const directionOf = (sdp: string): string => /^a=(sendrecv|sendonly|recvonly|inactive)/m.exec(sdp)?.[1] ?? '';
const portOf = (sdp: string, kind: string): number => Number(new RegExp(`m=${kind} (\\d+)`).exec(sdp)?.[1] ?? 0);
const reinvites = (call: MiniCall): SipMessage[] => call.requests.filter((m) => method(m) === 'INVITE');
const stateOf = async (pbx: Pbx): Promise<string | undefined> =>
  (await pbx.ctlJson<{ state: string }[]>('calls'))[0]?.state;

/** A description with these m-lines: ["audio 4000 RTP/AVP 8", "a=sendonly"]... */
let version = 0;
const sdpOf = (...lines: string[]): string =>
  ['v=0', `o=- 7 ${++version} IN IP4 127.0.0.1`, 's=-', 'c=IN IP4 127.0.0.1', 't=0 0', ...lines, ''].join('\r\n');

afterEach(async () => {
  await closePhones();
  for (const socket of sockets.splice(0)) socket.close();
});
afterAll(stopPbx);

const OPUS = '96 opus/48000/2';

describe('codec lists', () => {
  type Row = {
    name: string;
    caller: string[]; callerMay?: string[];
    callee: string[]; calleeMay?: string[];
    offered: string; answered: string;
  };
  const rows: Row[] = [
    {
      name: 'what both have passes, in the order of the callee\'s account',
      caller: ['8 PCMA/8000', '0 PCMU/8000'], calleeMay: ['PCMU', 'PCMA'], callee: ['0 PCMU/8000'],
      offered: 'audio 0 8 101', answered: 'audio 0 101',
    },
    {
      name: 'the answer prefers what needs no transcoding over the caller\'s first',
      caller: ['9 G722/8000', '8 PCMA/8000'], calleeMay: ['PCMA'], callee: ['8 PCMA/8000'],
      offered: 'audio 8 101', answered: 'audio 8 101',
    },
    {
      name: 'what the caller lacks is offered after what it has',
      caller: ['8 PCMA/8000'], calleeMay: ['G722', 'PCMA'], callee: ['8 PCMA/8000'],
      offered: 'audio 8 9 101', answered: 'audio 8 101',
    },
    {
      name: 'nothing in common is transcoded',
      caller: ['8 PCMA/8000'], calleeMay: ['PCMU'], callee: ['0 PCMU/8000'],
      offered: 'audio 0 101', answered: 'audio 8 101',
    },
    {
      name: 'wide and narrow',
      caller: [OPUS, '0 PCMU/8000'], callerMay: ['OPUS'], calleeMay: ['PCMA'], callee: ['8 PCMA/8000'],
      offered: 'audio 8 101', answered: 'audio 96 101',
    },
    {
      name: 'the number of a codec is each side\'s own',
      caller: [OPUS], callerMay: ['OPUS'], calleeMay: ['OPUS'], callee: [OPUS],
      offered: 'audio 96 101 110', answered: 'audio 96 101',
    },
    {
      name: 'several codecs of an answer are kept',
      caller: ['8 PCMA/8000', '0 PCMU/8000', '9 G722/8000'], calleeMay: ['PCMA', 'PCMU', 'G722'],
      callee: ['9 G722/8000', '0 PCMU/8000'],
      offered: 'audio 8 0 9 101', answered: 'audio 0 9 101',
    },
  ];
  for (const row of rows) {
    test(`[BASE-51] ${row.name}`, async ({ pbx }) => {
      await withAccount(pbx, '101', { audio_codecs: row.callerMay ?? null });
      await withAccount(pbx, '102', { audio_codecs: row.calleeMay ?? null });
      try {
        const callee = await phone(pbx, '102', { codecs: row.callee });
        const caller = await phone(pbx, '101', { codecs: row.caller });
        const call = await caller.call('102');
        expect(call.status).toBe(200);
        const other = await incoming(callee);
        expect(linesOf(other.remoteSdp)).toBe(row.offered);
        expect(linesOf(call.remoteSdp)).toBe(row.answered);
        call.rtp.payloadType = Number(/audio (\d+)/.exec(row.answered)?.[1]);
        other.rtp.payloadType = Number(row.callee[0]?.split(' ')[0]);
        call.rtp.start();
        other.rtp.start();
        await until('sound both ways, each in its own codec', () =>
          row.callee.some((codec) => codec.startsWith(`${other.rtp.heardType} `)) && call.rtp.received > 5);
        expect(reinvites(call)).toHaveLength(0);
        expect(reinvites(other)).toHaveLength(0);
        expect(await caller.hangup(call)).toBe(200);
      } finally {
        await withAccount(pbx, '101', { audio_codecs: null });
        await withAccount(pbx, '102', { audio_codecs: null });
      }
    });
  }

  test('[PLT-44] a codec that the system does not enable is used by nobody', async ({ pbx }) => {
    await withSettings(pbx, { system_codecs: ['PCMU', 'H264', 'VP8'], default_audio_codecs: ['PCMU'] });
    try {
      const callee = await phone(pbx, '102', { codecs: ['0 PCMU/8000'] });
      const caller = await phone(pbx, '101', { codecs: ['8 PCMA/8000', '0 PCMU/8000'] });
      const call = await caller.call('102');
      expect(linesOf((await incoming(callee)).remoteSdp)).toBe('audio 0 101');
      expect(linesOf(call.remoteSdp)).toBe('audio 0 101');
      await caller.hangup(call);
    } finally {
      await withSettings(pbx, { system_codecs: null, default_audio_codecs: null });
    }
  });

  test('rtcp-mux is accepted when it is offered', async ({ pbx }) => {
    await phone(pbx, '102');
    const caller = await phone(pbx, '101');
    const call = await caller.call('102', { text: sdpOf('m=audio 4000 RTP/AVP 8', 'a=rtcp-mux') });
    expect(call.remoteSdp).toMatch(/a=rtcp-mux/);
    await caller.hangup(call);
  });
});

describe('hold', () => {
  const ways: [string, string[], string][] = [
    ['sendonly', ['a=sendonly'], 'recvonly'], ['inactive', ['a=inactive'], 'inactive'],
    ['c=0.0.0.0', ['c=IN IP4 0.0.0.0'], 'sendrecv'],
  ];
  for (const [name, how, answered] of ways) {
    test(`[TEL-03] ${name} between different codecs, resumed by UPDATE`, async ({ pbx }) => {
      const callee = await phone(pbx, '102', { codecs: ['0 PCMU/8000'] });
      const caller = await phone(pbx, '101', { codecs: ['8 PCMA/8000'] });
      const call = await caller.call('102', { text: '' });
      const other = await incoming(callee);
      call.rtp.start();
      other.rtp.start();
      await until('sound', () => other.rtp.received > 5);
      const line = `m=audio ${call.rtp.port} RTP/AVP 8`;
      const held = await caller.inDialog(call, 'INVITE', sdpOf(line, ...how));
      expect(status(held)).toBe(200);
      expect(directionOf(held.body)).toBe(answered);
      await until('held', async () => (await stateOf(pbx)) === 'held');
      other.rtp.reset();
      await until('music', () => other.rtp.received > 20 && other.rtp.heardType === 0);

      // The same again is the same description: its version stays (RFC 3264 section 8).
      const again = await caller.inDialog(call, 'INVITE', sdpOf(line, ...how));
      expect(versionOf(again.body)).toBe(versionOf(held.body));

      const back = await caller.inDialog(call, 'UPDATE', sdpOf(line));
      expect(status(back)).toBe(200);
      expect(directionOf(back.body)).toBe('sendrecv');
      expect(versionOf(back.body)).toBe(versionOf(held.body) + (answered === 'sendrecv' ? 0 : 1));
      await until('answered', async () => (await stateOf(pbx)) === 'answered');
      expect(reinvites(other)).toHaveLength(0);
      await caller.hangup(call);
    });
  }

  test('[TEL-03] both hold: each hears nothing or music, and who resumes hears music until the other does', async ({ pbx }) => {
    const callee = await phone(pbx, '102');
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    const other = await incoming(callee);
    call.rtp.start();
    other.rtp.start();
    await until('sound', () => other.rtp.received > 5 && call.rtp.received > 5);
    await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp, { dir: 'sendonly' }));
    other.peerTarget ||= header(other.requests[0] as SipMessage, 'contact');
    await callee.inDialog(other, 'INVITE', callee.sdp(other.rtp, { dir: 'sendonly' }));
    await until('held', async () => (await stateOf(pbx)) === 'held');
    await delay(200);
    call.rtp.reset();
    other.rtp.reset();
    await delay(300);
    expect(call.rtp.received).toBe(0);
    expect(other.rtp.received).toBe(0);

    await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp));
    call.rtp.fill = 0x11;
    await until('music for who came back first', () => call.rtp.received > 10);
    expect(await stateOf(pbx)).toBe('held');
    await callee.inDialog(other, 'INVITE', callee.sdp(other.rtp));
    await until('answered', async () => (await stateOf(pbx)) === 'answered');
    await until('sound again', () => other.rtp.heardFill === 0x11);
    await caller.hangup(call);
  });

  test('[TEL-03] a re-INVITE without offer resumes: we offer, the ACK answers', async ({ pbx }) => {
    const callee = await phone(pbx, '102');
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    const other = await incoming(callee);
    call.rtp.fill = 0x12;
    call.rtp.start();
    other.rtp.start();
    await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp, { dir: 'inactive' }));
    await until('held', async () => (await stateOf(pbx)) === 'held');
    const reply = await caller.inDialog(call, 'INVITE', '', undefined, caller.sdp(call.rtp));
    expect(status(reply)).toBe(200);
    expect(directionOf(reply.body)).toBe('sendrecv');
    expect(linesOf(reply.body)).toMatch(/^audio 8 /);
    await until('answered', async () => (await stateOf(pbx)) === 'answered');
    other.rtp.reset();
    await until('sound again', () => other.rtp.heardFill === 0x12);
    await caller.hangup(call);
  });

  test('[TEL-03] so does one to a service', async ({ pbx }) => {
    const caller = await phone(pbx, '101');
    const call = await caller.call('800');
    call.rtp.start();
    await until('the prompt', () => call.rtp.received > 5);
    await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp, { dir: 'inactive' }));
    await until('silence', async () => {
      call.rtp.reset();
      await delay(200);
      return call.rtp.received === 0;
    });
    const reply = await caller.inDialog(call, 'INVITE', '', undefined, caller.sdp(call.rtp));
    expect(status(reply)).toBe(200);
    await until('the prompt goes on', () => call.rtp.received > 5);
    await caller.hangup(call);
  });
});

describe('delayed offer', () => {
  test('an INVITE without offer: the callee gets a normal one, the caller ours in the 200', async ({ pbx }) => {
    const callee = await phone(pbx, '102', { codecs: ['0 PCMU/8000'] });
    const caller = await phone(pbx, '101');
    const call = await caller.call('102', { text: '' });
    expect(call.status).toBe(200);
    const other = await incoming(callee);
    expect(linesOf(other.remoteSdp)).toMatch(/^audio 8 0 9 .*101/);
    expect(linesOf(call.remoteSdp)).toMatch(/^audio 0 8 9 .*101/); // what the callee took comes first
    call.rtp.start();
    other.rtp.start();
    await until('sound both ways', () => call.rtp.received > 5 && other.rtp.received > 5);
    expect(other.rtp.heardType).toBe(0);
    await caller.hangup(call);
  });

  test('with 100rel our offer comes in the 183 and the PRACK answers it: early media', async ({ pbx }) => {
    let answer = (): void => undefined;
    const callee = await phone(pbx, '102', {
      onInvite: (self, call, invite) => {
        call.rtp.fill = 0x2b;
        self.respond(call, invite, 183, 'Session Progress', self.sdp(call.rtp));
        call.rtp.start();
        answer = () => self.respond(call, invite, 200, 'OK', self.sdp(call.rtp));
      },
    });
    const caller = await phone(pbx, '101', {
      supported: '100rel',
      onProvisional: (self, call, message) => {
        if (header(message, 'rseq')) void self.prack(call, message, message.body ? self.sdp(call.rtp) : '');
      },
    });
    const pending = caller.call('102', { text: '' });
    await incoming(callee);
    const call = await until('the call exists', () => caller.calls[0]);
    await until('our offer', () => call.provisional.find((m) => status(m) === 183 && m.body));
    call.rtp.start();
    await until('the announcement before the answer', () => call.rtp.heardFill === 0x2b);
    expect(call.isUp).toBe(false);
    answer();
    expect((await pending).status).toBe(200);
    await caller.hangup(call);
  });
});

describe('early media of several', () => {
  test('without an offer of the caller: one speaks early, another answers', async ({ pbx }) => {
    await withAccount(pbx, '102', { max_contacts: 2 });
    try {
      const steps: ((code: number) => void)[] = [];
      const ringing = (fill: number, codec: string): MiniOptions => ({
        codecs: [codec],
        onInvite: (self, call, invite) => {
          call.rtp.fill = fill;
          call.rtp.payloadType = Number(codec.split(' ')[0]);
          steps.push((code) => {
            self.respond(call, invite, code, code === 200 ? 'OK' : 'Session Progress', self.sdp(call.rtp));
            call.rtp.start();
          });
        },
      });
      const one = await phone(pbx, '102', ringing(0x35, '8 PCMA/8000'));
      const two = await phone(pbx, '102', ringing(0x36, '0 PCMU/8000'));
      const caller = await phone(pbx, '101', {
        supported: '100rel',
        onProvisional: (self, call, message) => {
          if (header(message, 'rseq')) void self.prack(call, message, message.body ? self.sdp(call.rtp) : '');
        },
      });
      const pending = caller.call('102', { text: '' });
      await until('both ring', () => one.calls.length && two.calls.length && steps.length === 2);
      const call = await until('the call exists', () => caller.calls[0]);
      call.rtp.start();
      steps[0]?.(183);
      await until('early media', () => call.rtp.received > 10);
      steps[1]?.(200);
      expect((await pending).status).toBe(200);
      const answered = await until('one is up', () => [...one.calls, ...two.calls].find((c) => c.isUp));
      answered.rtp.reset();
      call.rtp.reset();
      await until('sound both ways', () => answered.rtp.received > 5 && call.rtp.received > 5);
      await caller.hangup(call);
    } finally {
      await withAccount(pbx, '102', { max_contacts: null });
    }
  });

  test('the first that speaks is heard until another answers', async ({ pbx }) => {
    await withAccount(pbx, '102', { max_contacts: 2 });
    try {
      const steps: ((code: number) => void)[] = [];
      const ringing = (fill: number): MiniOptions => ({
        onInvite: (self, call, invite) => {
          call.rtp.fill = fill;
          steps.push((code) => {
            self.respond(call, invite, code, code === 200 ? 'OK' : 'Session Progress', self.sdp(call.rtp));
            call.rtp.start();
          });
        },
      });
      const one = await phone(pbx, '102', ringing(0x31));
      const two = await phone(pbx, '102', ringing(0x32));
      const caller = await phone(pbx, '101');
      const pending = caller.call('102');
      await until('both ring', () => one.calls.length && two.calls.length && steps.length === 2);
      const call = await until('the call exists', () => caller.calls[0]);
      call.rtp.start();
      steps[0]?.(183);
      await until('the first', () => call.rtp.heardFill === 0x31 || call.rtp.heardFill === 0x32);
      const first = call.rtp.heardFill;
      steps[1]?.(183);
      await delay(300);
      expect(call.rtp.heardFill).toBe(first);
      const early = call.provisional.filter((m) => m.body);
      expect(early).toHaveLength(1);
      steps[1]?.(200);
      expect((await pending).status).toBe(200);
      await until('the one that answered', () => call.rtp.heardFill === (first === 0x31 ? 0x32 : 0x31));
      expect(portOf(call.remoteSdp, 'audio')).toBe(portOf(early[0]?.body ?? '', 'audio'));
      await caller.hangup(call);
    } finally {
      await withAccount(pbx, '102', { max_contacts: null });
    }
  });

  test('forks behind one contact: the dialog that answers is heard, though it spoke second', async ({ pbx }) => {
    let answer = (): void => undefined;
    const streams: MiniCall['rtp'][] = [];
    const callee = await phone(pbx, '102', {
      onInvite: (self, call, invite) => {
        const { rtp } = call;
        const other = streams[0] as MiniCall['rtp'];
        rtp.fill = 0x41;
        other.fill = 0x42;
        other.sendTo(invite.body);
        self.reply(invite, 183, 'Session Progress', self.sdp(rtp), 'first');
        self.reply(invite, 183, 'Session Progress', self.sdp(other), 'second');
        rtp.start();
        answer = () => {
          call.local = `${header(invite, 'to')};tag=second`;
          rtp.close();
          call.rtp = other;
          self.respond(call, invite, 200, 'OK', self.sdp(other));
          other.start();
        };
      },
    });
    const { RtpStream } = await import('./lib/rtp.js');
    streams.push(await RtpStream.open());
    const caller = await phone(pbx, '101');
    const pending = caller.call('102');
    const call = await until('the call exists', () => caller.calls[0]);
    call.rtp.start();
    await until('the first dialog', () => call.rtp.heardFill === 0x41);
    answer();
    expect((await pending).status).toBe(200);
    await until('the second, which answered', () => call.rtp.heardFill === 0x42);
    expect(tagOf((await incoming(callee)).local)).toBe('second');
    await caller.hangup(call);
  });
});

describe('several lines', () => {
  const videoLine = (port: number): string[] => [
    `m=video ${port} RTP/AVP 97`, 'b=AS:2000', 'a=rtpmap:97 H264/90000', 'a=fmtp:97 packetization-mode=1',
    'a=rtcp-fb:97 nack pli',
  ];

  /** A phone with sound and, when it is offered, picture; its streams are sockets that echo what they hear. */
  const withVideo: MiniOptions = {
    onInvite: (self, call, invite) => self.respond(call, invite, 200, 'OK', answerTo(call, invite.body)),
    onRequest: (self, call, message) => {
      if (method(message) !== 'INVITE') return false;
      call.remoteSdp = message.body;
      self.reply(message, 200, 'OK', answerTo(call, message.body));
      return true;
    },
  };
  function answerTo(call: MiniCall, offer: string): string {
    return sdpOf(...[...offer.matchAll(/^m=(\w+) (\d+) (\S+) (\S+)/gm)].flatMap(([, kind, port, proto, format]) => {
      if (port === '0') return [`m=${kind} 0 ${proto} ${format}`];
      return kind === 'audio' ? [`m=audio ${call.rtp.port} RTP/AVP 8`] : videoLine(call.rtp.port + 2);
    }));
  }

  test('[PLT-40] video passes at most at the system\'s bit rate; strange lines are refused', async ({ pbx }) => {
    await withAccount(pbx, '101', { video_codecs: ['H264'] });
    await withAccount(pbx, '102', { video_codecs: ['H264'] });
    const callee = await phone(pbx, '102', withVideo);
    const caller = await phone(pbx, '101');
    const call = await caller.call('102', {
      text: sdpOf('m=audio 4000 RTP/AVP 8', 'm=application 4002 UDP/BFCP *', ...videoLine(4004), 'm=message 4006 TCP/MSRP *'),
    });
    expect(call.status).toBe(200);
    const other = await incoming(callee);
    expect(linesOf(other.remoteSdp)).toBe('audio 8 0 9 111 18 101 110; video 97');
    expect(other.remoteSdp).toMatch(/b=AS:384\r\n/);
    expect(other.remoteSdp).toMatch(/a=rtcp-fb:97 nack pli\r\n/);
    expect(linesOf(call.remoteSdp)).toBe('audio 8; application -; video 97; message -');
    expect(call.remoteSdp).toMatch(/b=AS:384\r\n/);
    await caller.hangup(call);
  });

  test('[PLT-40] with video off only sound is agreed', async ({ pbx }) => {
    await withSettings(pbx, { video_enabled: false });
    try {
      const callee = await phone(pbx, '102', withVideo);
      const caller = await phone(pbx, '101');
      const call = await caller.call('102', { text: sdpOf('m=audio 4000 RTP/AVP 8', ...videoLine(4004)) });
      expect(linesOf((await incoming(callee)).remoteSdp)).not.toMatch(/video/);
      expect(linesOf(call.remoteSdp)).toBe('audio 8; video -');
      await caller.hangup(call);
    } finally {
      await withSettings(pbx, { video_enabled: true });
    }
  });

  test('video comes and goes within a call, in its place', async ({ pbx }) => {
    const callee = await phone(pbx, '102', withVideo);
    const caller = await phone(pbx, '101');
    const audio = 'm=audio 4000 RTP/AVP 8';
    const call = await caller.call('102', { text: sdpOf(audio) });
    const other = await incoming(callee);
    expect(linesOf(other.remoteSdp)).not.toMatch(/video/);

    const on = await caller.inDialog(call, 'INVITE', sdpOf(audio, ...videoLine(4004)));
    expect(linesOf(on.body)).toBe('audio 8; video 97');
    expect(linesOf(other.remoteSdp)).toMatch(/; video 97$/);
    const off = await caller.inDialog(call, 'INVITE', sdpOf(audio, 'm=video 0 RTP/AVP 97'));
    expect(linesOf(off.body)).toBe('audio 8; video -');
    expect(linesOf(other.remoteSdp)).toMatch(/; video -$/);
    const again = await caller.inDialog(call, 'INVITE', sdpOf(audio, ...videoLine(4004)));
    expect(linesOf(again.body)).toBe('audio 8; video 97');
    expect(linesOf(other.remoteSdp)).toMatch(/; video 97$/);
    expect(reinvites(other)).toHaveLength(3);

    // Sound that nobody understands: the offer is refused, not the line.
    const strange = sdpOf('m=audio 4000 RTP/AVP 98', 'a=rtpmap:98 iLBC/8000', ...videoLine(4004));
    expect(status(await caller.inDialog(call, 'INVITE', strange))).toBe(488);
    expect(reinvites(other)).toHaveLength(3);

    // A hold of both is answered here; the other side hears music and is not asked.
    const held = await caller.inDialog(call, 'INVITE', sdpOf(audio, 'a=sendonly', ...videoLine(4004), 'a=sendonly'));
    expect(linesOf(held.body)).toBe('audio 8; video 97');
    expect(reinvites(other)).toHaveLength(3);
    await caller.hangup(call);
  });

  test('a re-INVITE that is taken back while the other side agrees: the other side gets its old session again', async ({ pbx }) => {
    let asked: SipMessage | undefined;
    const callee = await phone(pbx, '102', {
      onRequest: (self, call, message) => {
        if (method(message) !== 'INVITE') return false;
        call.remoteSdp = message.body;
        if (asked) return false;
        asked = message; // and asks its user
        return true;
      },
    });
    const caller = await phone(pbx, '101');
    const audio = 'm=audio 4000 RTP/AVP 8';
    const call = await caller.call('102');
    const other = await incoming(callee);
    call.rtp.fill = 0x47;
    const { answered, cancel } = caller.offerAndCancel(call, sdpOf(audio, ...videoLine(4004)));
    const question = await until('the other side is asked', () => asked);
    cancel();
    expect(status(await answered)).toBe(487);
    callee.reply(question, 200, 'OK', answerTo(other, question.body));
    await until('it gets back what it had', () => reinvites(other).length === 2);
    expect(linesOf(other.remoteSdp)).toMatch(/^audio 8 .*; video -$/);
    call.rtp.start();
    other.rtp.start();
    await until('sound both ways', () => other.rtp.heardFill === 0x47 && call.rtp.received > 3);

    // Both know where they stand: the next offer is agreed as ever.
    const on = await caller.inDialog(call, 'INVITE', sdpOf(`m=audio ${call.rtp.port} RTP/AVP 8`, ...videoLine(4004)));
    expect(linesOf(on.body)).toMatch(/^audio 8; video /);
    expect(linesOf(other.remoteSdp)).toMatch(/; video 97$/);
    expect(await caller.hangup(call)).toBe(200);
  });

  test('the answer in an ACK comes while the other side offers video: first the answer counts, then the offer', async ({ pbx }) => {
    const callee = await phone(pbx, '102', withVideo);
    const caller = await phone(pbx, '101', withVideo);
    const call = await caller.call('102', { text: '', lateAck: true });
    const other = await incoming(callee);
    const offered = callee.inDialog(other, 'INVITE', sdpOf(`m=audio ${other.rtp.port} RTP/AVP 8`, ...videoLine(4104)));
    await until('the offer is under way', () => callee.seen.some((m) => status(m) === 100 && /INVITE/.test(header(m, 'cseq'))));
    await delay(50);
    call.acknowledge?.();
    const reply = await offered;
    expect(status(reply)).toBe(200);
    expect(linesOf(reply.body)).toBe('audio 8; video 97');
    expect(linesOf(call.remoteSdp)).toMatch(/^audio 8 .*; video 97$/);
    call.rtp.fill = 0x48;
    call.rtp.start();
    other.rtp.start();
    await until('sound both ways', () => other.rtp.heardFill === 0x48 && call.rtp.received > 3);
    expect(await caller.hangup(call)).toBe(200);
  });

  test('the answer in an ACK counts also when the offer that came meanwhile is refused', async ({ pbx }) => {
    const callee = await phone(pbx, '102', withVideo);
    const caller = await phone(pbx, '101', {
      onRequest: (self, call, message) => {
        if (method(message) === 'INVITE') self.reply(message, 488, 'Not Acceptable Here');
        return method(message) === 'INVITE';
      },
    });
    const call = await caller.call('102', { text: '', lateAck: true });
    const other = await incoming(callee);
    const offered = callee.inDialog(other, 'INVITE', sdpOf(`m=audio ${other.rtp.port} RTP/AVP 8`, ...videoLine(4104)));
    await delay(50);
    call.acknowledge?.();
    expect(status(await offered)).toBe(488);
    call.rtp.fill = 0x49;
    call.rtp.start();
    other.rtp.start();
    await until('sound both ways', () => other.rtp.heardFill === 0x49 && call.rtp.received > 3);
    expect(await caller.hangup(call)).toBe(200);
  });

  test('a caller whose ACK leaves our offer without an answer would hear nothing: the call ends', async ({ pbx }) => {
    const callee = await phone(pbx, '102');
    const caller = await phone(pbx, '101');
    for (const number of ['102', '800']) {
      const call = await caller.call(number, { text: '', noAnswer: true });
      expect(call.status).toBe(200);
      await until('BYE', () => call.endedBy === 'bye');
      const bye = call.requests.find((m) => method(m) === 'BYE') as SipMessage;
      expect(header(bye, 'reason')).toBe('Q.850;cause=88');
      await pbx.settled();
      const [row] = ((await pbx.rest.ok('GET', '/api/pbx/v2/cdr?limit=1')).json as { items: { status: string; q850: number }[] }).items;
      expect(row).toMatchObject({ status: number === '102' ? 'OK' : 'FAILED', q850: 88 }); // no service was heard
      if (number !== '102') continue;
      const other = await incoming(callee);
      await until('BYE to the other one', () => other.endedBy === 'bye');
      expect(header(other.requests.at(-1) as SipMessage, 'reason')).toBe('Q.850;cause=88');
    }
  });

  test('a later ACK without an answer changes nothing: the call goes on', async ({ pbx }) => {
    const callee = await phone(pbx, '102');
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    const other = await incoming(callee);
    expect(status(await caller.inDialog(call, 'INVITE', ''))).toBe(200);
    call.rtp.fill = 0x4a;
    call.rtp.start();
    other.rtp.start();
    await until('sound both ways', () => other.rtp.heardFill === 0x4a && call.rtp.received > 3);
    expect(status(await caller.inDialog(call, 'INVITE', sdpOf(`m=audio ${call.rtp.port} RTP/AVP 8`, ...videoLine(4004))))).toBe(200);
    expect(await caller.hangup(call)).toBe(200);
  });

  test('the callee adds video; a re-INVITE without offer gets both lines; two at once do no harm', async ({ pbx }) => {
    const callee = await phone(pbx, '102', withVideo);
    const caller = await phone(pbx, '101', withVideo);
    const call = await caller.call('102');
    const other = await incoming(callee);
    const audio = (one: MiniCall): string => `m=audio ${one.rtp.port} RTP/AVP 8`;
    const on = await callee.inDialog(other, 'INVITE', sdpOf(audio(other), ...videoLine(4104)));
    expect(linesOf(on.body)).toBe('audio 8; video 97');
    expect(linesOf(call.remoteSdp)).toMatch(/; video 97$/);

    const asked = await callee.inDialog(other, 'INVITE', '', undefined, sdpOf(audio(other), ...videoLine(4104)));
    expect(linesOf(asked.body)).toMatch(/^audio 8 .*; video 97$/);

    const [one, two] = await Promise.all([
      caller.inDialog(call, 'INVITE', sdpOf(audio(call), 'm=video 0 RTP/AVP 97')),
      callee.inDialog(other, 'INVITE', sdpOf(audio(other), 'm=video 0 RTP/AVP 97')),
    ]);
    expect([status(one), status(two)].filter((code) => code !== 200 && code !== 491)).toEqual([]);
    expect([status(one), status(two)]).toContain(200);
    call.rtp.fill = 0x55;
    call.rtp.start();
    other.rtp.start();
    await until('sound', () => other.rtp.heardFill === 0x55);
    await caller.hangup(call);
  });

  for (const who of ['asks', 'is asked']) {
    test(`who ${who} for video hangs up before the other side has answered: the call ends, nothing else`, async ({ pbx }) => {
      let asked: SipMessage | undefined;
      const slow: MiniOptions = {
        onInvite: (self, call, invite) => self.respond(call, invite, 200, 'OK', answerTo(call, invite.body)),
        onRequest: (self, call, message) => {
          if (method(message) === 'INVITE') asked = message; // and asks its user
          return method(message) === 'INVITE';
        },
      };
      const sw = pbx.childPid('switch');
      const callee = await phone(pbx, '102', who === 'asks' ? withVideo : slow);
      const caller = await phone(pbx, '101', who === 'asks' ? slow : withVideo);
      const call = await caller.call('102');
      const other = await incoming(callee);
      const [first, mine] = who === 'asks' ? [callee, other] : [caller, call];
      const second = who === 'asks' ? caller : callee;
      const answered = first.inDialog(mine, 'INVITE', sdpOf(`m=audio ${mine.rtp.port} RTP/AVP 8`, ...videoLine(4104)));
      const question = await until('the other side is asked', () => asked);
      expect(await callee.hangup(other)).toBe(200);
      if (second === caller) caller.reply(question, 200, 'OK', answerTo(call, question.body));
      await until('BYE', () => call.endedBy === 'bye');
      await answered.catch(() => undefined);
      await until('no call is left', async () => (await pbx.ctlJson<unknown[]>('calls')).length === 0);
      expect(pbx.childPid('switch')).toBe(sw);
    });
  }

  test('a call whose sound is given up and taken up again', async ({ pbx }) => {
    const callee = await phone(pbx, '102');
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    const other = await incoming(callee);
    call.rtp.fill = 0x51;
    call.rtp.start();
    other.rtp.start();
    const off = await caller.inDialog(call, 'INVITE', sdpOf('m=audio 0 RTP/AVP 8'));
    expect(status(off)).toBe(200);
    expect(linesOf(off.body)).toBe('audio -');
    other.rtp.reset();
    await until('music', () => other.rtp.received > 10 && other.rtp.heardFill !== 0x51);
    const on = await caller.inDialog(call, 'INVITE', caller.sdp(call.rtp));
    expect(linesOf(on.body)).toBe('audio 8 101');
    await until('sound again', () => other.rtp.heardFill === 0x51);
    await caller.hangup(call);
  });
});

describe('T.38', () => {
  const fax = (port: number, more: string[] = []): string[] => [
    `m=image ${port} udptl t38`, 'a=T38FaxVersion:0', 'a=T38MaxBitRate:14400', 'a=T38FaxRateManagement:transferredTCF',
    'a=T38FaxMaxDatagram:400', 'a=T38FaxUdpEC:t38UDPRedundancy', ...more,
  ];

  type Machine = { socket: Socket; port: number; heard: Buffer[] };
  async function machine(): Promise<Machine> {
    const socket = createSocket('udp4');
    sockets.push(socket);
    const heard: Buffer[] = [];
    socket.on('message', (data) => heard.push(data));
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    return { socket, port: socket.address().port, heard };
  }

  /** Fax machines do not talk. */
  async function hush(...calls: MiniCall[]): Promise<void> {
    for (const call of calls) call.rtp.stop();
    await delay(100);
  }

  /** UDPTL datagrams both ways arrive as they were sent: some look like RTP, some like RTCP. */
  async function exchange(one: Machine, onePort: number, other: Machine, otherPort: number): Promise<void> {
    const datagrams = [[0, 0, 1, 0x30], [0x80, 0xc8, 0, 0, 1, 2, 3, 4], [0x80, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9], [0xff]]
      .map((bytes) => Buffer.from(bytes));
    for (const data of datagrams) one.socket.send(data, onePort, '127.0.0.1');
    await until('they arrive', () => other.heard.length >= datagrams.length);
    expect(other.heard).toEqual(datagrams);
    for (const data of datagrams) other.socket.send(data, otherPort, '127.0.0.1');
    await until('and back', () => one.heard.length >= datagrams.length);
    expect(one.heard).toEqual(datagrams);
  }

  const acceptsFax = (at: Machine): MiniOptions => ({
    onRequest: (self, call, message) => {
      if (method(message) !== 'INVITE') return false;
      call.remoteSdp = message.body;
      const refused = /m=audio 0/.test(message.body) ? ['m=audio 0 RTP/AVP 8'] : [];
      if (/m=image [1-9]/.test(message.body)) self.reply(message, 200, 'OK', sdpOf(...refused, ...fax(at.port)));
      else self.reply(message, 200, 'OK', self.sdp(call.rtp));
      return true;
    },
  });

  for (const who of ['caller', 'callee']) {
    test(`the ${who} switches to T.38, datagrams pass both ways, and back to sound`, async ({ pbx }) => {
      const mine = await machine();
      const theirs = await machine();
      const callee = await phone(pbx, '102', acceptsFax(theirs));
      const caller = await phone(pbx, '101', acceptsFax(theirs));
      const call = await caller.call('102');
      const other = await incoming(callee);
      const [asks, asked, mySide, theirSide] = who === 'caller'
        ? [caller, callee, call, other] as const : [callee, caller, other, call] as const;
      call.rtp.start();
      other.rtp.start();
      await until('sound', () => call.rtp.received > 3 && other.rtp.received > 3);
      await hush(call, other);

      const reply = await asks.inDialog(mySide, 'INVITE', sdpOf(...fax(mine.port, ['a=T38FaxTranscodingMMR'])));
      expect(status(reply)).toBe(200);
      expect(linesOf(reply.body)).toBe('image t38');
      for (const text of [theirSide.remoteSdp, reply.body]) {
        expect(text).toMatch(/a=T38FaxUdpEC:t38UDPRedundancy\r\n/);
        expect(text).toMatch(/a=T38FaxMaxDatagram:1400\r\n/); // ours, not the 400 of the machine (CHG-ENG-05)
      }
      expect(theirSide.remoteSdp).toMatch(/a=T38FaxTranscodingMMR\r\n/);
      expect(theirSide.remoteSdp).not.toContain(String(mine.port));
      await delay(50); // machines take longer to begin
      await exchange(mine, portOf(reply.body, 'image'), theirs, portOf(theirSide.remoteSdp, 'image'));

      const back = await asks.inDialog(mySide, 'INVITE', asks.sdp(mySide.rtp));
      expect(status(back)).toBe(200);
      expect(linesOf(back.body)).toBe('audio 8 101');
      mySide.rtp.fill = 0x61;
      call.rtp.start();
      other.rtp.start();
      await until('sound again', () => theirSide.rtp.heardFill === 0x61);
      expect(asked.calls.at(-1)?.isUp).toBe(true);
      await asks.hangup(mySide);
    });
  }

  test('T.38 beside sound that is given up: the second line', async ({ pbx }) => {
    const mine = await machine();
    const theirs = await machine();
    const callee = await phone(pbx, '102', acceptsFax(theirs));
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    const other = await incoming(callee);
    const reply = await caller.inDialog(call, 'INVITE', sdpOf('m=audio 0 RTP/AVP 8', ...fax(mine.port)));
    expect(status(reply)).toBe(200);
    expect(linesOf(reply.body)).toBe('audio -; image t38');
    expect(linesOf(other.remoteSdp)).toBe('audio -; image t38');
    await delay(50);
    await exchange(mine, portOf(reply.body, 'image'), theirs, portOf(other.remoteSdp, 'image'));
    await caller.hangup(call);
  });

  const refusals: [string, (self: MiniPhone, call: MiniCall, message: SipMessage) => void][] = [
    ['488', (self, _call, message) => self.reply(message, 488, 'Not Acceptable Here')],
    ['606', (self, _call, message) => self.reply(message, 606, 'Not Acceptable')],
    ['415', (self, _call, message) => self.reply(message, 415, 'Unsupported Media Type')],
    ['port 0', (self, _call, message) => self.reply(message, 200, 'OK', sdpOf('m=image 0 udptl t38'))],
  ];
  for (const [name, refuse] of refusals) {
    test(`refused with ${name}: 488, and sound goes on`, async ({ pbx }) => {
      const mine = await machine();
      const callee = await phone(pbx, '102', {
        onRequest: (self, call, message) => {
          if (method(message) !== 'INVITE' || !/m=image/.test(message.body)) return false;
          refuse(self, call, message);
          return true;
        },
      });
      const caller = await phone(pbx, '101');
      const call = await caller.call('102');
      const other = await incoming(callee);
      call.rtp.fill = 0x71;
      other.rtp.fill = 0x72;
      call.rtp.start();
      other.rtp.start();
      const reply = await caller.inDialog(call, 'INVITE', sdpOf(...fax(mine.port)));
      expect(status(reply)).toBe(488);
      await delay(200);
      other.rtp.reset();
      call.rtp.reset();
      await until('sound goes on both ways', () => other.rtp.heardFill === 0x71 && call.rtp.heardFill === 0x72);
      expect(await caller.hangup(call)).toBe(200);
    });
  }

  test('a real phone that knows no fax refuses; the tones of both are heard again', async ({ pbx, phones }) => {
    const mine = await machine();
    const bob = await phones.start('102', { autoAnswer: true }); // says 500 Hz
    const caller = await phone(pbx, '101');
    const call = await caller.call('102');
    expect(call.status).toBe(200);
    const tone = (hz: number, seconds: number): number[] =>
      Array.from({ length: seconds * 8000 }, (_, i) => 6000 * Math.sin((2 * Math.PI * hz * i) / 8000));
    call.rtp.say(tone(400, 40));
    call.rtp.records = true;
    call.rtp.start();
    const hears500 = (): boolean => {
      const samples = Float32Array.from(call.rtp.sound.slice(-4000), (x) => x / 32768);
      return samples.length === 4000 && toneShare({ rate: 8000, samples }, 500) > 0.9;
    };
    await until('500 Hz', hears500);
    await bob.hears(400);
    expect(status(await caller.inDialog(call, 'INVITE', sdpOf(...fax(mine.port))))).toBe(488);
    await delay(300);
    call.rtp.sound.length = 0;
    await until('500 Hz again', hears500);
    await bob.hears(400);
    expect(await caller.hangup(call)).toBe(200);
  });

  const limits: [string, Record<string, unknown>, RegExp, RegExp][] = [
    ['no size, no correction', { t38_max_datagram: 0, t38_error_correction: 'none' }, /T38FaxMaxDatagram:400\r/, /T38FaxUdpEC:t38UDPNoEC\r/],
    ['more than the machine knows', { t38_max_datagram: 320, t38_error_correction: 'fec' }, /T38FaxMaxDatagram:320\r/, /T38FaxUdpEC:t38UDPRedundancy\r/],
  ];
  for (const [name, settings, size, correction] of limits) {
    test(`[CHG-ENG-05] the system's datagram size and error correction: ${name}`, async ({ pbx }) => {
      await withSettings(pbx, settings);
      try {
        const [mine, theirs] = [await machine(), await machine()];
        const callee = await phone(pbx, '102', acceptsFax(theirs));
        const caller = await phone(pbx, '101');
        const call = await caller.call('102');
        const other = await incoming(callee);
        const reply = await caller.inDialog(call, 'INVITE', sdpOf(...fax(mine.port)));
        expect(status(reply)).toBe(200);
        for (const text of [other.remoteSdp, reply.body]) {
          expect(text).toMatch(size);
          expect(text).toMatch(correction);
        }
        await caller.hangup(call);
      } finally {
        await withSettings(pbx, { t38_max_datagram: 1400, t38_error_correction: 'redundancy' });
      }
    });
  }

  test('a service hears that a fax machine calls: event call.fax', async ({ pbx }) => {
    const caller = await phone(pbx, '101');
    const events = new EventSocket(pbx.rest.base, { 'X-authenticate': await pbx.rest.authHeader() });
    try {
      await events.subscribe('call.*');
      const call = await caller.call('800');
      const cng = Array.from({ length: 4000 }, (_, i) => 8000 * Math.sin((2 * Math.PI * 1100 * i) / 8000));
      const pause = new Array<number>(24_000).fill(0);
      call.rtp.say([...pause.slice(0, 4000), ...cng, ...pause, ...cng, ...pause]);
      call.rtp.start();
      const event = await events.event('call.fax');
      expect(event.data).toMatchObject({ tone: 'CNG', caller: '101', called: '800' });
      await caller.hangup(call);
    } finally {
      events.close();
    }
  });

  test('with pass-through off: 488, the other side is not asked', async ({ pbx }) => {
    await withSettings(pbx, { t38_passthrough: false });
    try {
      const mine = await machine();
      const callee = await phone(pbx, '102', acceptsFax(mine));
      const caller = await phone(pbx, '101');
      const call = await caller.call('102');
      const other = await incoming(callee);
      expect(status(await caller.inDialog(call, 'INVITE', sdpOf(...fax(mine.port))))).toBe(488);
      expect(reinvites(other)).toHaveLength(0);
      await caller.hangup(call);
    } finally {
      await withSettings(pbx, { t38_passthrough: true });
    }
  });
});
