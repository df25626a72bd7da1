// A browser is a phone: SIP over WSS, ICE, DTLS-SRTP, Opus (APP-110, CHG-ENG-03).
import { createSocket } from 'node:dgram';

import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { LossyWire } from './lib/lossywire.js';
import { MiniPhone } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { WebPhone } from './lib/webphone.js';
import { until } from './lib/wait.js';

const browsers: WebPhone[] = [];
const phones_: MiniPhone[] = [];

/** Where a browser registers: the web port, or the port of its own. */
const urls = {
  web: (pbx: Pbx): string => `${pbx.facts.https.replace(/^https/, 'wss').replace(/\/$/, '')}/ws-sip`,
  own: (pbx: Pbx): string => `wss://${pbx.facts.sip.wss ?? ''}/`,
};

async function makeWebRtc(pbx: Pbx, extension: string, more: Record<string, unknown> = {}): Promise<void> {
  const id = await pbx.idOf('account', 'username', pbx.account(extension).username);
  await pbx.configure([{
    path: `/api/pbx/v2/account/${id}`,
    body: {
      transport_type: 'WEBRTC', transport_wss: true, transport_udp: false, srtp: 'required', nat: true,
      audio_codecs: ['OPUS', 'PCMA'], ...more,
    },
  }]);
}

async function browser(pbx: Pbx, extension: string, toneHz: number, at: keyof typeof urls = 'web'): Promise<WebPhone> {
  const { username, secret } = pbx.account(extension);
  const origin = pbx.facts.https.replace(/\/$/, '');
  const made = await WebPhone.open({ origin, url: urls[at](pbx), username, secret, domain: '127.0.0.1', toneHz });
  browsers.push(made);
  return made;
}

afterEach(async () => {
  for (const one of browsers.splice(0)) await one.close();
  for (const one of phones_.splice(0)) await one.close();
});
afterAll(stopPbx);

describe('a browser and a desk phone', () => {
  test('[APP-110] the browser calls, and both hear the other\'s tone', async ({ pbx, phones }) => {
    await makeWebRtc(pbx, '103');
    const desk = await phones.start('101', { autoAnswer: true, codecs: 'PCMA' });
    const web = await browser(pbx, '103', 1000);
    await web.call('101');
    await web.waitEvent('confirmed');
    await Promise.all([web.hears(400), desk.hears(1000)]);
    const stats = await web.stats();
    expect(stats.dtls).toBe('connected');
    expect(stats.srtp).toMatch(/AES/);
    const sdp = await web.remoteSdp();
    expect(sdp).toContain('a=ice-lite');
    expect(sdp).toContain('a=rtcp-mux');
    await web.hangup();
    await desk.waitEvent('CALL_CLOSED');
    expect(web.complaints).toEqual([]);
  });

  test('[D-082] over the port of its own, 8089 by default', async ({ pbx, phones }) => {
    await makeWebRtc(pbx, '103');
    const desk = await phones.start('101', { autoAnswer: true, codecs: 'PCMA' });
    const web = await browser(pbx, '103', 1000, 'own');
    await web.call('101');
    await web.waitEvent('confirmed');
    await Promise.all([web.hears(400), desk.hears(1000)]);
    await web.hangup();
  });

  test('[APP-110] the desk phone calls, and both hear the other\'s tone', async ({ pbx, phones }) => {
    await makeWebRtc(pbx, '103');
    const desk = await phones.start('101', { codecs: 'PCMA' });
    const web = await browser(pbx, '103', 1000);
    await desk.dial('103');
    await web.waitEvent('session remote');
    await web.answer();
    await desk.waitEvent('CALL_ESTABLISHED');
    await Promise.all([web.hears(400), desk.hears(1000)]);
    await desk.hangup();
    await web.waitEvent('ended');
  });

  test('hold and back: the tone is there again', async ({ pbx, phones }) => {
    await makeWebRtc(pbx, '103');
    const desk = await phones.start('101', { autoAnswer: true, codecs: 'PCMA' });
    const web = await browser(pbx, '103', 1000);
    await web.call('101');
    await web.waitEvent('confirmed');
    await Promise.all([web.hears(400), desk.hears(1000)]);
    await web.hold();
    await web.waitEvent('hold');
    await until('music instead of the browser', () => desk.hears(1000, 200).then(() => false, () => true));
    await web.forget();
    await web.unhold();
    await web.waitEvent('unhold');
    await Promise.all([web.hears(400), desk.hears(1000)]);
    await web.hangup();
  });

  test('a digit of the browser arrives', async ({ pbx }) => {
    await makeWebRtc(pbx, '103');
    const { username, secret } = pbx.account('101');
    const desk = await MiniPhone.open(username, secret, pbx.facts.sip.udp);
    phones_.push(desk);
    expect(await desk.register()).toBe(200);
    const web = await browser(pbx, '103', 1000);
    await web.call('101');
    await web.waitEvent('confirmed');
    await web.hears(0).catch(() => undefined);
    await web.sendDigits('5');
    await until('the digit', () => desk.calls[0]?.rtp.digits.includes('5'));
    await web.hangup();
  });

  test('a browser with another certificate than it announced gets no call without sound: it is ended', async ({ pbx, phones }) => {
    await makeWebRtc(pbx, '103');
    const desk = await phones.start('101', { autoAnswer: true, codecs: 'PCMA' });
    const web = await browser(pbx, '103', 1000);
    await web.call('101', { forge: true });
    await web.waitEvent('confirmed');
    await web.waitEvent('ended');
    await desk.waitEvent('CALL_CLOSED');
    await until('a line in the log', () => pbx.output.includes('call.insecure'));
  });

  test('[CHG-ENG-03] a STUN server that cannot be reached does not delay the call', async ({ pbx, phones }) => {
    await makeWebRtc(pbx, '103');
    const desk = await phones.start('101', { autoAnswer: true, codecs: 'PCMA' });
    const web = await browser(pbx, '103', 1000);
    const from = Date.now();
    await web.call('101', { stun: 'stun:192.0.2.1:3478' });
    await web.waitEvent('confirmed');
    expect(Date.now() - from).toBeLessThan(8000); // a browser that waits for STUN does so for ten seconds
    await Promise.all([web.hears(400), desk.hears(1000)]);
    await web.hangup();
  });
});

