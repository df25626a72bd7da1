import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { splitHostPort } from './channel.js';
import { freePorts } from './ports.js';
import { Proc } from './proc.js';
import { readWav, toneShare, writeTone } from './tone.js';
import { until } from './wait.js';

export type LinphoneOptions = {
  username: string;
  secret: string;
  server: string;
  transport?: 'udp' | 'tcp' | 'tls';
  toneHz?: number;
  /** Keys in signalling, or by a handshake. */
  encryption?: 'none' | 'srtp' | 'dtls';
};

/** linphonec of Debian, driven over its standard input; plays one file and records another. */
export class Linphone {
  private constructor(
    readonly options: LinphoneOptions,
    readonly dir: string,
    private readonly proc: Proc,
  ) {}

  static async start(options: LinphoneOptions): Promise<Linphone> {
    const dir = mkdtempSync(join(tmpdir(), 'linphone-'));
    mkdirSync(join(dir, '.local/share/linphone'), { recursive: true });
    const transport = options.transport ?? 'udp';
    const port = await freePorts(1);
    const { host } = splitHostPort(options.server);
    writeTone(join(dir, 'tone.wav'), options.toneHz ?? 440, 60);
    writeFileSync(join(dir, 'linphonerc'), [
      '[sip]', `sip_port=${transport === 'udp' ? port : 0}`, `sip_tcp_port=${transport === 'tcp' ? port : 0}`,
      `sip_tls_port=${transport === 'tls' ? port : 0}`, 'default_proxy=0', 'register_only_when_network_is_up=0',
      'auto_net_state_mon=0', 'verify_server_certs=0', 'verify_server_cn=0', 'use_ipv6=0', 'guess_hostname=0', `media_encryption=${options.encryption ?? 'none'}`,
      `keep_srtp_mandatory=0`, `media_encryption_mandatory=${options.encryption ? 1 : 0}`, '',
      '[net]', 'mtu=1300', 'dns_srv_enabled=0', '',
      '[sound]', 'playback_dev_id=', '',
      '[rtp]', `audio_rtp_port=${await freePorts(2)}`, '',
      '[video]', 'enabled=0', 'capture=0', 'display=0', '',
      '[auth_info_0]', `username=${options.username}`, `userid=${options.username}`, `passwd=${options.secret}`, '',
      '[proxy_0]', `reg_proxy=<sip:${options.server};transport=${transport}>`,
      `reg_identity=sip:${options.username}@${host}`, 'reg_expires=600', 'reg_sendregister=1', 'publish=0', '',
    ].join('\n'));
    const proc = new Proc(`linphonec ${options.username}`, 'stdbuf', ['-oL', 'linphonec', '-c', join(dir, 'linphonerc'), '-d', '0'], {
      cwd: dir, env: { ...process.env, HOME: dir, TERM: 'dumb' },
    });
    const phone = new Linphone(options, dir, proc);
    try {
      await until('linphonec registers', () => {
        if (!proc.isRunning) throw new Error('linphonec has ended');
        phone.type('status register');
        return /registered, identity=/.test(proc.output);
      }, 20_000, 500);
      phone.type('soundcard use files');
      phone.type(`play ${join(dir, 'tone.wav')}`);
    } catch (error) {
      const { output } = proc;
      await phone.close();
      throw new Error(`linphonec: ${String(error)}\n${output.slice(-3000)}`);
    }
    return phone;
  }

  /** One line; it reads one at a time, so nothing may follow `answer` or `terminate` at once. */
  type(line: string): void {
    this.proc.write(`${line}\n`);
  }

  get output(): string {
    return this.proc.output;
  }

  async says(what: RegExp, timeoutMs = 15_000): Promise<void> {
    await until(`linphonec says ${String(what)}`, () => what.test(this.proc.output), timeoutMs).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.proc.output.slice(-3000)}`);
    });
  }

  dial(number: string): void {
    this.type(`call sip:${number}@${this.options.server}`);
  }

  /** Records the next call. */
  record(): void {
    this.type(`record ${join(this.dir, 'heard.wav')}`);
  }

  async hears(hz: number, timeoutMs = 15_000): Promise<void> {
    await until(`linphonec hears ${hz} Hz`, () => {
      const file = readdirSync(this.dir).find((name) => name.startsWith('heard'));
      if (!file) return false;
      const sound = readWav(join(this.dir, file));
      const end = sound.samples.length / sound.rate;
      return end > 0.6 && toneShare(sound, hz, end - 0.5, end) > 0.8;
    }, timeoutMs);
  }

  async close(): Promise<void> {
    this.type('quit');
    await this.proc.stop('SIGTERM', 5_000);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
