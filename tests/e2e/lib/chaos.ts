// Phones that do what is legal, half-legal and unlucky at random moments: what the switch must survive without a
// crash, a leak or a call that never ends. Every decision comes from the seed: each call has a die of its own for the
// side that calls and for the side that is called, so that one seed gives the same phones again, whatever the timing.
import { createHash } from 'node:crypto';

import { hostInUri, openChannel, type Channel, type Transport } from './channel.js';
import type { Account, Pbx } from './pbx.js';
import { RtpStream } from './rtp.js';
import { contactUri, header, method, parseSip, status, tagOf, type SipMessage } from './sipmessage.js';
import { delay } from './wait.js';

/** A generator of its own for each purpose (mulberry32, seeded by a hash of the words). */
export class Die {
  private state: number;

  constructor(...words: (string | number)[]) {
    this.state = createHash('md5').update(words.join('/')).digest().readUInt32LE(0);
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  int(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  chance(p: number): boolean {
    return this.next() < p;
  }

  hex(n: number): string {
    return Array.from({ length: n }, () => this.int(0, 255).toString(16).padStart(2, '0')).join('');
  }

  pick<T>(of: readonly T[]): T {
    return of[this.int(0, of.length - 1)] as T;
  }

  /** One of several, each with its weight. */
  weighed<T extends string>(of: Record<T, number>): T {
    const all = Object.entries(of) as [T, number][];
    let at = this.next() * all.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of all) {
      at -= weight;
      if (at < 0) return name;
    }
    return all[0]?.[0] as T;
  }
}

// ---------------------------------------------------------------- descriptions

const CODECS: Record<string, string> = {
  '0': 'PCMU/8000', '8': 'PCMA/8000', '9': 'G722/8000', '3': 'GSM/8000', '18': 'G729/8000', '96': 'opus/48000/2',
  '2': 'G726-32/8000', '97': 'iLBC/8000',
};

const FINGERPRINT = `a=fingerprint:sha-256 ${Array.from({ length: 32 }, (_, i) => (i + 16).toString(16).toUpperCase()).join(':')}`;

function audioLines(die: Die, port: number, proto: string, answer: boolean): string[] {
  const types = die.chance(0.8) ? ['8', ...Object.keys(CODECS).filter(() => die.chance(0.3))] : Object.keys(CODECS).filter(() => die.chance(0.4));
  const unique = [...new Set(types.length ? types : ['97'])].sort(() => die.next() - 0.5);
  const events = die.chance(0.8);
  const lines = [
    `m=audio ${port} ${proto} ${[...unique, ...(events ? ['101'] : [])].join(' ')}`,
    ...unique.map((type) => `a=rtpmap:${type} ${CODECS[type]}`),
    ...(events ? ['a=rtpmap:101 telephone-event/8000', 'a=fmtp:101 0-16'] : []),
    ...(die.chance(0.3) ? [`a=ptime:${die.pick([10, 20, 30, 40, 60])}`] : []),
  ];
  if (die.chance(answer ? 0.15 : 0.3)) lines.push(`a=${die.pick(['sendonly', 'recvonly', 'inactive', 'sendrecv'])}`);
  if (die.chance(0.03)) lines.push('c=IN IP4 0.0.0.0');
  if (proto.includes('TLS')) lines.push(FINGERPRINT, `a=setup:${answer ? die.pick(['active', 'passive']) : 'actpass'}`);
  else if (proto.includes('SAVP') && die.chance(0.95)) {
    lines.push(`a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${Buffer.from(die.hex(30), 'hex').toString('base64')}`);
  }
  if (die.chance(0.3)) lines.push('a=rtcp-mux');
  return lines;
}

function ice(die: Die, port: number): string[] {
  return [
    `a=ice-ufrag:${die.hex(4)}`, `a=ice-pwd:${die.hex(12)}`,
    `a=candidate:1 1 udp 2130706431 127.0.0.1 ${port || 9} typ host`, ...(die.chance(0.5) ? ['a=end-of-candidates'] : []),
  ];
}

/** An offer of one line mostly, of several now and then; broken in one case of forty. */
export function anyOffer(die: Die, port: number): string {
  const proto = die.weighed({ 'RTP/AVP': 14, 'RTP/SAVP': 2, 'RTP/AVPF': 1, 'UDP/TLS/RTP/SAVPF': 2, 'RTP/SAVPF': 1 });
  const lines = [audioLines(die, die.chance(0.03) ? 0 : port, proto, false)];
  if (die.chance(0.15)) {
    lines.push([`m=video ${die.chance(0.8) ? port + 2 : 0} ${proto} 102 103`, 'a=rtpmap:102 H264/90000', 'a=rtpmap:103 VP8/90000']);
  }
  if (die.chance(0.07)) lines.push(audioLines(die, port + 4, proto, false));
  if (die.chance(0.06)) lines.push([`m=image ${port + 6} udptl t38`, 'a=T38FaxVersion:0', 'a=T38MaxBitRate:14400']);
  if (die.chance(0.03)) lines.push([`m=application 9 UDP/DTLS/SCTP webrtc-datachannel`, 'a=sctp-port:5000']);
  if (die.chance(0.03)) lines.reverse();
  const head: string[] = [];
  if (die.chance(0.15) || proto.includes('TLS')) for (const line of lines) line.push(...ice(die, port));
  if (die.chance(0.1) && lines.length > 1) {
    head.push(`a=group:BUNDLE ${lines.map((_, i) => i).join(' ')}`);
    lines.forEach((line, i) => line.push(`a=mid:${i}`));
  }
  const text = [
    'v=0', `o=- ${die.int(1, 1e9)} ${die.int(1, 1e6)} IN IP4 127.0.0.1`, 's=-',
    ...(die.chance(0.98) ? ['c=IN IP4 127.0.0.1'] : []), 't=0 0', ...head, ...lines.flat(), '',
  ].join('\r\n');
  if (die.chance(0.975)) return text;
  return die.pick([text.slice(0, die.int(1, text.length)), 'v=0\r\n', 'x', text.replace('m=audio', 'm=audio 1'), text.replace(/RTP\/\w+/g, 'FOO/BAR')]);
}

/** An answer line by line, as a rule; a line refused, one too few, or one of another kind in few cases. */
export function anyAnswer(die: Die, offer: string, port: number): string {
  const lines = [...offer.matchAll(/^m=(\w+) (\d+) (\S+) (.*?)\r?$/gm)].map(([, kind, at, proto, formats], i) => {
    if (at === '0' || die.chance(kind === 'audio' ? 0.03 : 0.5)) return [`m=${kind} 0 ${proto} ${formats}`];
    const part = offer.split(/^m=/m)[i + 1] ?? '';
    const secure = part.includes('a=ice-ufrag') ? ice(die, port + 2 * i) : [];
    const mid = /^a=mid:\S+/m.exec(part)?.[0];
    if (kind === 'audio') return [...audioLines(die, port + 2 * i, proto ?? '', true), ...secure, ...(mid ? [mid] : [])];
    return [`m=${kind} ${port + 2 * i} ${proto} ${formats}`, ...(part.match(/^a=(rtpmap|fingerprint|T38).*?$/gm) ?? []).map((a) => a.trim()), ...secure, ...(mid ? [mid] : [])];
  });
  if (die.chance(0.02)) lines.pop();
  if (die.chance(0.02)) lines.push(audioLines(die, port + 8, 'RTP/AVP', true));
  const text = [
    'v=0', `o=- ${die.int(1, 1e9)} ${die.int(1, 1e6)} IN IP4 127.0.0.1`, 's=-', 'c=IN IP4 127.0.0.1', 't=0 0', ...lines.flat(), '',
  ].join('\r\n');
  return die.chance(0.98) ? text : die.pick([text.slice(0, die.int(1, text.length)), '', 'v=0\r\n']);
}

// ---------------------------------------------------------------- phones

type Transaction = {
  name: string;
  text: string;
  branch: string;
  cseq: number;
  uri: string;
  dialog: Dialog | undefined;
  isAnswered: boolean;
  isOver: boolean;
  onResponse: (message: SipMessage, again: boolean) => void;
};

type Dialog = {
  die: Die;
  callId: string;
  local: string; // with our tag
  remote: string;
  target: string;
  cseq: number;
  rtp: RtpStream | undefined;
  isUp: boolean;
  isOver: boolean;
  /** It answers nothing any more. */
  isGone: boolean;
  invite: Transaction | undefined;
  incoming: SipMessage | undefined;
  acked: boolean;
  bye: Transaction | undefined;
  /** The newest ACK that has not been sent on purpose. */
  owedAck: (() => void) | undefined;
};

export type ChaosOptions = {
  seed: number;
  calls: number;
  /** The calls begin within this time. */
  spanMs: number;
  /** Operators: `aoide ctl` and applies meanwhile. */
  operators?: boolean;
  /** kill -9 of these processes meanwhile. */
  kill?: string[];
};

const REASONS: Record<number, string> = {
  100: 'Trying', 180: 'Ringing', 181: 'Forwarded', 183: 'Progress', 199: 'Early Dialog Terminated', 200: 'OK', 302: 'Moved',
  401: 'Unauthorized', 407: 'Proxy Authentication Required', 481: 'No Such Call', 486: 'Busy', 487: 'Terminated', 488: 'Not Acceptable',
  491: 'Request Pending', 503: 'Unavailable',
};

export class ChaosPhone {
  channel!: Channel;
  private readonly transactions = new Map<string, Transaction>();
  readonly dialogs = new Map<string, Dialog>();
  private invites = 0;
  private registerCseq = 0;