describe('the PBX behind a NAT', () => {
  const settings = async (pbx: Pbx, body: Record<string, unknown>): Promise<void> => {
    await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body }]);
  };
  const candidates = (sdp: string): string[] => [...sdp.matchAll(/^a=candidate:\S+ 1 udp \d+ (\S+) /gm)].map((m) => m[1] ?? '');

  test('[PLT-43] [PLT-42] browsers are told the external host, else what a STUN server sees', async ({ pbx, phones }) => {
    await makeWebRtc(pbx, '103');
    await phones.start('101', { autoAnswer: true, codecs: 'PCMA' });
    const web = await browser(pbx, '103', 1000);
    const told = async (): Promise<string[]> => {
      await web.forget();
      await web.call('101');
      await web.waitEvent('confirmed');
      await web.hears(400); // the others are tried in vain, and do no harm
      const found = candidates(await web.remoteSdp());
      await web.hangup();
      await web.waitEvent('ended');
      return found;
    };
    const stun = createSocket('udp4');
    try {
      expect(await told()).not.toContain('203.0.113.9');
      // A server that sees us as 203.0.113.9:40000, whoever asks (RFC 8489 section 14.2).
      let asked = 0;
      stun.on('message', (data, from) => {
        asked++;
        const reply = Buffer.alloc(32);
        data.copy(reply, 0, 0, 20);
        reply.writeUInt16BE(0x0101, 0);
        reply.writeUInt16BE(12, 2);
        reply.writeUInt16BE(0x0020, 20);
        reply.writeUInt16BE(8, 22);
        reply.writeUInt8(1, 25);
        reply.writeUInt16BE(40_000 ^ 0x2112, 26);
        reply.writeUInt32BE((0xcb007109 ^ 0x2112a442) >>> 0, 28);
        stun.send(reply, from.port, from.address);
      });
      await new Promise<void>((resolve) => stun.bind(0, '127.0.0.1', resolve));
      await settings(pbx, { stun_server: '127.0.0.1', stun_port: stun.address().port });
      await until('the server is asked and has told', () => asked > 0 && pbx.output.includes('sip.outside.seen'));
      expect(await told()).toContain('203.0.113.9');
      await settings(pbx, { external_host: '198.51.100.7' });
      const found = await told();
      expect(found).toContain('198.51.100.7');
      expect(found).not.toContain('203.0.113.9');
    } finally {
      stun.close();
      await settings(pbx, { stun_server: '', external_host: '' });
    }
  });
});

