import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePorts } from './ports.js';
import { Proc } from './proc.js';
import { level, readWav, recordings, toneShare } from './tone.js';
import { until } from './wait.js';

export type PhoneEvent = {
  type: string;
  class: string;
  param?: string;
  direction?: string;
  peeruri?: string;
  peerdisplayname?: string;
  id?: string;
};

export type PhoneOptions = {
  username: string;
  secret: string;
  /** host:port of the PBX. */
  server: string;
  transport?: 'udp' | 'tcp' | 'tls';
  /** What this phone says, as a frequency. */
  toneHz?: number;
  /** Answers by itself. */
  autoAnswer?: boolean;
  /** For example "PCMA,PCMU"; the modules for opus, g722 and gsm are loaded when named. */
  codecs?: string;
  register?: boolean;
  expiresS?: number;
  /** Where it listens; 127.0.0.1. */
  address?: string;
  /** Network namespace it lives in. */
  netns?: string;
  /** More parameters of the account line, such as ";rtcp_mux=yes". */
  extra?: string;
  /** More modules, such as "srtp.so". */
  modules?: string[];
  /** Shows and films: "vp8" or "h264". */
  video?: string;
};

const codecModules: Record<string, string> = {
  opus: 'opus.so', g722: 'g722.so', gsm: 'gsm.so', g726: 'g726.so',
};

/** A baresip process, driven over its ctrl_tcp module. */
export class Baresip {
  readonly events: PhoneEvent[] = [];
  private socket: Socket | undefined;
  private buffer = Buffer.alloc(0);
  private token = 0;
  private readonly waiting = new Map<string, (ok: boolean, data: string) => void>();

  private constructor(
    readonly options: PhoneOptions,
    readonly dir: string,
    readonly sipPort: number,
    private readonly proc: Proc,
  ) {}

  static async start(options: PhoneOptions): Promise<Baresip> {
    const dir = mkdtempSync(join(tmpdir(), `baresip-${options.username}-`));
    const port = await freePorts(2);
    const control = await freePorts(1);
    mkdirSync(join(dir, 'rec'));
    writeFileSync(join(dir, 'config'), Baresip.config(options, dir, port, control));
    writeFileSync(join(dir, 'accounts'), Baresip.accountLine(options));
    writeFileSync(join(dir, 'contacts'), '');
    const proc = new Proc(`baresip ${options.username}`, ...Baresip.commandLine(options, dir), { cwd: dir });
    const phone = new Baresip(options, dir, port, proc);
    try {
      await phone.connectControl(control);
      if (options.register !== false) await phone.waitRegistered();
    } catch (error) {
      await phone.close();
      throw new Error(`baresip ${options.username}: ${String(error)}\n${proc.output.slice(-3000)}`);
    }
    return phone;
  }

  private static commandLine(o: PhoneOptions, dir: string): [string, string[]] {
    const args = ['-f', dir, '-v'];
    return o.netns ? ['ip', ['netns', 'exec', o.netns, 'baresip', ...args]] : ['baresip', args];
  }

