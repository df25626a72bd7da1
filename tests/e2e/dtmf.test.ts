// Digits in all three ways, in both directions, each exactly once (issue: media engine, point 5).
import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall, type MiniOptions } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { closePhones, phone } from './lib/phones.js';
import { dtmfHeard, dtmfTones } from './lib/rtp.js';
import { header, status, type SipMessage } from './lib/sipmessage.js';
import { delay, until } from './lib/wait.js';

const withInfo = 'INVITE, ACK, BYE, CANCEL, OPTIONS, INFO';

const mode = (pbx: Pbx, dtmf_mode: string): Promise<void> =>
  pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { dtmf_mode } }]);

/** Two phones that talk; sound flows both ways. */
async function talk(
  pbx: Pbx, callerOptions: MiniOptions = {}, calleeOptions: MiniOptions = {},
): Promise<{ caller: MiniPhone; callee: MiniPhone; call: MiniCall; far: MiniCall }> {
  const callee = await phone(pbx, '102', calleeOptions);
  const caller = await phone(pbx, '101', callerOptions);
  const call = await caller.call('102');
  expect(call.status).toBe(200);
  const far = await until('the call arrives', () => callee.calls[0]);
  call.rtp.start();
  far.rtp.start();
  await until('sound', () => far.rtp.received > 5 && call.rtp.received > 5);
  return { caller, callee, call, far };
}

const infos = (call: MiniCall): SipMessage[] => call.requests.filter((m) => m.start.startsWith('INFO'));
const keysOf = (messages: SipMessage[]): string =>
  messages.map((m) => /Signal=\s*(\S)/.exec(m.body)?.[1] ?? '?').join('');
const relay = (digit: string, ms: number): string => `Signal=${digit}\r\nDuration=${ms}\r\n`;

afterEach(() => closePhones());
afterAll(stopPbx);

describe('RFC 2833', () => {
  test('[PLT-37] keys pass as events with their length and loudness, each once, in both directions', async ({ pbx }) => {
    const { caller, call, far } = await talk(pbx);
    for (const digit of '1590*#D') await call.rtp.press(digit, 240);
    for (const digit of '11') await far.rtp.press(digit, 60);
    await until('the caller\'s keys', () => far.rtp.events.length >= 7);
    await until('the callee\'s keys', () => call.rtp.events.length >= 2);
    await delay(300);
    expect(far.rtp.digits).toBe('1590*#D');
    expect(far.rtp.events[0]).toMatchObject({ duration: 1920, ends: 3, volume: 10 });
    expect(call.rtp.digits).toBe('11');
    await caller.hangup(call);
  });

  test('[PLT-37] INFO in both formats becomes an event of the same length', async ({ pbx }) => {
    const { caller, call, far } = await talk(pbx, {}, { allow: withInfo });
    expect(status(await caller.inDialog(call, 'INFO', relay('7', 400), 'application/dtmf-relay'))).toBe(200);
    await until('the digit as an event', () => far.rtp.digits === '7', 3000);
    expect(status(await caller.inDialog(call, 'INFO', '*', 'application/dtmf'))).toBe(200);
    await until('the other one', () => far.rtp.digits === '7*', 3000);
    expect(status(await caller.inDialog(call, 'INFO', relay('!', 400), 'application/dtmf-relay'))).toBe(200);
    await delay(700);
    expect(far.rtp.digits).toBe('7*');
    expect(far.rtp.events[0]?.duration).toBe(3200);
    expect(infos(far)).toHaveLength(0);
    await caller.hangup(call);
  });

  test('a phone that says each key by INFO and by event is understood once', async ({ pbx }) => {
    const { caller, call, far } = await talk(pbx);
    for (const digit of '123') {
      const sent = caller.inDialog(call, 'INFO', relay(digit, 100), 'application/dtmf-relay');
      await call.rtp.press(digit, 100);
      expect(status(await sent)).toBe(200);
    }
    await call.rtp.press('4', 100);
    expect(status(await caller.inDialog(call, 'INFO', relay('4', 100), 'application/dtmf-relay'))).toBe(200);
    await delay(1000);
    expect(far.rtp.digits).toBe('1234');
    await caller.hangup(call);
  });

  test('INFO that is not about keys goes on as it is, to who takes such requests', async ({ pbx }) => {
    const { caller, call, far } = await talk(pbx, {}, { allow: withInfo });
    const type = 'application/media_control+xml';
    expect(status(await caller.inDialog(call, 'INFO', '<media_control/>', type))).toBe(200);
    const info = await until('INFO', () => infos(far)[0]);
    expect(header(info, 'content-type')).toBe(type);
    expect(info.body).toBe('<media_control/>');
    await caller.hangup(call);
  });
});