  constructor(
    private readonly world: Chaos,
    private readonly account: Account,
    private readonly transport: Transport,
  ) {}

  async open(): Promise<void> {
    this.channel = await openChannel(this.transport, this.server);
    this.channel.take = (text): void => this.take(text);
  }

  private get server(): string {
    return this.world.pbx.facts.sip[this.transport] ?? '';
  }

  private get die(): Die {
    return this.world.die;
  }

  private get hostport(): string {
    const { host, port } = this.channel;
    return port ? `${hostInUri(host)}:${port}` : host;
  }

  private get contact(): string {
    return `<sip:${this.account.username}@${this.hostport}${this.transport === 'udp' ? '' : `;transport=${this.transport}`}>`;
  }

  // ------------------------------------------------------------ the wire

  /** What is sent may get lost, come twice or late; a stream may be cut in the middle of a message. */
  private send(text: string, die: Die): void {
    if (!this.channel.isOpen) return;
    if (this.world.isQuiet) {
      this.channel.send(text);
      return;
    }
    if (this.transport === 'udp') {
      const fate = die.weighed({ fine: 90, lost: 3, twice: 4, late: 3 });
      if (fate === 'lost') return;
      if (fate === 'late') setTimeout(() => this.channel.isOpen && this.channel.send(text), die.int(1, 500));
      else this.channel.send(text);
      if (fate === 'twice') this.channel.send(text);
      return;
    }
    if (this.transport !== 'tcp' && this.transport !== 'tls') {
      this.channel.send(text);
      return;
    }
    const fate = die.weighed({ fine: 92, pieces: 7, cut: 0.6 });
    if (fate === 'fine') {
      this.channel.send(text);
      return;
    }
    const at = die.int(1, text.length - 1);
    this.channel.send(text.slice(0, at));
    if (fate === 'pieces') this.channel.send(text.slice(at));
    else void this.cut();
  }

  /** The connection is gone in this moment; another takes its place and registers. */
  async cut(): Promise<void> {
    const old = this.channel;
    if (!old.isOpen || this.transport === 'udp') return;
    old.close();
    await this.open().catch(() => undefined);
    if (this.channel !== old) this.register(300);
  }

