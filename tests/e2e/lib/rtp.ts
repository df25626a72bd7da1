import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';

import type { SrtpKeys } from './srtp.js';
import { delay } from './wait.js';

const dtmfLow = [941, 697, 697, 697, 770, 770, 770, 852, 852, 852, 941, 941, 697, 770, 852, 941];
const dtmfHigh = [1336, 1209, 1336, 1477, 1209, 1336, 1477, 1209, 1336, 1477, 1209, 1477, 1633, 1633, 1633, 1633];

/** Keys as tones (ITU-T Q.23), each followed by a pause: samples at 8 kHz. */
export function dtmfTones(digits: string, toneMs = 100, pauseMs = 100): number[] {
  return [...digits].flatMap((digit) => {
    const at = '0123456789*#ABCD'.indexOf(digit);
    const tone = (i: number): number =>
      Math.round(6000 * (Math.sin((2 * Math.PI * (dtmfLow[at] ?? 0) * i) / 8000) +
        Math.sin((2 * Math.PI * (dtmfHigh[at] ?? 0) * i) / 8000)));
    return [
      ...Array.from({ length: toneMs * 8 }, (_, i) => tone(i)), ...Array.from({ length: pauseMs * 8 }, () => 0),
    ];
  });
}

/** Power of one frequency in a block, as a share of all power. */
function share(block: number[], hz: number): number {
  let re = 0;
  let im = 0;
  let power = 0;
  block.forEach((x, i) => {
    re += x * Math.cos((2 * Math.PI * hz * i) / 8000);
    im += x * Math.sin((2 * Math.PI * hz * i) / 8000);
    power += x * x;
  });
  return power ? (2 * (re * re + im * im)) / block.length / power : 0;
}

/** Keys that are heard as tones: a plain detector, in blocks of 25 ms, independent of the one under test. */
export function dtmfHeard(samples: number[]): string {
  let found = '';
  let before = '';
  for (let at = 0; at + 200 <= samples.length; at += 200) {
    const block = samples.slice(at, at + 200);
    const loud = block.reduce((sum, x) => sum + x * x, 0) / 200 > 200 * 200;
    const key = loud
      ? [...'0123456789*#ABCD'].find((_, i) =>
          share(block, dtmfLow[i] ?? 0) > 0.3 && share(block, dtmfHigh[i] ?? 0) > 0.3)
      : undefined;
    if (key && key !== before) found += key;
    before = key ?? '';
  }
  return found;
}

/** ITU-T G.711. */
function toALaw(sample: number): number {
  const sign = sample >= 0 ? 0x80 : 0;
  let x = Math.min(32_635, Math.abs(sample)) >> 3;
  let exponent = 0;
  if (x >= 32) {
    exponent = Math.floor(Math.log2(x)) - 4;
    x = (x >> exponent) & 15;
    exponent = Math.min(7, exponent);
    return (sign | (exponent << 4) | x) ^ 0x55;
  }
  return (sign | (x >> 1)) ^ 0x55;
}

function fromALaw(octet: number): number {
  const a = octet ^ 0x55;
  const exponent = (a >> 4) & 7;
  const mantissa = ((a & 15) << 4) + 8;
  const value = exponent ? (mantissa + 256) << (exponent - 1) : mantissa;
  return a & 0x80 ? value : -value;
}

