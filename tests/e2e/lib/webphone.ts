// A browser as a telephone: JsSIP in a real Chromium whose microphone is a WAV file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { build } from 'vite';

import { until } from './wait.js';

const flags = [
  '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--ignore-certificate-errors', '--autoplay-policy=no-user-gesture-required',
  '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
];

/** JsSIP as one script for a page. */
async function bundle(): Promise<string> {
  const result = await build({
    configFile: false, logLevel: 'silent', define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
    build: {
      write: false, minify: false,
      lib: { entry: createRequire(import.meta.url).resolve('jssip'), name: 'JsSIP', formats: ['iife'], fileName: 'jssip' },
    },
  });
  const output = Array.isArray(result) ? result[0] : result;
  const chunk = output && 'output' in output ? output.output.find((part) => part.type === 'chunk') : undefined;
  if (!chunk || chunk.type !== 'chunk') throw new Error('JsSIP could not be bundled');
  return chunk.code;
}

/** A tone without an end, as a file that Chromium repeats: whole periods. */
function toneWav(hz: number): Buffer {
  const rate = 48_000;
  const samples = Buffer.alloc(rate * 2 * 2);
  for (let i = 0; i < rate * 2; i++) {
    samples.writeInt16LE(Math.round(8000 * Math.sin((2 * Math.PI * hz * i) / rate)), 2 * i);
  }
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}

