// A wire between a browser and the PBX that loses packets on purpose: the browser is told its port in place of the PBX's.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';

export class LossyWire {
  /** The PBX's port, once it is known; what comes before is lost, and ICE asks again. */
  to: number | undefined;
  /** Payload types of which packets are lost: every one in `every`. */
  payloadTypes: number[] = [];
  every = 20;
  readonly lost = { up: 0, down: 0 };
  private readonly seen = { up: 0, down: 0 };
  private browser: RemoteInfo | undefined;

  private constructor(private readonly front: Socket, private readonly back: Socket) {
    front.on('message', (data, from) => {
      this.browser = from;
      if (this.to !== undefined && !this.loses(data, 'up')) back.send(data, this.to, '127.0.0.1');
    });
    back.on('message', (data) => {
      if (this.browser && !this.loses(data, 'down')) front.send(data, this.browser.port, this.browser.address);
    });
  }

  static async open(): Promise<LossyWire> {
    const sockets = await Promise.all([0, 1].map(() => new Promise<Socket>((resolve, reject) => {
      const socket = createSocket('udp4');
      socket.once('error', reject);
      socket.bind(0, '127.0.0.1', () => resolve(socket));
    })));
    const [front, back] = sockets as [Socket, Socket];
    return new LossyWire(front, back);
  }

  get port(): number {
    return this.front.address().port;
  }

  /** Headers of SRTP can be read (RFC 3711); STUN and DTLS begin otherwise, RTCP has other types (RFC 5761, 7983). */
  private loses(data: Buffer, way: 'up' | 'down'): boolean {
    if (data.length < 12 || ((data[0] ?? 0) >> 6) !== 2 || !this.payloadTypes.includes((data[1] ?? 0) & 0x7f)) return false;
    if (++this.seen[way] % this.every) return false;
    this.lost[way]++;
    return true;
  }

  close(): void {
    this.front.close();
    this.back.close();
  }
}