/** One RTP stream, both ways: 50 packets a second, and what came of the other side's. */
export class RtpStream {
  received = 0;
  lost = 0;
  longestGapMs = 0;
  /** Of the packets sent: which payload type, and the octet that fills them. */
  payloadType = 8;
  fill = 0xd5;
  /** The same of the newest packet received. */
  heardType = -1;
  heardFill = -1;
  from = '';
  /** Set: what is sent is protected with tx, what comes must open with rx. */
  tx: SrtpKeys | undefined;
  rx: SrtpKeys | undefined;
  /** Packets that did not open. */
  rejected = 0;
  /** RFC 4733 events that came, in order; packets of one event share their timestamp. */
  readonly events: { event: number; duration: number; ends: number; volume: number }[] = [];
  /** Payload type of telephone-event. */
  eventType = 101;
  /** Everything received, decoded from A-law, when `records` is set. */
  records = false;
  readonly sound: number[] = [];
  private eventTimestamp = -1;
  private lastSeq = -1;
  private lastAt = 0;
  private seq = Math.floor(Math.random() * 1000);
  private remote: { port: number; address: string } | undefined;
  private readonly ssrc = randomBytes(4);
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly socket: Socket,
    readonly address: string,
    readonly port: number,
  ) {
    socket.on('message', (raw, info) => {
      if (raw.length < 12 || (raw[1] ?? 0) >= 192) return; // RTCP
      const data = this.rx ? this.rx.unprotect(raw) : raw;
      if (!data) {
        this.rejected++;
        return;
      }
      const now = performance.now();
      const seq = data.readUInt16BE(2);
      if (this.lastSeq >= 0) {
        const step = (seq - this.lastSeq) & 0xffff;
        if (step > 1 && step < 0x8000) this.lost += step - 1;
        this.longestGapMs = Math.max(this.longestGapMs, now - this.lastAt);
      }
      this.lastSeq = seq;
      this.lastAt = now;
      this.received++;
      if (((data[1] ?? 0) & 0x7f) === this.eventType) {
        this.takeEvent(data);
        return;
      }
      if (this.records) for (const octet of data.subarray(12)) this.sound.push(fromALaw(octet));
      this.heardType = (data[1] ?? 0) & 0x7f;
      this.heardFill = data[data.length - 1] ?? -1;
      this.from = `${info.address}:${info.port}`;
    });
  }

  static open(isV6 = false): Promise<RtpStream> {
    return new Promise((resolve, reject) => {
      const socket = createSocket(isV6 ? 'udp6' : 'udp4');
      socket.once('error', reject);
      socket.bind(0, isV6 ? '::1' : '127.0.0.1', () => {
        resolve(new RtpStream(socket, socket.address().address, socket.address().port));
      });
    });
  }

  sendTo(sdp: string): void {
    const port = Number(/m=audio (\d+)/.exec(sdp)?.[1] ?? 0);
    const address = /c=IN IP[46] (\S+)/.exec(sdp)?.[1] ?? '127.0.0.1';
    if (port) this.remote = { port, address };
  }

  tick(): void {
    if (!this.remote) return;
    const packet = Buffer.alloc(172, this.fill);
    packet[0] = 0x80;
    packet[1] = this.payloadType;
    packet.writeUInt16BE(this.seq & 0xffff, 2);
    packet.writeUInt32BE((this.seq * 160) >>> 0, 4);
    this.saying.splice(0, 160).forEach((octet, i) => (packet[12 + i] = octet));
    this.ssrc.copy(packet, 8);
    this.seq++;
    this.socket.send(this.tx ? this.tx.protect(packet) : packet, this.remote.port, this.remote.address);
  }

  private takeEvent(data: Buffer): void {
    const timestamp = data.readUInt32BE(4);
    if (timestamp !== this.eventTimestamp) this.events.push({ event: data[12] ?? -1, duration: 0, ends: 0, volume: 0 });
    this.eventTimestamp = timestamp;
    const last = this.events[this.events.length - 1];
    if (!last) return;
    last.duration = Math.max(last.duration, data.readUInt16BE(14));
    last.volume = (data[13] ?? 0) & 0x3f;
    if ((data[13] ?? 0) & 0x80) last.ends++;
  }

  /** Digits of the events that came, each once. */
  get digits(): string {
    return this.events.map(({ event }) => '0123456789*#ABCD'[event] ?? '?').join('');
  }

  /** Presses a key as an RFC 4733 event; drop: which of its packets get lost (by position). */
  async press(digit: string, ms = 100, drop: (index: number) => boolean = () => false): Promise<void> {
    const timestamp = (this.seq * 160) >>> 0;
    const steps = Math.max(1, Math.round(ms / 20));
    for (let i = 0; i < steps + 3; i++) {
      const packet = Buffer.alloc(16);
      packet[0] = 0x80;
      packet[1] = this.eventType | (i === 0 ? 0x80 : 0);
      packet.writeUInt16BE(this.seq++ & 0xffff, 2);
      packet.writeUInt32BE(timestamp, 4);
      this.ssrc.copy(packet, 8);
      packet[12] = '0123456789*#ABCD'.indexOf(digit);
      packet[13] = (i >= steps ? 0x80 : 0) | 10;
      packet.writeUInt16BE(Math.min(i + 1, steps) * 160, 14);
      if (this.remote && !drop(i)) this.socket.send(this.tx ? this.tx.protect(packet) : packet, this.remote.port, this.remote.address);
      if (i < steps) await delay(20);
    }
    this.seq += 2; // the clock goes on
  }

  /** What is said instead of `fill`: samples at 8 kHz, sent as A-law. */
  say(samples: number[]): void {
    this.saying = samples.map(toALaw);
  }
  private saying: number[] = [];

  /** Sends by itself until it is closed. */
  start(): void {
    this.timer ??= setInterval(() => this.tick(), 20);
  }

  stop(): void {
    if (this.timer) clearInterval(this.timer);
    this.timer = undefined;
  }

  /** So many packets get lost on the way. */
  skip(n: number): void {
    this.seq += n;
  }

  /** Starts the measurement over. */
  reset(): void {
    this.received = 0;
    this.rejected = 0;
    this.lost = 0;
    this.longestGapMs = 0;
    this.heardType = -1;
    this.heardFill = -1;
    this.lastAt = performance.now();
  }

  close(): void {
    if (this.timer) clearInterval(this.timer);
    this.socket.close();
  }
}