/** Runs in the page. */
const script = String.raw`
window.phone = {
  events: [], session: null, audio: null, analyser: null, ua: null,
  media: { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false },
  start(o) {
    this.options = o;
    const socket = new JsSIP.WebSocketInterface(o.url);
    this.ua = new JsSIP.UA({ sockets: [socket], uri: 'sip:' + o.username + '@' + o.domain, password: o.secret,
      authorization_user: o.username, register: true, session_timers: false, user_agent: 'webphone' });
    for (const name of ['connected', 'disconnected', 'registered', 'registrationFailed'])
      this.ua.on(name, (e) => this.events.push(name + (e && e.cause ? ' ' + e.cause : '')));
    this.ua.on('newRTCSession', ({ session, originator }) => {
      this.session = session;
      this.events.push('session ' + originator);
      for (const name of ['progress', 'accepted', 'confirmed', 'ended', 'failed', 'hold', 'unhold'])
        session.on(name, (e) => this.events.push(name + (e && e.cause ? ' ' + e.cause : '')));
      // Gathering never ends when a STUN server does not answer: what is there after 300 ms must do.
      session.on('icecandidate', (e) => setTimeout(() => e.ready(), 300));
      const watch = (pc) => {
        this.pc = pc;
        pc.addEventListener('track', (e) => {
          this.events.push('track ' + e.track.kind);
          if (this.lossy) [e.receiver, ...pc.getSenders()].forEach((end) => this.wire(end));
          if (e.track.kind === 'audio') this.listen(new MediaStream([e.track]));
          else this.watch(new MediaStream([e.track]));
        });
      };
      if (session.connection) watch(session.connection);
      session.on('peerconnection', (e) => watch(e.peerconnection));
      // The PBX's port is that of a wire in between.
      if (this.wirePort) session.on('sdp', (e) => {
        if (e.originator === 'remote') e.sdp = e.sdp.replace(/(a=candidate:\S+ 1 udp \d+ \S+ )(\d+)/gi, (all, head, port) => {
          this.events.push('port ' + port);
          return head + this.wirePort;
        });
      });
      // Another certificate than the one that the handshake will show.
      if (this.forge) session.on('sdp', (e) => {
        if (e.originator === 'local') e.sdp = e.sdp.replace(/(a=fingerprint:sha-256 )../g, (all, head) => head + (all.endsWith('00') ? '01' : '00'));
      });
    });
    this.ua.start();
  },
  listen(stream) {
    const element = new Audio();
    element.srcObject = stream;
    element.muted = true;
    element.play();
    this.audio = new AudioContext({ sampleRate: 48000 });
    this.analyser = this.audio.createAnalyser();
    this.analyser.fftSize = 8192;
    this.analyser.smoothingTimeConstant = 0;
    this.audio.createMediaStreamSource(stream).connect(this.analyser);
  },
  watch(stream) {
    this.video = document.createElement('video');
    this.video.srcObject = stream;
    this.video.muted = true;
    document.body.appendChild(this.video);
    this.video.play();
  },
  // Between receiver and decoder: while lose is set pictures disappear there, as if packets had on the way.
  wire(end) {
    if (end.wired || !end.track) return;
    end.wired = true;
    const { readable, writable } = end.createEncodedStreams();
    const loses = end instanceof RTCRtpReceiver && end.track.kind === 'video';
    readable.pipeThrough(new TransformStream({
      transform: (frame, out) => { if (!loses || !this.lose) out.enqueue(frame); },
    })).pipeTo(writable);
  },
  heardHz() {
    if (!this.analyser) return 0;
    const bins = new Float32Array(this.analyser.frequencyBinCount);
    this.analyser.getFloatFrequencyData(bins);
    let best = 0;
    for (let i = 1; i < bins.length; i++) if (bins[i] > bins[best]) best = i;
    return bins[best] < -60 ? 0 : best * 48000 / this.analyser.fftSize;
  },
  call(target, more) {
    this.forge = Boolean(more && more.forge);
    this.ua.call('sip:' + target + '@' + this.options.domain, this.with(more));
  },
  with(more) {
    this.lossy = Boolean(more && more.lossy);
    this.wirePort = (more && more.wirePort) || this.wirePort;
    return { mediaConstraints: { ...this.media, ...((more && more.media) || {}) },
      pcConfig: { iceServers: (more && more.stun) ? [{ urls: more.stun }] : [], bundlePolicy: (more && more.bundle) || 'balanced',
        ...(this.lossy ? { encodedInsertableStreams: true } : {}) } };
  },
  answer(more) { this.session.answer(this.with(more)); },
  // For a failed test: what came in, what went out, and over which pair.
  async facts() {
    const lines = ['audio context ' + (this.audio ? this.audio.state : 'none'), 'ice ' + this.pc.iceConnectionState, 'connection ' + this.pc.connectionState];
    const shown = ['kind', 'state', 'dtlsState', 'nominated', 'packetsReceived', 'bytesReceived', 'packetsSent', 'bytesSent', 'packetsLost', 'packetsDiscarded',
      'audioLevel', 'totalAudioEnergy', 'framesSent', 'framesDecoded'];
    for (const one of (await this.pc.getStats()).values())
      if (['transport', 'candidate-pair', 'inbound-rtp', 'outbound-rtp', 'media-source'].includes(one.type))
        lines.push(one.type + ' ' + shown.filter((name) => one[name] !== undefined).map((name) => name + '=' + one[name]).join(' '));
    for (const [side, d] of [['local', this.pc.localDescription], ['remote', this.pc.remoteDescription]])
      lines.push(...(d ? d.sdp.split('\r\n').filter((line) => /^m=|^a=(candidate|group|ice-|setup|mid|bundle|rtcp-mux)/.test(line)).map((line) => side + ' ' + line) : []));
    return lines;
  },
  async stats() {
    const out = { remote: '', dtls: '', srtp: '', bytes: 0, frames: 0, transports: 0, sent: 0, asked: 0, codec: '', repeated: 0, repaired: 0 };
    const codecs = new Map();
    for (const one of (await this.pc.getStats()).values()) {
      if (one.type === 'transport') { out.transports++; out.dtls = one.dtlsState; out.srtp = one.srtpCipher || ''; }
      if (one.type === 'inbound-rtp' && one.kind === 'audio') out.bytes += one.bytesReceived;
      if (one.type === 'codec') codecs.set(one.id, one.mimeType);
      if (one.type === 'inbound-rtp' && one.kind === 'video') { out.frames += one.framesDecoded || 0; out.codec = one.codecId; out.repaired += one.retransmittedPacketsReceived || 0; }
      // How often the other side asked for a whole picture or a packet again.
      if (one.type === 'outbound-rtp' && one.kind === 'video') { out.sent += one.framesSent || 0; out.asked += (one.pliCount || 0) + (one.firCount || 0) + (one.nackCount || 0); out.repeated += one.retransmittedPacketsSent || 0; }
    }
    out.codec = codecs.get(out.codec) || '';
    return out;
  },
};
`;

export type WebPhoneOptions = { origin: string; url: string; username: string; secret: string; domain: string; toneHz: number };
export type WebCall = { stun?: string; bundle?: 'balanced' | 'max-bundle' | 'max-compat'; forge?: boolean; lossy?: boolean; wirePort?: number; media?: Record<string, unknown> };
export type WebStats = { dtls: string; srtp: string; bytes: number; frames: number; transports: number; sent: number; asked: number; codec: string; repeated: number; repaired: number };

type PagePhone = {
  events: string[];
  start(options: WebPhoneOptions): void;
  call(target: string, more: WebCall): void;
  answer(more: WebCall): void;
  heardHz(): number;
  lose: boolean;
  wirePort: number;
  facts(): Promise<string[]>;
  stats(): Promise<WebStats>;
  session: {
    terminate(): void; hold(): void; unhold(): void;
    sendDTMF(digits: string, options: { transportType: string; duration?: number }): void;
  };
  pc: RTCPeerConnection;
};
declare const phone: PagePhone;

