// SRTP of our own (RFC 3711, 7714), so that what the product sends is read by other code than its own.
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export type Suite =
  | 'AES_CM_128_HMAC_SHA1_80' | 'AES_CM_128_HMAC_SHA1_32' | 'AES_256_CM_HMAC_SHA1_80' | 'AEAD_AES_128_GCM'
  | 'AEAD_AES_256_GCM';

const suites: Record<Suite, { key: number; salt: number; tag: number }> = {
  AES_CM_128_HMAC_SHA1_80: { key: 16, salt: 14, tag: 10 },
  AES_CM_128_HMAC_SHA1_32: { key: 16, salt: 14, tag: 4 },
  AES_256_CM_HMAC_SHA1_80: { key: 32, salt: 14, tag: 10 },
  AEAD_AES_128_GCM: { key: 16, salt: 12, tag: 16 },
  AEAD_AES_256_GCM: { key: 32, salt: 12, tag: 16 },
};

/** The keys of one direction. Counts roll-overs of the packets it sees. */
export class SrtpKeys {
  readonly inline: string;
  private readonly cipher: Buffer;
  private readonly auth: Buffer;
  private readonly salt: Buffer;
  private roc = 0;
  private highest = -1;

  constructor(readonly suite: Suite, inline?: string) {
    const { key, salt } = suites[suite];
    const master = inline ? Buffer.from(inline, 'base64') : randomBytes(key + salt);
    if (master.length !== key + salt) throw new Error(`${suite}: a key of ${master.length} bytes`);
    this.inline = master.toString('base64');
    const derive = (label: number, size: number): Buffer => {
      // RFC 3711 section 4.3.1: the salt is left-aligned in 112 bits (also RFC 7714's of 96), the label
      // stands above the 48 bits of the index.
      const x = Buffer.alloc(16);
      master.copy(x, 0, key);
      x[7] = (x[7] ?? 0) ^ label;
      return createCipheriv(key === 16 ? 'aes-128-ctr' : 'aes-256-ctr', master.subarray(0, key), x)
        .update(Buffer.alloc(size));
    };
    this.cipher = derive(0, key);
    this.auth = derive(1, 20);
    this.salt = derive(2, salt);
  }

  /** The line of a description. */
  line(tag = 1): string {
    return `a=crypto:${tag} ${this.suite} inline:${this.inline}`;
  }

  private roundOf(seq: number): number {
    if (this.highest < 0) return this.roc;
    if (this.highest - seq > 0x8000) return this.roc + 1;
    if (seq - this.highest > 0x8000) return this.roc - 1;
    return this.roc;
  }

  private saw(seq: number, round: number): void {
    if (round < this.roc || (round === this.roc && seq <= this.highest)) return;
    this.roc = round;
    this.highest = seq;
  }

  private get isAead(): boolean {
    return this.suite.startsWith('AEAD');
  }

  /** IV of RFC 3711 section 4.1.1, or of RFC 7714 section 8.1. */
  private iv(packet: Buffer, round: number): Buffer {
    const seq = packet.readUInt16BE(2);
    const iv = Buffer.alloc(this.isAead ? 12 : 16);
    packet.copy(iv, this.isAead ? 2 : 4, 8, 12);
    iv.writeUInt32BE(round >>> 0, this.isAead ? 6 : 8);
    iv.writeUInt16BE(seq, this.isAead ? 10 : 12);
    for (let i = 0; i < this.salt.length; i++) iv[i] = (iv[i] ?? 0) ^ (this.salt[i] ?? 0);
    return iv;
  }

  private tag(data: Buffer, round: number): Buffer {
    const tail = Buffer.alloc(4);
    tail.writeUInt32BE(round >>> 0);
    return createHmac('sha1', this.auth).update(data).update(tail).digest().subarray(0, suites[this.suite].tag);
  }

  protect(packet: Buffer): Buffer {
    const seq = packet.readUInt16BE(2);
    const round = this.roundOf(seq);
    this.saw(seq, round);
    const head = packet.subarray(0, 12);
    const bits = this.cipher.length * 8;
    if (this.isAead) {
      const cipher = createCipheriv(bits === 128 ? 'aes-128-gcm' : 'aes-256-gcm', this.cipher, this.iv(packet, round));
      cipher.setAAD(head);
      return Buffer.concat([head, cipher.update(packet.subarray(12)), cipher.final(), cipher.getAuthTag()]);
    }
    const cipher = createCipheriv(bits === 128 ? 'aes-128-ctr' : 'aes-256-ctr', this.cipher, this.iv(packet, round));
    const out = Buffer.concat([head, cipher.update(packet.subarray(12))]);
    return Buffer.concat([out, this.tag(out, round)]);
  }

  /** Undefined: not authentic. */
  unprotect(packet: Buffer): Buffer | undefined {
    const { tag } = suites[this.suite];
    if (packet.length < 12 + tag) return undefined;
    const seq = packet.readUInt16BE(2);
    const round = this.roundOf(seq);
    const body = packet.subarray(0, packet.length - tag);
    const head = packet.subarray(0, 12);
    const bits = this.cipher.length * 8;
    let plain: Buffer;
    if (this.isAead) {
      const cipher = createDecipheriv(bits === 128 ? 'aes-128-gcm' : 'aes-256-gcm', this.cipher, this.iv(packet, round));
      cipher.setAAD(head);
      cipher.setAuthTag(packet.subarray(packet.length - tag));
      try {
        plain = Buffer.concat([cipher.update(body.subarray(12)), cipher.final()]);
      } catch {
        return undefined;
      }
    } else {
      if (!timingSafeEqual(this.tag(body, round), packet.subarray(packet.length - tag))) return undefined;
      plain = createCipheriv(bits === 128 ? 'aes-128-ctr' : 'aes-256-ctr', this.cipher, this.iv(packet, round))
        .update(body.subarray(12));
    }
    this.saw(seq, round);
    return Buffer.concat([head, plain]);
  }
}

/** The keys that a description offers for a suite. */
export function keysOf(sdp: string, suite: Suite): SrtpKeys {
  const inline = new RegExp(`a=crypto:\\d+ ${suite} inline:([^|\\s]+)`).exec(sdp)?.[1];
  if (!inline) throw new Error(`no key for ${suite} in\n${sdp}`);
  return new SrtpKeys(suite, inline);
}