  private request(
    name: string, dialog: Dialog | undefined, die: Die, uri: string, lines: string[], body: string,
    onResponse: (message: SipMessage, again: boolean) => void, o: { type?: string; branch?: string } = {},
  ): Transaction {
    const branch = o.branch ?? `z9hG4bK${die.hex(8)}`;
    const text = [
      `${name} ${uri} SIP/2.0`, `Via: SIP/2.0/${this.transport.toUpperCase()} ${this.hostport};branch=${branch};rport`, 'Max-Forwards: 70',
      ...lines, `Contact: ${this.contact}`, ...(body ? [`Content-Type: ${o.type ?? 'application/sdp'}`] : []),
      `Content-Length: ${Buffer.byteLength(body)}`, '', body,
    ].join('\r\n');
    const cseq = Number(/\r\nCSeq: (\d+)/.exec(text)?.[1] ?? 0);
    const made: Transaction = { name, text, branch, cseq, uri, dialog, isAnswered: false, isOver: false, onResponse };
    this.transactions.set(`${branch} ${name}`, made);
    this.send(text, die);
    if (this.transport === 'udp') {
      for (const ms of [500, 1500, 3500]) {
        setTimeout(() => {
          if (!made.isAnswered && !dialog?.isGone && this.channel.isOpen) this.send(text, die);
        }, ms);
      }
    }
    return made;
  }

  private lines(dialog: Dialog, name: string, cseq: number): string[] {
    return [`From: ${dialog.local}`, `To: ${dialog.remote}`, `Call-ID: ${dialog.callId}`, `CSeq: ${cseq} ${name}`];
  }

  private inDialog(
    dialog: Dialog, name: string, body = '', more: string[] = [], type = 'application/sdp',
    onResponse: (message: SipMessage, again: boolean) => void = () => undefined,
  ): Transaction {
    return this.request(name, dialog, dialog.die, dialog.target, [...this.lines(dialog, name, ++dialog.cseq), ...more], body, onResponse, { type });
  }

  private reply(message: SipMessage, code: number, die: Die, o: { body?: string; tag?: string; lines?: string[]; type?: string } = {}): void {
    const to = header(message, 'to');
    const body = o.body ?? '';
    this.send([
      `SIP/2.0 ${code} ${REASONS[code] ?? 'Something'}`, ...(message.headers.get('via') ?? []).map((via) => `Via: ${via}`),
      ...(message.headers.get('record-route') ?? []).map((route) => `Record-Route: ${route}`),
      `From: ${header(message, 'from')}`, `To: ${to}${o.tag && !tagOf(to) ? `;tag=${o.tag}` : ''}`, `Call-ID: ${header(message, 'call-id')}`,
      `CSeq: ${header(message, 'cseq')}`, `Contact: ${this.contact}`, 'Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, REFER, NOTIFY',
      ...(o.lines ?? []), ...(body ? [`Content-Type: ${o.type ?? 'application/sdp'}`] : []), `Content-Length: ${Buffer.byteLength(body)}`, '', body,
    ].join('\r\n'), die);
  }

  private authorization(message: SipMessage, name: string, uri: string): string | undefined {
    const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
    for (const field of ['www-authenticate', 'proxy-authenticate']) {
      for (const challenge of message.headers.get(field) ?? []) {
        const get = (key: string): string => new RegExp(`${key}="?([^",]+)"?`, 'i').exec(challenge)?.[1] ?? '';
        if ((get('algorithm') || 'MD5').toUpperCase() !== 'MD5') continue;
        const cnonce = this.die.hex(4);
        const ha1 = md5(`${this.account.username}:${get('realm')}:${this.account.secret}`);
        const response = md5(`${ha1}:${get('nonce')}:00000001:${cnonce}:auth:${md5(`${name}:${uri}`)}`);
        return `${field === 'www-authenticate' ? 'Authorization' : 'Proxy-Authorization'}: Digest username="${this.account.username}", ` +
          `realm="${get('realm')}", nonce="${get('nonce')}", uri="${uri}", response="${response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="${cnonce}"`;
      }
    }
    return undefined;
  }

  register(expires: number): void {
    const { die } = this;
    const uri = `sip:${this.server}`;
    const aor = `<sip:${this.account.username}@${this.server}>`;
    const callId = `${this.account.username}-${this.transport}-${die.hex(6)}`;
    const tag = die.hex(4);
    const lines = (): string[] => [
      `From: ${aor};tag=${tag}`, `To: ${aor}`, `Call-ID: ${callId}`, `CSeq: ${++this.registerCseq} REGISTER`, `Expires: ${expires}`,
    ];
    this.request('REGISTER', undefined, die, uri, lines(), '', (message) => {
      const answer = status(message) === 401 ? this.authorization(message, 'REGISTER', uri) : undefined;
      if (answer) this.request('REGISTER', undefined, die, uri, [...lines(), answer], '', () => undefined);
    });
  }

  // ------------------------------------------------------------ calling