let jssip: Promise<string> | undefined;

export class WebPhone {
  readonly complaints: string[] = [];

  private constructor(
    private readonly dir: string,
    private readonly context: BrowserContext,
    readonly page: Page,
  ) {
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      // The page itself is none of the PBX's.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) this.complaints.push(message.text());
    });
  }

  /** A registered one. */
  static async open(options: WebPhoneOptions): Promise<WebPhone> {
    const dir = mkdtempSync(join(tmpdir(), 'aoide-webphone-'));
    const tone = join(dir, 'tone.wav');
    writeFileSync(tone, toneWav(options.toneHz));
    const context = await chromium.launchPersistentContext(join(dir, 'profile'), {
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', headless: true,
      args: [...flags, `--use-file-for-fake-audio-capture=${tone}`], permissions: ['microphone', 'camera'],
      ignoreHTTPSErrors: true, bypassCSP: true,
    });
    const self = new WebPhone(dir, context, context.pages()[0] ?? (await context.newPage()));
    try {
      jssip ??= bundle();
      // Any answer of the PBX will do as the page: /ws-sip wants its origin.
      await self.page.goto(`${options.origin}/webphone-test`);
      await self.page.setContent('<!doctype html><title>phone</title><body></body>');
      await self.page.evaluate(await jssip);
      await self.page.evaluate(script);
      await self.page.evaluate((o) => phone.start(o), options);
      await self.waitEvent('registered');
    } catch (error) {
      await self.close();
      throw error;
    }
    return self;
  }

  events(): Promise<string[]> {
    return this.page.evaluate(() => phone.events);
  }

  async waitEvent(name: string, timeoutMs = 15_000): Promise<string> {
    let seen: string[] = [];
    try {
      return await until(`the browser says ${name}`, async () => {
        seen = await this.events();
        return seen.find((event) => event === name || event.startsWith(`${name} `));
      }, timeoutMs);
    } catch (error) {
      throw new Error(`${String(error)}; it said ${JSON.stringify([...seen, ...this.complaints])}`);
    }
  }

  /** Forgets events of earlier calls. */
  async forget(): Promise<void> {
    await this.page.evaluate(() => { phone.events.length = 0; });
  }

  async call(target: string, more: WebCall = {}): Promise<void> {
    await this.page.evaluate(([to, o]) => phone.call(to, o), [target, more] as const);
  }

  async answer(more: WebCall = {}): Promise<void> {
    await this.page.evaluate((o) => phone.answer(o), more);
  }

  async hangup(): Promise<void> {
    await this.page.evaluate(() => phone.session.terminate());
  }

  async hold(): Promise<void> {
    await this.page.evaluate(() => phone.session.hold());
  }

  async unhold(): Promise<void> {
    await this.page.evaluate(() => phone.session.unhold());
  }

  /** Of a call with `lossy`: pictures that arrive disappear before they are decoded. */
  async losePictures(on: boolean): Promise<void> {
    await this.page.evaluate((value) => { phone.lose = value; }, on);
  }

  /** Before a call comes: it will go by this wire. */
  async goBy(wire: { port: number }): Promise<void> {
    await this.page.evaluate((value) => { phone.wirePort = value; }, wire.port);
  }

  async sendDigits(digits: string): Promise<void> {
    await this.page.evaluate((d) => phone.session.sendDTMF(d, { transportType: 'RFC2833', duration: 160 }), digits);
  }

  stats(): Promise<WebStats> {
    return this.page.evaluate(() => phone.stats());
  }

  /** Candidates and m-lines that the PBX sent. */
  remoteSdp(): Promise<string> {
    return this.page.evaluate(() => phone.pc.remoteDescription?.sdp ?? '');
  }

  localSdp(): Promise<string> {
    return this.page.evaluate(() => phone.pc.localDescription?.sdp ?? '');
  }

  /** The strongest frequency of what the page plays is that one, three times in a row. */
  async hears(hz: number, timeoutMs = 15_000): Promise<void> {
    let row = 0;
    let last = 0;
    try {
      await until(`the browser hears ${hz} Hz`, async () => {
        last = await this.page.evaluate(() => phone.heardHz());
        row = Math.abs(last - hz) < 15 ? row + 1 : 0;
        return row >= 3;
      }, timeoutMs, 100);
    } catch (error) {
      const facts = [...await this.events(), ...this.complaints, ...await this.page.evaluate(() => phone.facts())];
      throw new Error(`${String(error)}; it heard ${last} Hz, said\n${facts.join('\n')}`);
    }
  }

  async close(): Promise<void> {
    await this.context.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