  /** The answer to the first REGISTER is in the log: it may be there before the control port is. */
  private async waitRegistered(): Promise<void> {
    const status = await until(`${this.options.username} registers`, () => {
      const found = /\{\d+\/\w+\/v\d\} (\d{3} [^\n(]*)/.exec(this.proc.output)?.[1];
      if (!found && /reg: .*|register.*failed/i.test(this.proc.output)) return this.proc.output;
      return found;
    });
    if (!status.startsWith('200')) throw new Error(`not registered: ${status}`);
  }

  private static config(o: PhoneOptions, dir: string, port: number, control: number): string {
    const host = o.address ?? '127.0.0.1';
    const rtp = 40_000 + Math.floor(Math.random() * 500) * 40;
    const extra = Object.entries(codecModules)
      .filter(([codec]) => (o.codecs ?? '').toLowerCase().includes(codec))
      .map(([, module]) => `module ${module}`);
    return [
      'poll_method epoll',
      `sip_listen ${host.includes(':') ? `[${host}]` : host}:${port}`,
      'call_local_timeout 120',
      'call_max_calls 8',
      `audio_player aubridge,${o.username}`,
      `audio_source ausine,${o.toneHz ?? 440}`,
      'audio_alert aubridge,alert',
      'ausrc_srate 48000', 'ausrc_channels 2', // all that ausine knows; baresip resamples
      `net_interface ${o.netns ? 'eth0' : host}`,
      'ausrc_format s16', 'auplay_format s16', 'auenc_format s16', 'audec_format s16',
      'audio_buffer 20-160',
      `rtp_ports ${rtp}-${rtp + 39}`,
      'jitter_buffer_delay 0-4',
      'rtp_timeout 0',
      'dns_server 127.0.0.1:9',
      'module_path /usr/lib/baresip/modules',
      'module g711.so', ...extra, ...(o.modules ?? []).map((module) => `module ${module}`),
      'module sndfile.so', 'module ausine.so', 'module aubridge.so',
      'module_tmp account.so', 'module_tmp uuid.so',
      'module_app menu.so', 'module_app ctrl_tcp.so',
      `ctrl_tcp_listen ${host.includes(':') ? `[${host}]` : host}:${control}`,
      ...(o.video ? [`module ${o.video === 'h264' ? 'avcodec' : 'vp8'}.so`, 'module fakevideo.so', 'module snapshot.so', 'video_source fakevideo,', 'video_display fakevideo,',
        'video_size 320x240', 'video_bitrate 300000', 'video_fps 10.00', 'videnc_format yuv420p'] : []),
      `snd_path ${join(dir, 'rec')}`,
      'sip_verify_server no',
      '',
    ].join('\n');
  }

  private static accountLine(o: PhoneOptions): string {
    const transport = o.transport ?? 'udp';
    return (
      `<sip:${o.username}@${o.server};transport=${transport}>;auth_user=${o.username}` +
      `;auth_pass=${o.secret};regint=${o.register === false ? 0 : (o.expiresS ?? 600)}` +
      `;answermode=${o.autoAnswer ? 'auto' : 'manual'}` +
      `${o.codecs ? `;audio_codecs=${o.codecs}` : ''}${o.video ? `;video_codecs=${o.video}` : ''}${o.extra ?? ''}\n`
    );
  }

  private async connectControl(port: number): Promise<void> {
    await until('the control port', () => new Promise<boolean>((resolve) => {
      if (!this.proc.isRunning) throw new Error('baresip has ended');
      const socket = connect(port, this.options.address ?? '127.0.0.1');
      socket.once('error', () => resolve(false));
      socket.once('connect', () => {
        this.socket = socket;
        socket.on('error', () => undefined);
        socket.on('data', (data: Buffer) => this.take(data));
        resolve(true);
      });
    }));
  }

  /** Netstrings: "12:{...json...},". */
  private take(data: Buffer): void {
    this.buffer = Buffer.concat([this.buffer, data]);
    for (;;) {
      const colon = this.buffer.indexOf(':');
      if (colon < 0) return;
      const length = Number(this.buffer.toString('latin1', 0, colon));
      if (this.buffer.length < colon + 1 + length + 1) return;
      const text = this.buffer.toString('utf8', colon + 1, colon + 1 + length);
      this.buffer = this.buffer.subarray(colon + length + 2);
      const message = JSON.parse(text) as Record<string, unknown>;
      if (message['event']) {
        this.events.push(message as unknown as PhoneEvent);
      } else if (typeof message['token'] === 'string') {
        this.waiting.get(message['token'])?.(message['ok'] === true, String(message['data'] ?? ''));
        this.waiting.delete(message['token']);
      }
    }
  }

  /** One command of baresip's menu; resolves with what it printed. */
  command(command: string, params = ''): Promise<string> {
    const token = String(++this.token);
    const text = JSON.stringify({ command, params, token });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${command}: no answer`)), 10_000);
      this.waiting.set(token, (ok, data) => {
        clearTimeout(timer);
        if (ok) resolve(data);
        else reject(new Error(`${command} ${params}: ${data}`));
      });
      this.socket?.write(`${Buffer.byteLength(text)}:${text},`);
    });
  }

  /** Waits for an event that came after the first `after` ones. */
  waitEvent(type: string, after = 0, timeoutMs = 20_000): Promise<PhoneEvent> {
    return until(
      `${this.options.username}: ${type}`,
      () => this.events.slice(after).find((event) => event.type === type),
      timeoutMs,
      20,
    );
  }

  has(type: string): boolean {
    return this.events.some((event) => event.type === type);
  }

  /** Forgets events of earlier calls. */
  forget(): void {
    this.events.length = 0;
  }

  async dial(target: string): Promise<void> {
    await this.command('dial', target.includes('@') ? target : `sip:${target}@${this.options.server}`);
  }

  async answer(): Promise<void> {
    await this.command('accept');
  }

  async hangup(): Promise<void> {
    await this.command('hangup');
  }

  async hold(): Promise<void> {
    await this.command('hold');
  }

  async resume(): Promise<void> {
    await this.command('resume');
  }

  /** The part of what this phone heard since `fromS` before now... of its newest call. */
  heard(): ReturnType<typeof readWav> {
    const files = recordings(join(this.dir, 'rec'), 'dec');
    const last = files[files.length - 1];
    return last ? readWav(last) : { rate: 8000, samples: new Float32Array(0) };
  }

  /**
   * Waits until the last half second heard is that tone and nothing else.
   */
  async hears(hz: number, timeoutMs = 10_000): Promise<void> {
    await until(
      `${this.options.username} hears ${hz} Hz`,
      () => {
        const sound = this.heard();
        const end = sound.samples.length / sound.rate;
        return end > 0.6 && toneShare(sound, hz, end - 0.5, end) > 0.8;
      },
      timeoutMs,
    );
  }

  /** Level (RMS, full scale 1) of the last half second heard. */
  heardLevel(): number {
    const sound = this.heard();
    const end = sound.samples.length / sound.rate;
    return level(sound, Math.max(0, end - 0.5), end);
  }

  /** Bytes of the last picture that it received and decoded, as a PNG; 0: none yet. */
  async sees(): Promise<number> {
    const file = join(this.dir, 'seen.png');
    rmSync(file, { force: true });
    await this.command('snapshot_recv', file);
    return until('a picture', () => statSync(file, { throwIfNoEntry: false })?.size, 3_000).catch(() => 0);
  }

  get log(): string {
    return this.proc.output;
  }

  get pid(): number {
    return this.proc.pid;
  }

  async close(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.socket?.destroy();
    await this.proc.stop(signal, 5_000);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