  async place(index: number): Promise<void> {
    const die = new Die(this.world.seed, 'caller', index);
    const others = this.world.numbers.filter((n) => n !== this.account.extension);
    const number = die.chance(0.82) ? die.pick(others) : die.pick(['800', '800', '800', this.account.extension, '999', '*', '%00', '101;x=1']);
    const uri = `sip:${number}@${this.server}`;
    const rtp = await this.world.rtp();
    const dialog: Dialog = {
      die, callId: `c${this.world.seed}-${index}-${die.hex(4)}`, local: `<sip:${this.account.username}@${this.server}>;tag=${die.hex(4)}`,
      remote: `<${uri}>`, target: uri, cseq: die.int(1, 1000), rtp, isUp: false, isOver: false, isGone: false, invite: undefined,
      incoming: undefined, acked: false, bye: undefined, owedAck: undefined,
    };
    this.dialogs.set(dialog.callId, dialog);
    const body = die.chance(this.world.mood === 'media' ? 0.35 : 0.12) ? '' : anyOffer(die, rtp.port);
    const extra = [
      ...(die.chance(0.4) ? [`Supported: ${die.pick(['100rel', 'timer', '100rel, timer', 'replaces'])}`] : []),
      ...(die.chance(0.06) ? [`Require: ${die.pick(['100rel', 'timer', 'nonsense'])}`] : []),
      ...(die.chance(0.1) ? [`Session-Expires: ${die.pick(['90', '90;refresher=uac', '90;refresher=uas', '1', '1800'])}`] : []),
      ...(die.chance(0.85) ? ['Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, REFER, NOTIFY'] : []),
      ...(die.chance(0.02) ? ['Expires: 1'] : []),
    ];
    let tries = 0;
    const patience = die.chance(0.05) ? 0 : 2;
    const invite = (more: string[]): void => {
      const made = this.request('INVITE', dialog, die, uri, [...this.lines(dialog, 'INVITE', ++dialog.cseq), ...extra, ...more], body, (message, again) => {
        const code = status(message);
        // Repeated: it is acknowledged again; a phone with two minds asks once more, and has two calls then.
        if (again && !die.chance(0.3)) {
          this.ackFailure(made, message);
          return;
        }
        if ((code === 401 || code === 407) && tries++ < patience) {
          this.ackFailure(made, message);
          const answer = this.authorization(message, 'INVITE', uri);
          if (answer) invite([answer]);
          else dialog.isOver = true;
          return;
        }
        this.onInviteResponse(dialog, made, message, body);
      });
      dialog.invite = made;
    };
    invite([]);
    if (die.chance(0.22)) setTimeout(() => this.cancel(dialog, die.chance(0.15)), die.int(0, 900));
  }

  private cancel(dialog: Dialog, early: boolean): void {
    const { invite } = dialog;
    if (!invite || invite.isOver || dialog.isOver || (!invite.isAnswered && !early)) return;
    this.request('CANCEL', dialog, dialog.die, invite.uri, this.lines(dialog, 'CANCEL', invite.cseq), '', () => undefined, { branch: invite.branch });
  }

  private ackFailure(invite: Transaction, message: SipMessage): void {
    const { dialog } = invite;
    if (!dialog || (!this.world.isQuiet && dialog.die.chance(0.05))) return;
    this.send([
      `ACK ${invite.uri} SIP/2.0`, `Via: ${header(message, 'via')}`, 'Max-Forwards: 70', `From: ${dialog.local}`, `To: ${header(message, 'to')}`,
      `Call-ID: ${dialog.callId}`, `CSeq: ${invite.cseq} ACK`, 'Content-Length: 0', '', '',
    ].join('\r\n'), dialog.die);
  }

  private ack(dialog: Dialog, cseq: number, body: string): void {
    dialog.owedAck = undefined;
    this.send([
      `ACK ${dialog.target} SIP/2.0`, `Via: SIP/2.0/${this.transport.toUpperCase()} ${this.hostport};branch=z9hG4bK${dialog.die.hex(8)};rport`,
      'Max-Forwards: 70', `From: ${dialog.local}`, `To: ${dialog.remote}`, `Call-ID: ${dialog.callId}`, `CSeq: ${cseq} ACK`,
      ...(body ? ['Content-Type: application/sdp'] : []), `Content-Length: ${Buffer.byteLength(body)}`, '', body,
    ].join('\r\n'), dialog.die);
  }

  private onInviteResponse(dialog: Dialog, invite: Transaction, message: SipMessage, offer: string): void {
    const { die } = dialog;
    const code = status(message);
    if (dialog.isGone) return;
    if (code < 200) {
      if (code > 100) this.onProgress(dialog, invite, message, offer);
      return;
    }
    if (code >= 300) {
      this.ackFailure(invite, message);
      this.over(dialog);
      return;
    }
    if ((dialog.isUp || dialog.isOver) && tagOf(header(message, 'to')) !== tagOf(dialog.remote)) {
      this.refuseSecond(dialog, invite, message);
      return;
    }
    dialog.remote = header(message, 'to');
    dialog.target = contactUri(message) || dialog.target;
    dialog.rtp?.sendTo(message.body);
    const answer = offer || !message.body ? '' : anyAnswer(die, message.body, dialog.rtp?.port ?? 9);
    const ack = (): void => this.ack(dialog, invite.cseq, answer);
    if (dialog.isUp || dialog.isOver || this.world.isQuiet) { // sent again, or late
      if (dialog.owedAck && !this.world.isQuiet) return;
      ack();
      if (!dialog.isUp) this.bye(dialog);
      return;
    }
    dialog.isUp = true;
    dialog.rtp?.start();
    const how = die.weighed({ now: 75, late: 8, never: 4, byeOnly: 4, both: 5, odd: 4 });
    if (how === 'now' || how === 'both') ack();
    else if (how === 'odd') this.ack(dialog, invite.cseq, anyOffer(die, dialog.rtp?.port ?? 9));
    else {
      dialog.owedAck = ack;
      if (how === 'late') setTimeout(ack, die.int(50, 1500));
    }
    if (how === 'byeOnly' || how === 'both') this.bye(dialog);
    else void this.live(dialog);
  }

  /** Another answer than the one it took: acknowledged and ended at once (RFC 3261 section 13.2.2.4). */
  private refuseSecond(dialog: Dialog, invite: Transaction, message: SipMessage): void {
    const remote = header(message, 'to');
    const known = this.seconds.find((one) => one.remote === remote);
    const second = known ?? { ...dialog, remote, target: contactUri(message), isUp: true, isOver: false, rtp: undefined, invite: undefined, bye: undefined };
    this.ack(second, invite.cseq, '');
    if (known) return;
    this.seconds.push(second);
    this.bye(second);
  }
  private readonly seconds: Dialog[] = [];