describe('SIP INFO', () => {
  test('[PLT-37] telephone-event is not offered, keys go as INFO with their length in both directions', async ({ pbx }) => {
    await mode(pbx, 'sip_info');
    const { caller, callee, call, far } = await talk(pbx, { allow: withInfo }, { allow: withInfo });
    const invite = callee.seen.find((message) => message.start.startsWith('INVITE'));
    expect(invite?.body).not.toContain('telephone-event');
    expect(call.remoteSdp).not.toContain('telephone-event');
    for (const digit of '5#') {
      expect(status(await caller.inDialog(call, 'INFO', relay(digit, 250), 'application/dtmf-relay'))).toBe(200);
    }
    expect(status(await callee.inDialog(far, 'INFO', '9', 'application/dtmf'))).toBe(200);
    await until('the caller\'s keys', () => infos(far).length >= 2);
    await until('the callee\'s key', () => infos(call).length >= 1);
    await delay(300);
    expect(keysOf(infos(far))).toBe('5#');
    expect(infos(far)[0]?.body).toBe(relay('5', 250));
    expect(header(infos(far)[0] as SipMessage, 'content-type')).toBe('application/dtmf-relay');
    expect(keysOf(infos(call))).toBe('9');
    await caller.hangup(call);
    await mode(pbx, 'rfc2833');
  });
});

describe('while the other side is asked for new media', () => {
  test('keys and other INFO requests of both sides go on at once', async ({ pbx }) => {
    await mode(pbx, 'sip_info');
    let question: SipMessage | undefined;
    const video = (port: number): string => `m=video ${port} RTP/AVP 97\r\n${port ? 'a=rtpmap:97 H264/90000\r\n' : ''}`;
    const { caller, callee, call, far } = await talk(pbx, { allow: withInfo }, {
      allow: withInfo,
      onRequest: (_self, _call, message) => {
        if (message.start.startsWith('INVITE')) question = message; // and asks its user
        return message.start.startsWith('INVITE');
      },
    });
    const answered = caller.inDialog(call, 'INVITE', caller.sdp(call.rtp) + video(4104));
    const asked = await until('the other side is asked', () => question);
    expect(status(await caller.inDialog(call, 'INFO', relay('5', 250), 'application/dtmf-relay'))).toBe(200);
    expect(status(await caller.inDialog(call, 'INFO', '<x/>', 'application/media_control+xml'))).toBe(200);
    expect(status(await callee.inDialog(far, 'INFO', relay('9', 250), 'application/dtmf-relay'))).toBe(200);
    const bodies = (of: MiniCall): string[] => [...new Set(infos(of).map((info) => info.body))]; // some perhaps twice
    await until('the caller\'s', () => bodies(far).length >= 2);
    await until('the callee\'s', () => bodies(call).length >= 1);
    expect(bodies(far)).toEqual([relay('5', 250), '<x/>']);
    expect(bodies(call)).toEqual([relay('9', 250)]);

    callee.reply(asked, 200, 'OK', callee.sdp(far.rtp) + video(0));
    expect(status(await answered)).toBe(200);
    await caller.hangup(call);
    await mode(pbx, 'rfc2833');
  });
});

