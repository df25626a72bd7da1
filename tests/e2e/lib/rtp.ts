import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';

import type { SrtpKeys } from './srtp.js';

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
  /** RFC 4733 events that came, by number. */
  readonly digits = new Set<number>();
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
      if (((data[1] ?? 0) & 0x7f) === 101) this.digits.add(data[12] ?? -1);
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
    this.ssrc.copy(packet, 8);
    this.seq++;
    this.socket.send(this.tx ? this.tx.protect(packet) : packet, this.remote.port, this.remote.address);
  }

  /** Sends by itself until it is closed. */
  start(): void {
    this.timer ??= setInterval(() => this.tick(), 20);
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