describe('two browsers', () => {
  test('hear each other', async ({ pbx }) => {
    await makeWebRtc(pbx, '103');
    await makeWebRtc(pbx, '104');
    const [a, b] = [await browser(pbx, '103', 1000), await browser(pbx, '104', 700)];
    await a.call('104');
    await b.waitEvent('session remote');
    await b.answer();
    await a.waitEvent('confirmed');
    await Promise.all([a.hears(700), b.hears(1000)]);
    await b.hangup();
    await a.waitEvent('ended');
  });

  test('see each other', async ({ pbx }) => {
    await makeWebRtc(pbx, '103', { video_codecs: ['VP8', 'H264'] });
    await makeWebRtc(pbx, '104', { video_codecs: ['VP8', 'H264'] });
    const [a, b] = [await browser(pbx, '103', 1000), await browser(pbx, '104', 700)];
    await a.call('104', { media: { video: true } });
    await b.waitEvent('session remote');
    await b.answer({ media: { video: true } });
    await a.waitEvent('confirmed');
    await Promise.all([a.hears(700), b.hears(1000)]);
    for (const one of [a, b]) await until('pictures', async () => (await one.stats()).frames > 10);
    await b.hangup();
  });
});

describe('a browser and a desk phone with a camera', () => {
  for (const [caller, codec] of [['browser', 'VP8'], ['desk phone', 'VP8'], ['browser', 'H264']] as const) {
    test(`${codec}, the ${caller} calls: both hear and see, and what cannot be repeated is not promised`, async ({ pbx, phones }) => {
      await makeWebRtc(pbx, '103', { video_codecs: [codec] });
      const id = await pbx.idOf('account', 'username', pbx.account('101').username);
      await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { video_codecs: [codec] } }]);
      const desk = await phones.start('101', { autoAnswer: caller === 'browser', codecs: 'PCMA', video: codec.toLowerCase() });
      const web = await browser(pbx, '103', 1000);
      if (caller === 'browser') {
        await web.call('101', { media: { video: true }, bundle: 'max-bundle' });
      } else {
        await desk.dial('103');
        await web.waitEvent('session remote');
        await web.answer({ media: { video: true } });
      }
      await web.waitEvent('confirmed');
      await Promise.all([web.hears(400), desk.hears(1000)]);
      await until('pictures in the browser', async () => (await web.stats()).frames > 10);
      // Chromium's test picture is no even area: a PNG of it has some kilobytes.
      await until('a picture on the desk phone', async () => (await desk.sees()) > 2000, 20_000, 500);
      expect((await web.stats()).codec).toBe(`video/${codec}`);
      // It repeats nothing, so the browser may not be told that anybody does.
      const sdp = await web.remoteSdp();
      expect(sdp).not.toMatch(/ rtx\//);
      expect(sdp).not.toMatch(/^a=rtcp-fb:\S+ nack\r?$/m);
      await web.hangup();
      await desk.waitEvent('CALL_CLOSED');
    });
  }
});