describe('tones', () => {
  const tones = async (call: MiniCall, digits: string): Promise<void> => {
    call.rtp.say([...Array.from({ length: 1600 }, () => 0), ...dtmfTones(digits)]);
    await delay(400 + 200 * digits.length);
  };

  test('[PLT-37] in band: telephone-event is not offered, tones pass in both directions, INFO becomes a tone', async ({ pbx }) => {
    await mode(pbx, 'in_band');
    const { caller, callee, call, far } = await talk(pbx, { allow: withInfo }, { allow: withInfo });
    const invite = callee.seen.find((message) => message.start.startsWith('INVITE'));
    expect(invite?.body).not.toContain('telephone-event');
    far.rtp.records = call.rtp.records = true;
    await tones(call, '19D');
    await tones(far, '#0');
    expect(dtmfHeard(far.rtp.sound)).toBe('19D');
    expect(dtmfHeard(call.rtp.sound)).toBe('#0');
    expect(status(await caller.inDialog(call, 'INFO', relay('4', 200), 'application/dtmf-relay'))).toBe(200);
    await until('the tone', () => dtmfHeard(far.rtp.sound) === '19D4', 4000);
    expect(infos(far)).toHaveLength(0);
    await caller.hangup(call);
    await mode(pbx, 'rfc2833');
  });

  test('[PLT-37] events to a phone that knows none become tones of the same length, its tones become events', async ({ pbx }) => {
    const { caller, call, far } = await talk(pbx, {}, { noEvents: true, allow: 'INVITE, ACK, BYE' });
    expect(call.remoteSdp).toContain('telephone-event');
    far.rtp.records = true;
    for (const digit of '28*') await call.rtp.press(digit, 120);
    await until('three tones', () => dtmfHeard(far.rtp.sound).length >= 3, 4000);
    await tones(far, '55A');
    await until('three events', () => call.rtp.events.length >= 3, 4000);
    await delay(300);
    expect(dtmfHeard(far.rtp.sound)).toBe('28*');
    expect(far.rtp.events).toHaveLength(0);
    expect(call.rtp.digits).toBe('55A');
    expect(call.rtp.events.every(({ duration }) => duration >= 480 && duration <= 1440)).toBe(true);
    await caller.hangup(call);
  });

  test('in the mode SIP INFO a phone that does not take INFO hears tones', async ({ pbx }) => {
    await mode(pbx, 'sip_info');
    const { caller, call, far } = await talk(pbx, { allow: withInfo }, { allow: 'INVITE, ACK, BYE' });
    far.rtp.records = true;
    expect(status(await caller.inDialog(call, 'INFO', relay('6', 300), 'application/dtmf-relay'))).toBe(200);
    await until('the tone', () => dtmfHeard(far.rtp.sound) === '6', 4000);
    expect(infos(far)).toHaveLength(0);
    await caller.hangup(call);
    await mode(pbx, 'rfc2833');
  });

  test('G.711 to Opus: the event changes its clock', async ({ pbx }) => {
    const codecs = ['96 opus/48000/2', '110 telephone-event/48000'];
    const { caller, call, far } = await talk(pbx, {}, { codecs, noEvents: true });
    far.rtp.payloadType = 96;
    far.rtp.eventType = 110;
    const pressedMs: number[] = [];
    for (const digit of '73') {
      const begun = performance.now();
      await call.rtp.press(digit, 200);
      pressedMs.push(performance.now() - begun);
    }
    await until('both keys', () => far.rtp.events.length >= 2);
    await delay(300);
    expect(far.rtp.digits).toBe('73');
    for (const { duration } of far.rtp.events) {
      expect(duration / 48).toBeGreaterThan(150);
      expect(duration / 48).toBeLessThan(Math.max(...pressedMs) + 60);
    }
    await caller.hangup(call);
  });
});

describe('a real phone', () => {
  test('[PLT-37] baresip understands our INFO, and our events for INFO that it is sent', async ({ pbx, phones }) => {
    for (const [way, digit] of [['sip_info', '8'], ['rfc2833', '3']] as const) {
      await mode(pbx, way);
      const bob = await phones.start('103', { autoAnswer: true });
      const caller = await phone(pbx, '101', { allow: withInfo });
      const call = await caller.call('103');
      expect(call.status).toBe(200);
      call.rtp.start();
      await bob.waitEvent('CALL_ESTABLISHED');
      await until('sound', () => call.rtp.received > 5);
      expect(status(await caller.inDialog(call, 'INFO', relay(digit, 200), 'application/dtmf-relay'))).toBe(200);
      expect((await bob.waitEvent('CALL_DTMF_START')).param).toBe(digit);
      await delay(800);
      expect(bob.events.filter(({ type }) => type === 'CALL_DTMF_START')).toHaveLength(1);
      await caller.hangup(call);
      await bob.close();
    }
  });
});