  private onProgress(dialog: Dialog, invite: Transaction, message: SipMessage, offer: string): void {
    const { die } = dialog;
    if (!tagOf(header(message, 'to'))) return;
    dialog.remote = header(message, 'to');
    dialog.target = contactUri(message) || dialog.target;
    const rseq = header(message, 'rseq');
    if (rseq) {
      const rack = (n: string): string[] => [`RAck: ${n} ${invite.cseq} INVITE`];
      const body = !offer && message.body ? anyAnswer(die, message.body, dialog.rtp?.port ?? 9) : die.chance(0.05) ? anyOffer(die, dialog.rtp?.port ?? 9) : '';
      const how = die.weighed({ right: 75, late: 8, wrong: 5, never: 6, twice: 6 });
      if (how === 'right' || how === 'twice') this.inDialog(dialog, 'PRACK', body, rack(rseq));
      if (how === 'twice') this.inDialog(dialog, 'PRACK', body, rack(rseq));
      if (how === 'wrong') this.inDialog(dialog, 'PRACK', body, rack(String(Number(rseq) + 7)));
      if (how === 'late') setTimeout(() => !dialog.isOver && this.inDialog(dialog, 'PRACK', body, rack(rseq)), die.int(300, 2000));
    }
    if (die.chance(0.08)) this.inDialog(dialog, 'UPDATE', die.chance(0.7) ? anyOffer(die, dialog.rtp?.port ?? 9) : '');
    if (die.chance(0.03)) this.inDialog(dialog, 'INFO', 'Signal=5\r\nDuration=160\r\n', [], 'application/dtmf-relay');
    if (die.chance(0.02)) this.bye(dialog);
    if (die.chance(0.08)) setTimeout(() => this.cancel(dialog, false), die.int(0, 300));
  }

  // ------------------------------------------------------------ being called

  private ring(invite: SipMessage): void {
    const die = new Die(this.world.seed, 'called', this.account.extension, this.transport, this.invites++);
    const dialog: Dialog = {
      die, callId: header(invite, 'call-id'), local: `${header(invite, 'to')};tag=${die.hex(4)}`, remote: header(invite, 'from'),
      target: contactUri(invite), cseq: die.int(1, 1000), rtp: undefined, isUp: false, isOver: false, isGone: false, invite: undefined,
      incoming: invite, acked: false, bye: undefined, owedAck: undefined,
    };
    this.dialogs.set(dialog.callId, dialog);
    if (this.world.isQuiet) {
      this.reply(invite, 486, die, { tag: tagOf(dialog.local) });
      dialog.isOver = true;
      return;
    }
    void this.answerInvite(dialog, invite);
  }

  private async answerInvite(dialog: Dialog, invite: SipMessage): Promise<void> {
    const { die } = dialog;
    const rtp = await this.world.rtp();
    const tag = tagOf(dialog.local);
    const answer = (): string => (invite.body ? anyAnswer(die, invite.body, rtp.port) : anyOffer(die, rtp.port));
    dialog.rtp = rtp;
    rtp.sendTo(invite.body);
    if (die.chance(0.4)) this.reply(invite, 100, die);
    const early = die.int(0, 3);
    for (let i = 0; i < early; i++) {
      await delay(die.int(0, 120));
      if (dialog.isOver) return;
      const reliable = die.chance(0.2);
      this.reply(invite, die.pick([180, 180, 183, 183, 181, 199]), die, {
        tag: die.chance(0.8) ? tag : `${tag}f${die.int(0, 3)}`, body: die.chance(0.35) ? answer() : '',
        lines: reliable ? ['Require: 100rel', `RSeq: ${die.chance(0.9) ? i + 1 : die.int(0, 9)}`] : [],
      });
    }
    await delay(die.int(0, 350));
    if (dialog.isOver || dialog.isGone) return;
    const how = die.weighed({ yes: 66, twoTags: 3, elsewhere: 7, busy: 5, fails: 7, challenge: 3, never: 6, empty: 1.5, vanish: 1.5 });
    if (how === 'yes' || how === 'twoTags' || how === 'empty') {
      const body = how === 'empty' ? '' : answer();
      dialog.isUp = true;
      rtp.start();
      this.reply(invite, 200, die, { tag, body, lines: die.chance(0.1) ? ['Require: timer', `Session-Expires: ${die.pick(['90;refresher=uas', '90;refresher=uac', '1800'])}`] : [] });
      if (how === 'twoTags') this.reply(invite, 200, die, { tag: `${tag}x`, body: answer() });
      for (const ms of [500, 1500, 3500]) {
        setTimeout(() => !dialog.acked && !dialog.isGone && !dialog.isOver && this.reply(invite, 200, die, { tag, body }), ms);
      }
      void this.live(dialog);
    } else if (how === 'elsewhere') {
      const to = die.pick([this.account.extension, ...this.world.numbers, '800', '999', '']);
      this.reply(invite, die.pick([302, 301, 300, 380]), die, { tag, lines: die.chance(0.9) ? [`Contact: <sip:${to}@${this.server}>`] : [] });
      this.over(dialog);
    } else if (how === 'challenge') {
      this.reply(invite, die.pick([401, 407]), die, { tag, lines: ['WWW-Authenticate: Digest realm="x", nonce="y", algorithm=MD5'] });
      this.over(dialog);
    } else if (how === 'busy' || how === 'fails') {
      this.reply(invite, how === 'busy' ? 486 : die.pick([400, 403, 404, 408, 415, 422, 480, 481, 487, 488, 491, 500, 503, 504, 513, 600, 603, 604, 699]), die, {
        tag, lines: die.chance(0.3) ? ['Retry-After: 1', 'Reason: Q.850;cause=17', 'Min-SE: 1800'] : [] });
      this.over(dialog);
    } else if (how === 'vanish') {
      dialog.isGone = true;
    }
  }

  // ------------------------------------------------------------ within a call

  private async live(dialog: Dialog): Promise<void> {
    const { die } = dialog;
    const steps = this.world.mood === 'media' ? die.int(2, 12) : die.int(0, 5);
    for (let i = 0; i < steps; i++) {
      await delay(die.chance(0.3) ? 0 : die.int(0, 350));
      if (dialog.isOver || dialog.isGone || this.world.isQuiet) return;
      this.step(dialog);
    }
    await delay(die.chance(0.3) ? 0 : die.int(0, 600));
    if (!dialog.isOver && !dialog.isGone && die.chance(0.75)) this.bye(dialog);
  }