describe('sound and pictures on one transport (RFC 9143)', () => {
  const video = { media: { video: true } };

  /** The ports and groups of a description. */
  function transports(sdp: string): { ports: string[]; group: string; ufrags: number } {
    return {
      ports: [...sdp.matchAll(/^m=\w+ (\d+)/gm)].map((m) => m[1] ?? ''),
      group: /^a=group:(.*)$/m.exec(sdp)?.[1]?.trim() ?? '',
      ufrags: sdp.match(/^a=ice-ufrag:/gm)?.length ?? 0,
    };
  }

  for (const bundle of ['max-bundle', 'balanced'] as const) {
    test(`two browsers, the caller with bundlePolicy ${bundle}`, async ({ pbx }) => {
      await makeWebRtc(pbx, '103', { video_codecs: ['VP8', 'H264'] });
      await makeWebRtc(pbx, '104', { video_codecs: ['VP8', 'H264'] });
      const [a, b] = [await browser(pbx, '103', 1000), await browser(pbx, '104', 700)];
      await a.call('104', { ...video, bundle });
      await b.waitEvent('session remote');
      await b.answer({ ...video, lossy: true });
      await a.waitEvent('confirmed');
      await Promise.all([a.hears(700), b.hears(1000)]);
      for (const one of [a, b]) {
        await until('pictures', async () => (await one.stats()).frames > 10);
        expect((await one.stats()).transports).toBe(1);
      }
      // Who lost pictures asks for a whole one: RTCP feedback through both transports.
      await b.losePictures(true);
      await until('feedback', async () => (await a.stats()).asked > 0);
      await b.losePictures(false);
      const seen = (await b.stats()).frames;
      await until('pictures again', async () => (await b.stats()).frames > seen + 10);
      const answer = transports(await a.remoteSdp());
      expect(answer.group).toBe('BUNDLE 0 1');
      expect(new Set(answer.ports).size).toBe(1);
      expect(answer.ports).toHaveLength(2);
      expect(answer.ufrags).toBe(1);
      // Lost packets come again between browsers (RFC 4588), in both directions.
      for (const one of [a, b]) {
        expect(await one.remoteSdp()).toMatch(/a=rtpmap:(\d+) VP8\/90000[^]*a=fmtp:\d+ apt=\1\r\n/);
        expect(await one.remoteSdp()).toMatch(/^a=rtcp-fb:\S+ nack\r?$/m);
      }
      const offer = transports(await b.remoteSdp());
      expect(offer.group).toBe('BUNDLE 0 1');
      expect(new Set(offer.ports).size).toBe(2);
      await a.hangup();
      await b.waitEvent('ended');
    });
  }

  test('packets that are lost on the way to and from the PBX come again between the browsers (RFC 4588)', async ({ pbx }) => {
    await makeWebRtc(pbx, '103', { video_codecs: ['VP8'] });
    await makeWebRtc(pbx, '104', { video_codecs: ['VP8'] });
    const [a, b] = [await browser(pbx, '103', 1000), await browser(pbx, '104', 700)];
    const ways = [[a, await LossyWire.open()], [b, await LossyWire.open()]] as const;
    try {
      for (const [one, wire] of ways) await one.goBy(wire);
      await a.call('104', { ...video, bundle: 'max-bundle' });
      await b.waitEvent('session remote');
      await b.answer({ ...video, bundle: 'max-bundle' });
      for (const [one, wire] of ways) wire.to = Number((await one.waitEvent('port')).split(' ')[1]);
      await a.waitEvent('confirmed');
      await Promise.all([a.hears(700), b.hears(1000)]);
      for (const [one] of ways) await until('pictures', async () => (await one.stats()).frames > 10);
      for (const [one, wire] of ways)
        wire.payloadTypes = [...(await one.remoteSdp()).matchAll(/^a=rtpmap:(\d+) VP8/gm)].map((m) => Number(m[1]));
      for (const [one, wire] of ways) {
        await until('packets are lost both ways', () => wire.lost.up > 5 && wire.lost.down > 5, 30_000);
        await until('they are asked for and sent again', async () => (await one.stats()).repeated > 5, 30_000);
        await until('what was lost is there', async () => (await one.stats()).repaired > 5, 30_000);
        const seen = (await one.stats()).frames;
        await until('pictures go on', async () => (await one.stats()).frames > seen + 10);
      }
      await a.hangup();
      await b.waitEvent('ended');
    } finally {
      for (const [, wire] of ways) wire.close();
    }
  });

  test('hold and back with both on one transport', async ({ pbx }) => {
    await makeWebRtc(pbx, '103', { video_codecs: ['VP8', 'H264'] });
    await makeWebRtc(pbx, '104', { video_codecs: ['VP8', 'H264'] });
    const [a, b] = [await browser(pbx, '103', 1000), await browser(pbx, '104', 700)];
    await a.call('104', { ...video, bundle: 'max-bundle' });
    await b.waitEvent('session remote');
    await b.answer(video);
    await a.waitEvent('confirmed');
    await Promise.all([a.hears(700), b.hears(1000)]);
    await b.hold();
    await b.waitEvent('hold');
    await until('music', () => a.hears(700, 200).then(() => false, () => true));
    await b.forget();
    await b.unhold();
    await b.waitEvent('unhold');
    await Promise.all([a.hears(700), b.hears(1000)]);
    const before = (await a.stats()).frames;
    await until('pictures again', async () => (await a.stats()).frames > before + 10);
    await a.hangup();
  });
});

test('a browser whose account is no WebRTC one is refused, and the log says why', async ({ pbx, phones }) => {
  const id = await pbx.idOf('account', 'username', pbx.account('105').username);
  await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { transport_wss: true, srtp: 'off' } }]);
  await phones.start('101', { autoAnswer: true, codecs: 'PCMA' });
  const web = await browser(pbx, '105', 1000);
  await web.call('101');
  expect(await web.waitEvent('failed')).toContain('Incompatible SDP');
  await until('a line in the log', () => pbx.output.includes('call.encryption'));
});
