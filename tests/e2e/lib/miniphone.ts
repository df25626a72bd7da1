// A small SIP phone for many calls at once and for messages that no real phone would send.
// Real phones (baresip, linphone, sipp) prove behaviour; this one proves numbers: which packets came.
import { createHash, randomBytes } from 'node:crypto';

import { hostInUri, openChannel, type Channel, type Transport } from './channel.js';
import { RtpStream } from './rtp.js';
import { contactUri, header, method, parseSip, status, tagOf, type SipMessage } from './sipmessage.js';
import { delay, until } from './wait.js';

const hex = (n: number): string => randomBytes(n).toString('hex');

export type Algorithm = 'MD5' | 'SHA-256';

export type MiniOptions = {
  transport?: Transport;
  bindPort?: number;
  /** Of a WebSocket; /ws-sip on the web port. */
  path?: string;
  /** Of a WebSocket: where it comes from. */
  localAddress?: string;
  algorithm?: Algorithm;
  userAgent?: string;
  /** A Contact of its own, for example one that lies. */
  contact?: string;
  /** Address in SDP, for example one that lies. */
  sdpAddress?: string;
  /** rtpmap values in the order offered, payload type first: "8 PCMA/8000". */
  codecs?: string[];
  /** It does not know telephone-event. */
  noEvents?: boolean;
  /** Methods of its Allow header; who sends none is taken for a simple phone. */
  allow?: string;
  /** What to do with an INVITE; default: 180, then 200. */
  onInvite?: (phone: MiniPhone, call: MiniCall, invite: SipMessage) => void;
  /** A request within a call; true: it was answered. Default: 200, with an answer to an INVITE. */
  onRequest?: (phone: MiniPhone, call: MiniCall, message: SipMessage) => boolean;
  /** A provisional response of a call it makes. */
  onProvisional?: (phone: MiniPhone, call: MiniCall, message: SipMessage) => void;
  /** More header lines, of all that it sends. */
  lines?: string[];
  /** Extensions it knows ("100rel"). */
  supported?: string;
};

export type MiniCall = {
  callId: string;
  rtp: RtpStream;
  isUp: boolean;
  endedBy: '' | 'bye' | 'us' | 'failure';
  status: number;
  /** Provisional responses of a call we made, in the order they came. */
  provisional: SipMessage[];
  /** The newest description of the other side. */
  remoteSdp: string;
  /** Requests within the call that the other side sent. */
  requests: SipMessage[];
  peerTarget: string;
  local: string;
  remote: string;
  cseq: number;
  /** Sends the ACK that waits (lateAck). */
  acknowledge?: () => void;
};

export type SdpOptions = {
  /** The whole description instead; '' offers nothing (the answer goes with the ACK). */
  text?: string;
  /** It takes the offer of a 200 without a word: its ACK carries no answer. */
  noAnswer?: boolean;
  /** The ACK of a 200 waits until the call's `acknowledge` is called. */
  lateAck?: boolean;
  dir?: string;
  address?: string;
  codecs?: string[];
  /** Default RTP/AVP. */
  proto?: string;
  /** More lines of the m-line, such as a=crypto. */
  attributes?: string[];
};