  private step(dialog: Dialog): void {
    const { die } = dialog;
    const port = dialog.rtp?.port ?? 9;
    const what = this.world.mood === 'media' ? die.weighed({
      reinvite: 30, reinviteEmpty: 20, twice: 3, update: 10, hold: 12, keys: 3, move: 4, bye: 1, updateEmpty: 1,
      info: 1, infoOther: 0, refer: 0, odd: 0, register: 0, cut: 0, vanish: 0,
    }) : die.weighed({
      reinvite: 22, reinviteEmpty: 5, twice: 3, update: 9, updateEmpty: 3, hold: 10, info: 5, infoOther: 3, keys: 7, refer: 3, odd: 5,
      register: 3, cut: 2, vanish: 2, move: 4, bye: 3,
    });
    if (what === 'reinvite' || what === 'twice') this.reinvite(dialog, anyOffer(die, port));
    if (what === 'twice') this.reinvite(dialog, anyOffer(die, port));
    if (what === 'reinviteEmpty') this.reinvite(dialog, '');
    if (what === 'update') this.inDialog(dialog, 'UPDATE', anyOffer(die, port));
    if (what === 'updateEmpty') this.inDialog(dialog, 'UPDATE', '', die.chance(0.5) ? ['Supported: timer', 'Session-Expires: 90;refresher=uac'] : []);
    if (what === 'hold' || what === 'move') {
      const address = what === 'move' ? `127.0.0.${die.int(2, 9)}` : die.chance(0.3) ? '0.0.0.0' : '127.0.0.1';
      this.reinvite(dialog, ['v=0', `o=- 1 ${die.int(1, 999)} IN IP4 127.0.0.1`, 's=-', `c=IN IP4 ${address}`, 't=0 0', `m=audio ${port} RTP/AVP 8 101`,
        'a=rtpmap:8 PCMA/8000', 'a=rtpmap:101 telephone-event/8000', `a=${die.pick(['sendonly', 'inactive', 'sendrecv', 'recvonly'])}`, ''].join('\r\n'));
    }
    if (what === 'info') this.inDialog(dialog, 'INFO', `Signal=${die.pick([...'0123456789*#AD'])}\r\nDuration=${die.pick([0, 1, 160, 99999])}\r\n`, [], 'application/dtmf-relay');
    if (what === 'infoOther') this.inDialog(dialog, 'INFO', '<media_control/>', [], die.pick(['application/media_control+xml', 'application/dtmf', 'text/plain']));
    if (what === 'keys') void dialog.rtp?.press(die.pick([...'0123456789*#']), die.int(1, 200)).catch(() => undefined);
    if (what === 'refer') {
      const other = die.pick([...this.dialogs.values()]);
      const to = die.pick([...this.world.numbers, '800', '999']);
      const replaces = die.chance(0.4) ? `?Replaces=${encodeURIComponent(`${other.callId};to-tag=${tagOf(other.remote)};from-tag=${tagOf(other.local)}`)}` : '';
      this.inDialog(dialog, 'REFER', '', [`Refer-To: <sip:${to}@${this.server}${replaces}>`]);
    }
    if (what === 'odd') this.inDialog(dialog, die.pick(['OPTIONS', 'MESSAGE', 'NOTIFY', 'SUBSCRIBE', 'PRACK', 'PUBLISH', 'FOO']), '', die.chance(0.5) ? ['Event: refer', 'RAck: 1 1 INVITE'] : []);
    if (what === 'register') this.register(die.pick([0, 60, 300, 300]));
    if (what === 'cut') void this.cut();
    if (what === 'vanish') dialog.isGone = true;
    if (what === 'bye') this.bye(dialog);
  }

  private reinvite(dialog: Dialog, body: string): void {
    const { die } = dialog;
    const made: Transaction = this.inDialog(dialog, 'INVITE', body, die.chance(0.3) ? ['Supported: timer'] : [], 'application/sdp', (message, again) => {
      const code = status(message);
      if (code < 200 || dialog.isGone) return;
      if (code >= 300 || again) {
        this.ackFailure(made, message);
        return;
      }
      dialog.rtp?.sendTo(message.body);
      const answer = body || !message.body ? '' : anyAnswer(die, message.body, dialog.rtp?.port ?? 9);
      const ack = (): void => this.ack(dialog, made.cseq, answer);
      if (this.world.isQuiet || die.chance(0.9)) ack();
      else {
        dialog.owedAck = ack;
        if (die.chance(0.5)) setTimeout(ack, die.int(50, 1000));
        if (die.chance(0.3)) this.bye(dialog);
      }
    });
    if (die.chance(0.04)) {
      setTimeout(() => made.isOver || this.request('CANCEL', dialog, die, made.uri, this.lines(dialog, 'CANCEL', made.cseq), '', () => undefined,
        { branch: made.branch }), die.int(0, 50));
    }
    if (die.chance(0.06)) setTimeout(() => this.bye(dialog), die.int(0, 30));
  }

  private bye(dialog: Dialog): void {
    if (dialog.isOver || !tagOf(dialog.remote)) return;
    dialog.bye = this.inDialog(dialog, 'BYE', '', dialog.die.chance(0.1) ? ['Reason: Q.850;cause=31'] : []);
    this.over(dialog);
  }

  private over(dialog: Dialog): void {
    dialog.isOver = true;
    dialog.isUp = false;
    dialog.rtp?.stop();
  }

