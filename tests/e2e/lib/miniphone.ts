// A small SIP phone over UDP for many calls at once and for messages that no real phone would send.
// Real phones (baresip, linphone, sipp) prove behaviour; this one proves numbers: which packets came.
import { createHash, randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';

import { delay, until } from './wait.js';

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const hex = (n: number): string => randomBytes(n).toString('hex');

export type SipMessage = {
  text: string;
  start: string;
  headers: Map<string, string[]>;
  body: string;
};

export function parseSip(text: string): SipMessage {
  const end = text.indexOf('\r\n\r\n');
  const head = end < 0 ? text : text.slice(0, end);
  const lines = head.split('\r\n');
  const headers = new Map<string, string[]>();
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim().toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return { text, start: lines[0] ?? '', headers, body: end < 0 ? '' : text.slice(end + 4) };
}

const header = (message: SipMessage, name: string): string => message.headers.get(name)?.[0] ?? '';
const status = (message: SipMessage): number => Number(/^SIP\/2\.0 (\d+)/.exec(message.start)?.[1] ?? 0);
const tagOf = (value: string): string => /;tag=([^;]+)/.exec(value)?.[1] ?? '';

/** One RTP stream, both ways: 50 packets a second, and what came of the other side's. */
export class RtpStream {
  received = 0;
  lost = 0;
  longestGapMs = 0;
  private lastSeq = -1;
  private lastAt = 0;
  private seq = Math.floor(Math.random() * 1000);
  private remote: { port: number; address: string } | undefined;
  private readonly ssrc = randomBytes(4);

  private constructor(
    private readonly socket: Socket,
    readonly port: number,
  ) {
    socket.on('message', (data) => {
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
    });
  }

  static open(): Promise<RtpStream> {
    return new Promise((resolve, reject) => {
      const socket = createSocket('udp4');
      socket.once('error', reject);
      socket.bind(0, '127.0.0.1', () => resolve(new RtpStream(socket, socket.address().port)));
    });
  }

  sendTo(sdp: string): void {
    const port = Number(/m=audio (\d+)/.exec(sdp)?.[1] ?? 0);
    const address = /c=IN IP4 (\S+)/.exec(sdp)?.[1] ?? '127.0.0.1';
    if (port) this.remote = { port, address };
  }

  tick(): void {
    if (!this.remote) return;
    const packet = Buffer.alloc(172, 0xd5);
    packet[0] = 0x80;
    packet[1] = 8;
    packet.writeUInt16BE(this.seq & 0xffff, 2);
    packet.writeUInt32BE((this.seq * 160) >>> 0, 4);
    this.ssrc.copy(packet, 8);
    this.seq++;
    this.socket.send(packet, this.remote.port, this.remote.address);
  }

  /** Starts the measurement over. */
  reset(): void {
    this.received = 0;
    this.lost = 0;
    this.longestGapMs = 0;
    this.lastAt = performance.now();
  }

  close(): void {
    this.socket.close();
  }
}

export type MiniCall = {
  callId: string;
  rtp: RtpStream;
  isUp: boolean;
  endedBy: '' | 'bye' | 'us' | 'failure';
  status: number;
  peerTarget: string;
  local: string;
  remote: string;
  cseq: number;
};

export class MiniPhone {
  readonly calls: MiniCall[] = [];
  readonly seen: SipMessage[] = [];
  private readonly answers = new Map<string, (message: SipMessage) => void>();
  private readonly host: string;
  private readonly serverPort: number;
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly socket: Socket,
    readonly port: number,
    readonly username: string,
    private readonly secret: string,
    readonly server: string,
  ) {
    const [host, serverPort] = server.split(':');
    this.host = host ?? '127.0.0.1';
    this.serverPort = Number(serverPort);
    socket.on('message', (data) => this.take(data.toString('utf8')));
  }

  static open(username: string, secret: string, server: string): Promise<MiniPhone> {
    return new Promise((resolve, reject) => {
      const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
      socket.once('error', reject);
      socket.bind(0, '127.0.0.1', () => {
        resolve(new MiniPhone(socket, socket.address().port, username, secret, server));
      });
    });
  }

  sendText(text: string): void {
    this.socket.send(text, this.serverPort, this.host);
  }

  private get contact(): string {
    return `<sip:${this.username}@127.0.0.1:${this.port}>`;
  }

  private via(): string {
    return `Via: SIP/2.0/UDP 127.0.0.1:${this.port};branch=z9hG4bK${hex(8)};rport`;
  }

  /** Sends a request until a final answer comes; provisional ones are skipped. */
  async request(method: string, lines: string[], uri: string, body = ''): Promise<SipMessage> {
    const cseq = lines.find((line) => line.startsWith('CSeq:')) ?? '';
    const callId = lines.find((line) => line.startsWith('Call-ID:'))?.slice(8).trim() ?? '';
    const key = `${callId} ${cseq.slice(5).trim()}`;
    const text = [
      `${method} ${uri} SIP/2.0`, this.via(), ...lines, 'Max-Forwards: 70', `Contact: ${this.contact}`,
      ...(body ? ['Content-Type: application/sdp'] : []), `Content-Length: ${Buffer.byteLength(body)}`, '', body,
    ].join('\r\n');
    let final: SipMessage | undefined;
    let answered = false;
    this.answers.set(key, (message) => {
      answered = true;
      if (status(message) >= 200) final = message;
    });
    this.sendText(text);
    let resendAt = Date.now() + 500;
    try {
      return await until(`${method} answered`, () => {
        if (!answered && Date.now() > resendAt) {
          this.sendText(text);
          resendAt = Date.now() + 1000;
        }
        return final;
      }, 32_000, 5);
    } finally {
      this.answers.delete(key);
    }
  }

  private authorization(message: SipMessage, method: string, uri: string): string {
    for (const name of ['www-authenticate', 'proxy-authenticate']) {
      for (const challenge of message.headers.get(name) ?? []) {
        const get = (key: string): string =>
          new RegExp(`${key}="?([^",]+)"?`, 'i').exec(challenge)?.[1] ?? '';
        const algorithm = get('algorithm') || 'MD5';
        if (algorithm.toUpperCase() !== 'MD5') continue;
        const realm = get('realm');
        const nonce = get('nonce');
        const cnonce = hex(8);
        const ha1 = md5(`${this.username}:${realm}:${this.secret}`);
        const ha2 = md5(`${method}:${uri}`);
        const qop = /qop=/i.test(challenge);
        const response = qop
          ? md5(`${ha1}:${nonce}:00000001:${cnonce}:auth:${ha2}`)
          : md5(`${ha1}:${nonce}:${ha2}`);
        const field = name === 'www-authenticate' ? 'Authorization' : 'Proxy-Authorization';
        return (
          `${field}: Digest username="${this.username}", realm="${realm}", nonce="${nonce}", uri="${uri}", ` +
          `response="${response}", algorithm=MD5${qop ? `, qop=auth, nc=00000001, cnonce="${cnonce}"` : ''}`
        );
      }
    }
    throw new Error(`no MD5 challenge in ${message.text}`);
  }

  async register(expires = 600): Promise<number> {
    const uri = `sip:${this.server}`;
    const callId = hex(10);
    const aor = `<sip:${this.username}@${this.server}>`;
    const lines = (cseq: number): string[] => [
      `From: ${aor};tag=${hex(4)}`, `To: ${aor}`, `Call-ID: ${callId}`, `CSeq: ${cseq} REGISTER`,
      `Expires: ${expires}`,
    ];
    let reply = await this.request('REGISTER', lines(1), uri);
    if (status(reply) === 401) {
      reply = await this.request('REGISTER', [...lines(2), this.authorization(reply, 'REGISTER', uri)], uri);
    }
    return status(reply);
  }

  private sdp(port: number): string {
    return [
      'v=0', `o=- ${Date.now()} 1 IN IP4 127.0.0.1`, 's=-', 'c=IN IP4 127.0.0.1', 't=0 0',
      `m=audio ${port} RTP/AVP 8 101`, 'a=rtpmap:8 PCMA/8000', 'a=rtpmap:101 telephone-event/8000', 'a=ptime:20', '',
    ].join('\r\n');
  }

  /** Calls a number; resolves when it is answered or refused. */
  async call(number: string): Promise<MiniCall> {
    const rtp = await RtpStream.open();
    const uri = `sip:${number}@${this.server}`;
    const local = `<sip:${this.username}@${this.server}>;tag=${hex(4)}`;
    const call: MiniCall = {
      callId: hex(12), rtp, isUp: false, endedBy: '', status: 0, peerTarget: '', local, remote: `<${uri}>`, cseq: 1,
    };
    this.calls.push(call);
    const lines = (): string[] => [
      `From: ${local}`, `To: ${call.remote}`, `Call-ID: ${call.callId}`, `CSeq: ${call.cseq} INVITE`,
    ];
    let reply = await this.request('INVITE', lines(), uri, this.sdp(rtp.port));
    if (status(reply) === 401 || status(reply) === 407) {
      this.ack(call, reply, uri);
      call.cseq++;
      reply = await this.request('INVITE', [...lines(), this.authorization(reply, 'INVITE', uri)], uri, this.sdp(rtp.port));
    }
    call.status = status(reply);
    call.remote = header(reply, 'to');
    if (call.status >= 300) {
      this.ack(call, reply, uri);
      call.endedBy = 'failure';
      return call;
    }
    call.peerTarget = /<([^>]+)>/.exec(header(reply, 'contact'))?.[1] ?? uri;
    call.isUp = true;
    rtp.sendTo(reply.body);
    this.ack(call, reply, call.peerTarget);
    return call;
  }

  private ack(call: MiniCall, reply: SipMessage, uri: string): void {
    // The ACK of a refusal belongs to the INVITE's transaction: same branch (RFC 3261 section 17.1.1.3).
    const via = status(reply) >= 300 ? `Via: ${header(reply, 'via')}` : this.via();
    this.sendText([
      `ACK ${uri} SIP/2.0`, via, `From: ${call.local}`, `To: ${header(reply, 'to')}`, `Call-ID: ${call.callId}`,
      `CSeq: ${call.cseq} ACK`, 'Max-Forwards: 70', 'Content-Length: 0', '', '',
    ].join('\r\n'));
  }

  async hangup(call: MiniCall): Promise<number> {
    call.cseq++;
    call.endedBy = 'us';
    const reply = await this.request('BYE', [
      `From: ${call.local}`, `To: ${call.remote}`, `Call-ID: ${call.callId}`, `CSeq: ${call.cseq} BYE`,
    ], call.peerTarget);
    call.isUp = false;
    return status(reply);
  }

  private reply(message: SipMessage, code: number, reason: string, body = '', tag = ''): void {
    const to = header(message, 'to');
    this.sendText([
      `SIP/2.0 ${code} ${reason}`,
      ...(message.headers.get('via') ?? []).map((via) => `Via: ${via}`),
      ...(message.headers.get('record-route') ?? []).map((route) => `Record-Route: ${route}`),
      `From: ${header(message, 'from')}`, `To: ${to}${tag && !tagOf(to) ? `;tag=${tag}` : ''}`,
      `Call-ID: ${header(message, 'call-id')}`, `CSeq: ${header(message, 'cseq')}`, `Contact: ${this.contact}`,
      ...(body ? ['Content-Type: application/sdp'] : []), `Content-Length: ${Buffer.byteLength(body)}`, '', body,
    ].join('\r\n'));
  }

  private take(text: string): void {
    const message = parseSip(text);
    this.seen.push(message);
    if (this.seen.length > 2000) this.seen.shift();
    if (message.start.startsWith('SIP/2.0')) {
      this.answers.get(`${header(message, 'call-id')} ${header(message, 'cseq')}`)?.(message);
      return;
    }
    const method = message.start.split(' ')[0];
    const call = this.calls.find((c) => c.callId === header(message, 'call-id'));
    if (method === 'INVITE' && !call) void this.accept(message);
    else if (method === 'BYE') {
      this.reply(message, call ? 200 : 481, call ? 'OK' : 'Call Does Not Exist');
      if (call) {
        call.isUp = false;
        call.endedBy = 'bye';
      }
    } else if (method !== 'ACK' && method !== 'INVITE') this.reply(message, 200, 'OK');
  }

  private async accept(message: SipMessage): Promise<void> {
    const tag = hex(4);
    const call: MiniCall = {
      callId: header(message, 'call-id'), rtp: await RtpStream.open(), isUp: true, endedBy: '', status: 200,
      peerTarget: /<([^>]+)>/.exec(header(message, 'contact'))?.[1] ?? '',
      local: `${header(message, 'to')};tag=${tag}`, remote: header(message, 'from'), cseq: 1,
    };
    this.calls.push(call);
    call.rtp.sendTo(message.body);
    this.reply(message, 180, 'Ringing', '', tag);
    this.reply(message, 200, 'OK', this.sdp(call.rtp.port), tag);
  }

  /** Sends RTP on every call from now on. */
  startRtp(): void {
    let next = performance.now();
    const step = (): void => {
      // Catches up after a pause of this process, as a phone's clock would have gone on.
      while (next <= performance.now()) {
        for (const call of this.calls) if (call.isUp) call.rtp.tick();
        next += 20;
      }
      this.timer = setTimeout(step, Math.max(1, next - performance.now()));
    };
    step();
  }

  async close(): Promise<void> {
    if (this.timer) clearTimeout(this.timer);
    for (const call of this.calls) call.rtp.close();
    await delay(1);
    this.socket.close();
  }
}