export class MiniPhone {
  readonly calls: MiniCall[] = [];
  readonly seen: SipMessage[] = [];
  private readonly answers = new Map<string, (message: SipMessage) => void>();
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    readonly channel: Channel,
    readonly username: string,
    private readonly secret: string,
    readonly server: string,
    readonly options: MiniOptions,
  ) {
    channel.take = (text): void => this.take(text);
  }

  static async open(username: string, secret: string, server: string, options: MiniOptions = {}): Promise<MiniPhone> {
    const channel = await openChannel(options.transport ?? 'udp', server, options.bindPort, options.path, options.localAddress);
    return new MiniPhone(channel, username, secret, server, options);
  }

  get port(): number {
    return this.channel.port;
  }

  sendText(text: string): void {
    this.channel.send(text);
  }

  private get hostport(): string {
    const { host, port } = this.channel;
    return port ? `${hostInUri(host)}:${port}` : host;
  }

  private get contact(): string {
    if (this.options.contact) return this.options.contact;
    const { transport } = this.channel;
    return `<sip:${this.username}@${this.hostport}${transport === 'udp' ? '' : `;transport=${transport}`}>`;
  }

  private via(): string {
    return `Via: SIP/2.0/${this.channel.transport.toUpperCase()} ${this.hostport};branch=z9hG4bK${hex(8)};rport`;
  }

  private get always(): string[] {
    const { userAgent, allow, supported, lines } = this.options;
    return [
      'Max-Forwards: 70', ...(userAgent ? [`User-Agent: ${userAgent}`] : []), ...(allow ? [`Allow: ${allow}`] : []),
      ...(supported ? [`Supported: ${supported}`] : []), ...(lines ?? []),
    ];
  }

  /** Sends a request until a final answer comes; provisional ones go to `early`. */
  async request(
    name: string, lines: string[], uri: string, body = '', type = 'application/sdp',
    early?: (message: SipMessage) => void,
  ): Promise<SipMessage> {
    const cseq = lines.find((line) => line.startsWith('CSeq:')) ?? '';
    const callId = lines.find((line) => line.startsWith('Call-ID:'))?.slice(8).trim() ?? '';
    const key = `${callId} ${cseq.slice(5).trim()}`;
    const text = [
      `${name} ${uri} SIP/2.0`, this.via(), ...lines, ...this.always, `Contact: ${this.contact}`,
      ...(body ? [`Content-Type: ${type}`] : []), `Content-Length: ${Buffer.byteLength(body)}`, '', body,
    ].join('\r\n');
    let final: SipMessage | undefined;
    let answered = false;
    this.answers.set(key, (message) => {
      answered = true;
      if (status(message) >= 200) final = message;
      else early?.(message);
    });
    this.sendText(text);
    let resendAt = this.channel.transport === 'udp' ? Date.now() + 500 : Infinity;
    try {
      return await until(`${name} answered`, () => {
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

  /** The algorithms of a challenge, in its order. */
  static challenged(message: SipMessage): string[] {
    return ['www-authenticate', 'proxy-authenticate']
      .flatMap((name) => message.headers.get(name) ?? [])
      .map((text) => /algorithm="?([\w-]+)/i.exec(text)?.[1] ?? 'MD5');
  }

  private authorization(message: SipMessage, name: string, uri: string): string {
    const wanted = this.options.algorithm ?? 'MD5';
    const digest = (text: string): string =>
      createHash(wanted === 'MD5' ? 'md5' : 'sha256').update(text).digest('hex');
    for (const field of ['www-authenticate', 'proxy-authenticate']) {
      for (const challenge of message.headers.get(field) ?? []) {
        const get = (key: string): string => new RegExp(`${key}="?([^",]+)"?`, 'i').exec(challenge)?.[1] ?? '';
        if ((get('algorithm') || 'MD5').toUpperCase() !== wanted) continue;
        const realm = get('realm');
        const nonce = get('nonce');
        const cnonce = hex(8);
        const ha1 = digest(`${this.username}:${realm}:${this.secret}`);
        const ha2 = digest(`${name}:${uri}`);
        const qop = /qop=/i.test(challenge);
        const response = qop ? digest(`${ha1}:${nonce}:00000001:${cnonce}:auth:${ha2}`) : digest(`${ha1}:${nonce}:${ha2}`);
        return (
          `${field === 'www-authenticate' ? 'Authorization' : 'Proxy-Authorization'}: ` +
          `Digest username="${this.username}", realm="${realm}", nonce="${nonce}", uri="${uri}", ` +
          `response="${response}", algorithm=${wanted}${qop ? `, qop=auth, nc=00000001, cnonce="${cnonce}"` : ''}`
        );
      }
    }
    throw new Error(`no ${wanted} challenge in ${message.text}`);
  }

  /** Final status of a registration; `last` keeps the whole answer. */
  async register(expires = 600): Promise<number> {
    return status(await this.registerReply(expires));
  }

  async registerReply(expires = 600): Promise<SipMessage> {
    const uri = `sip:${this.server}`;
    const callId = hex(10);
    const aor = `<sip:${this.username}@${this.server}>`;
    const lines = (cseq: number): string[] => [
      `From: ${aor};tag=${hex(4)}`, `To: ${aor}`, `Call-ID: ${callId}`, `CSeq: ${cseq} REGISTER`, `Expires: ${expires}`,
    ];
    const reply = await this.request('REGISTER', lines(1), uri);
    if (status(reply) !== 401) return reply;
    return this.request('REGISTER', [...lines(2), this.authorization(reply, 'REGISTER', uri)], uri);
  }

  sdp(rtp: RtpStream, o: SdpOptions = {}): string {
    const address = o.address ?? this.options.sdpAddress ?? rtp.address;
    const codecs = o.codecs ?? this.options.codecs ?? ['8 PCMA/8000'];
    const family = address.includes(':') ? 'IP6' : 'IP4';
    const all = [...codecs, ...(this.options.noEvents ? [] : ['101 telephone-event/8000'])];
    return [
      'v=0', `o=- ${Date.now()} ${++this.version} IN ${family} ${address}`, 's=-', `c=IN ${family} ${address}`, 't=0 0',
      `m=audio ${rtp.port} ${o.proto ?? 'RTP/AVP'} ${all.map((codec) => codec.split(' ')[0]).join(' ')}`,
      ...all.map((codec) => `a=rtpmap:${codec}`), 'a=ptime:20', ...(o.attributes ?? []),
      ...(o.dir ? [`a=${o.dir}`] : []), '',
    ].join('\r\n');
  }
  private version = 0;

  /** Calls a number; resolves when it is answered or refused. calls[] has it from the start. */
  async call(number: string, sdp: SdpOptions = {}): Promise<MiniCall> {
    const rtp = await RtpStream.open(this.channel.host.includes(':'));
    const uri = `sip:${number}@${this.server}`;
    const local = `<sip:${this.username}@${this.server}>;tag=${hex(4)}`;
    const call: MiniCall = {
      callId: hex(12), rtp, isUp: false, endedBy: '', status: 0, provisional: [], remoteSdp: '', requests: [],
      peerTarget: '', local, remote: `<${uri}>`, cseq: 1,
    };
    this.calls.push(call);
    const invite = (...more: string[]): Promise<SipMessage> =>
      this.request('INVITE', [
        `From: ${local}`, `To: ${call.remote}`, `Call-ID: ${call.callId}`, `CSeq: ${call.cseq} INVITE`, ...more,
      ], uri, sdp.text ?? this.sdp(rtp, sdp), 'application/sdp', (message) => {
        call.provisional.push(message);
        this.options.onProvisional?.(this, call, message);
        if (message.body) {
          call.remoteSdp = message.body;
          rtp.sendTo(message.body);
        }
      });
    let reply = await invite();
    if (status(reply) === 401 || status(reply) === 407) {
      this.ack(call, reply, uri);
      call.cseq++;
      reply = await invite(this.authorization(reply, 'INVITE', uri));
    }
    call.status = status(reply);
    call.remote = header(reply, 'to');
    if (call.status >= 300) {
      this.ack(call, reply, uri);
      call.endedBy = 'failure';
      return call;
    }
    call.peerTarget = contactUri(reply) || uri;
    call.isUp = true;
    call.remoteSdp = reply.body || call.remoteSdp;
    rtp.sendTo(call.remoteSdp);
    call.acknowledge = (): void =>
      this.ack(call, reply, call.peerTarget, sdp.text === '' && reply.body && !sdp.noAnswer ? this.sdp(rtp) : '');
    if (!sdp.lateAck) call.acknowledge();
    return call;
  }

  /** Acknowledges a reliable provisional response (RFC 3262); body: the answer to its offer. */
  async prack(call: MiniCall, message: SipMessage, body = ''): Promise<SipMessage> {
    const rack = `RAck: ${header(message, 'rseq')} ${header(message, 'cseq')}`;
    call.cseq++;
    return this.request('PRACK', [
      `From: ${call.local}`, `To: ${header(message, 'to')}`, `Call-ID: ${call.callId}`, `CSeq: ${call.cseq} PRACK`, rack,
    ], contactUri(message) || call.peerTarget, body);
  }

  private ack(call: MiniCall, reply: SipMessage, uri: string, body = ''): void {
    // The ACK of a refusal belongs to the INVITE's transaction: same branch (RFC 3261 section 17.1.1.3).
    const via = status(reply) >= 300 ? `Via: ${header(reply, 'via')}` : this.via();
    this.sendText([
      `ACK ${uri} SIP/2.0`, via, `From: ${call.local}`, `To: ${header(reply, 'to')}`, `Call-ID: ${call.callId}`,
      `CSeq: ${Number.parseInt(header(reply, 'cseq'), 10)} ACK`, ...this.always,
      ...(body ? ['Content-Type: application/sdp'] : []), `Content-Length: ${Buffer.byteLength(body)}`, '', body,
    ].join('\r\n'));
  }

  /** A request within the call; a re-INVITE is acknowledged. */
  async inDialog(
    call: MiniCall, name: string, body = '', type = 'application/sdp', answer = '',
  ): Promise<SipMessage> {
    call.cseq++;
    const reply = await this.request(name, [
      `From: ${call.local}`, `To: ${call.remote}`, `Call-ID: ${call.callId}`, `CSeq: ${call.cseq} ${name}`,
    ], call.peerTarget, body, type);
    if (name === 'INVITE') {
      this.ack(call, reply, call.peerTarget, status(reply) < 300 ? answer : '');
      if (status(reply) < 300) {
        call.remoteSdp = reply.body;
        call.rtp.sendTo(reply.body);
      }
    }
    return reply;
  }

  /** A re-INVITE that is taken back: `cancel` sends the CANCEL; `answered` is its final answer. */
  offerAndCancel(call: MiniCall, body: string): { answered: Promise<SipMessage>; cancel: () => void } {
    const cseq = ++call.cseq;
    const lines = [`From: ${call.local}`, `To: ${call.remote}`, `Call-ID: ${call.callId}`];
    const via = this.via();
    const text = (name: string, more: string[], payload = ''): string => [
      `${name} ${call.peerTarget} SIP/2.0`, via, ...lines, `CSeq: ${cseq} ${name}`, ...this.always, ...more,
      `Content-Length: ${Buffer.byteLength(payload)}`, '', payload,
    ].join('\r\n');
    let final: SipMessage | undefined;
    const key = `${call.callId} ${cseq} INVITE`;
    this.answers.set(key, (message) => {
      if (status(message) < 200) return;
      if (!final) this.ack(call, message, call.peerTarget);
      final = message;
    });
    this.sendText(text('INVITE', [`Contact: ${this.contact}`, 'Content-Type: application/sdp'], body));
    return {
      answered: until('the re-INVITE answered', () => final, 10_000, 5).finally(() => this.answers.delete(key)),
      cancel: () => this.sendText(text('CANCEL', [])),
    };
  }

  async hangup(call: MiniCall): Promise<number> {
    call.endedBy = 'us';
    const reply = await this.inDialog(call, 'BYE');
    call.isUp = false;
    return status(reply);
  }

  reply(message: SipMessage, code: number, reason: string, body = '', tag = ''): void {
    const to = header(message, 'to');
    this.sendText([
      `SIP/2.0 ${code} ${reason}`,
      ...(message.headers.get('via') ?? []).map((via) => `Via: ${via}`),
      ...(message.headers.get('record-route') ?? []).map((route) => `Record-Route: ${route}`),
      `From: ${header(message, 'from')}`, `To: ${to}${tag && !tagOf(to) ? `;tag=${tag}` : ''}`,
      `Call-ID: ${header(message, 'call-id')}`, `CSeq: ${header(message, 'cseq')}`, `Contact: ${this.contact}`,
      ...(this.options.allow ? [`Allow: ${this.options.allow}`] : []), ...(this.options.lines ?? []),
      ...(body ? ['Content-Type: application/sdp'] : []), `Content-Length: ${Buffer.byteLength(body)}`, '', body,
    ].join('\r\n'));
  }

  /** A response to the INVITE that made this call. */
  respond(call: MiniCall, invite: SipMessage, code: number, reason: string, sdp = ''): void {
    this.reply(invite, code, reason, sdp, tagOf(call.local));
    call.status = code;
    call.isUp = code >= 200 && code < 300;
    if (code >= 300) call.endedBy = 'failure';
  }

  private take(text: string): void {
    const message = parseSip(text);
    this.seen.push(message);
    if (this.seen.length > 2000) this.seen.shift();
    if (message.start.startsWith('SIP/2.0')) {
      this.answers.get(`${header(message, 'call-id')} ${header(message, 'cseq')}`)?.(message);
      return;
    }
    const name = method(message);
    const call = this.calls.find((c) => c.callId === header(message, 'call-id'));
    if (!call) {
      if (name === 'INVITE') void this.accept(message);
      else if (name === 'BYE') this.reply(message, 481, 'Call Does Not Exist');
      else if (name !== 'ACK') this.reply(message, 200, 'OK');
      return;
    }
    if (name === 'INVITE' && !tagOf(header(message, 'to'))) return; // sent again
    call.requests.push(message);
    if (name === 'ACK') return;
    if (this.options.onRequest?.(this, call, message)) return;
    if (name === 'INVITE') {
      call.remoteSdp = message.body;
      call.rtp.sendTo(message.body);
      const offered = /a=(sendonly|recvonly|inactive)/.exec(message.body)?.[1];
      const dir = offered === 'sendonly' ? 'recvonly' : offered === 'recvonly' ? 'sendonly' : offered;
      this.reply(message, 200, 'OK', this.sdp(call.rtp, dir ? { dir } : {}));
      return;
    }
    this.reply(message, 200, 'OK');
    if (name === 'BYE') {
      call.isUp = false;
      call.endedBy = 'bye';
    }
  }

  private async accept(invite: SipMessage): Promise<void> {
    const call: MiniCall = {
      callId: header(invite, 'call-id'), rtp: undefined as unknown as RtpStream, isUp: false, endedBy: '', status: 0,
      provisional: [], remoteSdp: invite.body, requests: [], peerTarget: contactUri(invite),
      local: `${header(invite, 'to')};tag=${hex(4)}`, remote: header(invite, 'from'), cseq: 1,
    };
    if (this.accepting.has(call.callId)) return; // sent again
    this.accepting.add(call.callId);
    call.rtp = await RtpStream.open(this.channel.host.includes(':'));
    call.rtp.sendTo(invite.body);
    this.calls.push(call);
    if (this.options.onInvite) {
      this.options.onInvite(this, call, invite);
      return;
    }
    this.respond(call, invite, 180, 'Ringing');
    this.respond(call, invite, 200, 'OK', this.sdp(call.rtp));
  }
  private readonly accepting = new Set<string>();

  /** How long this process itself did not get to run: what came late by that was not sent late. */
  longestStallMs = 0;

  /** Sends RTP on every call from now on. */
  startRtp(): void {
    let next = performance.now();
    const step = (): void => {
      this.longestStallMs = Math.max(this.longestStallMs, performance.now() - next);
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
    this.channel.close();
  }
}