  private take(text: string): void {
    const message = parseSip(text);
    if (message.start.startsWith('SIP/2.0')) {
      const branch = /branch=([^;,\s]+)/.exec(header(message, 'via'))?.[1] ?? '';
      const found = this.transactions.get(`${branch} ${header(message, 'cseq').split(' ')[1] ?? ''}`);
      if (!found) return;
      const again = found.isOver && (found.name !== 'INVITE' || status(message) >= 300);
      found.isAnswered = true;
      if (status(message) >= 200) found.isOver = true;
      if (!again || found.name === 'INVITE') found.onResponse(message, again);
      return;
    }
    const name = method(message);
    const dialog = this.dialogs.get(header(message, 'call-id'));
    if (!dialog) {
      if (name === 'INVITE' && !tagOf(header(message, 'to'))) this.ring(message);
      else if (name !== 'ACK') this.reply(message, name === 'OPTIONS' ? 200 : 481, this.die);
      return;
    }
    if (name === 'ACK') {
      dialog.acked = true;
      return;
    }
    if (this.world.isQuiet) {
      this.quietly(dialog, message, name);
      return;
    }
    if (dialog.isGone) {
      this.world.owe(() => this.quietly(dialog, message, name));
      return;
    }
    if (name === 'INVITE' && !tagOf(header(message, 'to'))) return; // sent again
    if (name === 'CANCEL') this.onCancel(dialog, message);
    else if (name === 'BYE') this.onBye(dialog, message);
    else if (name === 'INVITE' || name === 'UPDATE') this.onOffer(dialog, message, name);
    else {
      const how = dialog.die.weighed({ 200: 88, 481: 4, 415: 3, 500: 2, never: 3 });
      if (how === 'never') this.world.owe(() => this.quietly(dialog, message, name));
      else this.reply(message, Number(how), dialog.die);
    }
  }

  private onCancel(dialog: Dialog, message: SipMessage): void {
    const { die, incoming } = dialog;
    const tag = tagOf(dialog.local);
    const how = die.weighed({ right: 70, crossing: 12, unknown: 5, never: 5, onlyOk: 8 });
    if (how === 'right' || how === 'onlyOk' || how === 'crossing') this.reply(message, 200, die, { tag });
    if (how === 'unknown') this.reply(message, 481, die, { tag });
    if (how === 'right' && incoming && !dialog.isUp) this.reply(incoming, 487, die, { tag });
    if (how === 'crossing' && incoming && !dialog.isUp) {
      dialog.isUp = true;
      this.reply(incoming, 200, die, { tag, body: anyAnswer(die, incoming.body, dialog.rtp?.port ?? 9) });
      return;
    }
    if (how === 'never' || how === 'unknown' || how === 'onlyOk') this.world.owe(() => this.quietly(dialog, message, 'CANCEL'));
    if (!dialog.isUp) this.over(dialog);
  }

  private onBye(dialog: Dialog, message: SipMessage): void {
    const { die } = dialog;
    const how = die.weighed({ right: 86, unknown: 4, never: 3, late: 4, crossing: 3 });
    if (how === 'crossing') this.bye(dialog);
    if (how === 'right' || how === 'crossing') this.reply(message, 200, die);
    if (how === 'unknown') this.reply(message, 481, die);
    if (how === 'late') setTimeout(() => this.reply(message, 200, die), die.int(100, 1500));
    if (how === 'never') this.world.owe(() => this.quietly(dialog, message, 'BYE'));
    this.over(dialog);
  }

  private onOffer(dialog: Dialog, message: SipMessage, name: string): void {
    const { die } = dialog;
    const port = dialog.rtp?.port ?? 9;
    const answer = (): string => (message.body ? anyAnswer(die, message.body, port) : name === 'INVITE' ? anyOffer(die, port) : '');
    const how = die.weighed({ yes: this.world.mood === 'media' ? 110 : 62, bare: 3, no: 24, never: 3, late: 5, bye: 3, glare: 4 });
    if (name === 'INVITE' && die.chance(0.4)) this.reply(message, 100, die);
    if (message.body && how === 'yes') dialog.rtp?.sendTo(message.body);
    if (how === 'yes') this.reply(message, 200, die, { body: answer() });
    if (how === 'bare') this.reply(message, 200, die);
    if (how === 'no') this.reply(message, die.pick([488, 488, 481, 408, 491, 491, 500, 503, 606, 400, 401, 422]), die, { lines: die.chance(0.2) ? ['Retry-After: 1'] : [] });
    if (how === 'late') setTimeout(() => this.reply(message, die.chance(0.8) ? 200 : 488, die, { body: answer() }), die.int(100, 1200));
    if (how === 'never') this.world.owe(() => this.quietly(dialog, message, name));
    if (how === 'glare') {
      this.reinvite(dialog, anyOffer(die, port));
      this.reply(message, 491, die);
    }
    if (how === 'bye') {
      this.bye(dialog);
      this.world.owe(() => this.reply(message, 487, die));
    }
  }

  // ------------------------------------------------------------ the end

  /** Without any more mischief: whatever is asked ends the call. */
  private quietly(dialog: Dialog, message: SipMessage, name: string): void {
    const tag = tagOf(dialog.local);
    this.reply(message, name === 'INVITE' || name === 'UPDATE' ? 481 : 200, this.die, { tag });
    if (name === 'CANCEL' && dialog.incoming) this.reply(dialog.incoming, 487, this.die, { tag });
    if (name === 'BYE') this.over(dialog);
  }

  /** Ends all that it knows of. */
  finish(): void {
    for (const dialog of [...this.dialogs.values(), ...this.seconds]) {
      dialog.isGone = false;
      dialog.owedAck?.();
      if (dialog.incoming && !dialog.isUp && !dialog.isOver) {
        this.reply(dialog.incoming, 480, this.die, { tag: tagOf(dialog.local) });
        this.over(dialog);
      }
      if (dialog.invite && !dialog.invite.isOver) this.cancel(dialog, true);
      else if (!dialog.isOver) this.bye(dialog);
      else if (dialog.bye && !dialog.bye.isOver) dialog.bye = this.inDialog(dialog, 'BYE'); // it went down with its connection
      dialog.rtp?.stop();
    }
  }

  close(): void {
    for (const dialog of this.dialogs.values()) dialog.isOver = dialog.isGone = true;
    this.channel.close();
  }
}

// ---------------------------------------------------------------- the world

const TRANSPORTS: Transport[] = ['udp', 'tcp', 'ws', 'udp', 'tls'];

export class Chaos {
  readonly die: Die;
  readonly numbers: string[];
  /** What this seed is about: everything, or phones that answer but never leave the media alone. */
  readonly mood: 'all' | 'media';
  isQuiet = false;
  private readonly phones: ChaosPhone[] = [];
  private readonly owed: (() => void)[] = [];
  private readonly streams: RtpStream[] = [];
  readonly killed: string[] = [];

  constructor(readonly pbx: Pbx, private readonly options: ChaosOptions) {
    this.die = new Die(options.seed, 'world');
    this.mood = this.die.chance(0.35) ? 'media' : 'all';
    this.numbers = pbx.facts.accounts.map((account) => account.extension);
  }

  get seed(): number {
    return this.options.seed;
  }

  async rtp(): Promise<RtpStream> {
    const made = await RtpStream.open();
    this.streams.push(made);
    return made;
  }

  /** What has not been answered on purpose, and is at the end. */
  owe(what: () => void): void {
    this.owed.push(what);
  }

  /** All calls, from the first to the moment when the phones have ended what they know of. */
  async run(): Promise<void> {
    const { calls, spanMs, operators, kill } = this.options;
    for (const [i, account] of this.pbx.facts.accounts.entries()) {
      this.phones.push(new ChaosPhone(this, account, TRANSPORTS[i % TRANSPORTS.length] ?? 'udp'));
      if (this.die.chance(0.4)) this.phones.push(new ChaosPhone(this, account, this.die.pick(TRANSPORTS)));
    }
    for (const phone of this.phones) {
      await phone.open();
      phone.register(300);
    }
    await delay(300);
    const until = Date.now() + spanMs;
    const helpers = [
      ...(operators ? [this.operate(until), this.configure(until)] : []), ...(kill?.length ? [this.murder(until, kill)] : []),
    ];
    for (let i = 0; i < calls; i++) {
      const phone = this.die.pick(this.phones);
      if (phone.channel.isOpen) void phone.place(i).catch(() => undefined);
      await delay(spanMs / calls);
    }
    await Promise.all(helpers);
    await delay(1500);
    await this.end();
  }

  private async end(): Promise<void> {
    this.isQuiet = true;
    for (const what of this.owed.splice(0)) what();
    for (const phone of this.phones) phone.finish();
    await delay(700);
    for (const phone of this.phones) phone.finish();
    for (const what of this.owed.splice(0)) what();
  }

  close(): void {
    for (const phone of this.phones) phone.close();
    for (const stream of this.streams) stream.close();
  }

  private async operate(until: number): Promise<void> {
    const die = new Die(this.seed, 'operator');
    while (Date.now() < until) {
      try {
        const { items } = await this.pbx.ctlJson<{ items: { linkedid: string }[] }>('calls')
          .then((reply) => (Array.isArray(reply) ? { items: reply } : reply));
        const call = items.length ? die.pick(items).linkedid : '';
        const what = die.weighed({ hangup: 1, play: 3, record: 3, stop: 2, spy: 2, trace: 1 });
        if (call && what === 'hangup') await this.pbx.ctl('hangup', call);
        if (call && what === 'play') await this.pbx.ctl('play', call, die.pick(['a', 'b']), ...(die.chance(0.8) ? ['echo/intro', 'tone:425/300'] : []));
        if (call && what === 'record') await this.pbx.ctl('record', call, die.pick(['start', 'start', 'pause', 'resume', 'stop']), ...(die.chance(0.3) ? ['--mono'] : []));
        if (call && what === 'stop') await this.pbx.ctl('record', call, 'stop');
        if (call && what === 'spy') await this.pbx.ctl('spy', call, die.pick(this.numbers), ...(die.chance(0.6) ? [die.pick(['--whisper', '--barge'])] : []));
        if (call && what === 'trace') await this.pbx.ctl('trace', call);
      } catch {
        // That call is over by now, or cannot be done that to.
      }
      await delay(die.int(10, 150));
    }
  }

  private async configure(until: number): Promise<void> {
    const die = new Die(this.seed, 'administrator');
    const first = this.numbers[0] ?? '';
    const last = this.numbers[this.numbers.length - 1] ?? '';
    try {
      const account = await this.pbx.idOf('account', 'username', this.pbx.account(die.pick(this.numbers)).username);
      const extension = await this.pbx.idOf('extension', 'number', last);
      while (Date.now() < until) {
        const what = die.weighed({ codecs: 3, off: 1, limit: 1 });
        const change = what === 'codecs'
          ? { path: `/api/pbx/v2/account/${account}`, body: { audio_codecs: die.pick([['PCMA'], ['OPUS', 'G722', 'PCMA'], ['PCMU', 'PCMA', 'GSM']]) } }
          : { path: `/api/pbx/v2/extension/${extension}`, body: what === 'off' ? { enabled: die.chance(0.5) } : { max_concurrent_calls: die.int(0, 4) } };
        await this.pbx.configure([change]).catch((error: unknown) => this.refused.add(`${what} ${String(error).slice(0, 200)}`));
        await delay(die.int(200, 1200));
      }
      await this.pbx.configure([{ path: `/api/pbx/v2/extension/${extension}`, body: { enabled: true, max_concurrent_calls: 0 } }]).catch(() => undefined);
    } catch (error) {
      this.refused.add(`${first} ${String(error).slice(0, 200)}`);
    }
  }
  readonly refused = new Set<string>();

  private async murder(until: number, names: string[]): Promise<void> {
    const die = new Die(this.seed, 'murderer');
    while (Date.now() < until) {
      await delay(die.int(700, 2500));
      const name = die.pick(names);
      this.killed.push(name);
      await this.pbx.killChild(name).catch(() => undefined);
      await delay(1500);
    }
  }
}
