// A phone in a network namespace of its own, behind a network that can be made bad.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { until } from './wait.js';

export type Faults = { loss?: number; delay?: number; jitter?: number; reorder?: number; duplicate?: number };
export type Way = { passed: number; lost: number; doubled: number; reordered: number };
/** up: to the PBX, down: from it. */
export type Counts = { up: Way; down: Way };

const sh = (...args: string[]): string =>
  execFileSync(args[0] as string, args.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Why namespaces cannot be had here; '' when they can. */
export const noNamespaces = ((): string => {
  if (process.getuid?.() !== 0) return 'network namespaces need root (CAP_NET_ADMIN)';
  const name = `aoide-probe-${process.pid}`;
  try {
    sh('ip', 'netns', 'add', name);
    sh('ip', 'netns', 'del', name);
    return '';
  } catch (error) {
    return `network namespaces cannot be made: ${String(error).split('\n')[0] ?? ''}`;
  }
})();

/**
 * The host (.1) and two other hosts, `phone` (.2) and `third` (.3), on one network. Faults come from
 * `tc netem` where the kernel has it, else from lib/badwire.py, which does the same to UDP.
 */
export class BadNetwork {
  readonly host: string;
  readonly phone: string;
  readonly third: string;
  readonly phoneNs: string;
  readonly thirdNs: string;
  private readonly middle: string;
  private readonly trunk: string;
  private wire: ChildProcess | undefined;
  private lines: string[] = [];
  how: 'netem' | 'badwire' = 'netem';

  private constructor(id: number) {
    const net = `10.213.${id}`;
    [this.host, this.phone, this.third] = [`${net}.1`, `${net}.2`, `${net}.3`];
    const base = `aoide-${process.pid}-${id}`;
    [this.phoneNs, this.thirdNs, this.middle] = [`${base}-p`, `${base}-t`, `${base}-m`];
    this.trunk = `ao${id}h${process.pid % 10_000}`;
  }

  static async open(): Promise<BadNetwork> {
    const network = new BadNetwork(1 + (process.pid % 250));
    try {
      network.build();
      network.connect();
    } catch (error) {
      await network.close();
      throw error;
    }
    return network;
  }

  private inNs(ns: string, ...args: string[]): string {
    return sh('ip', 'netns', 'exec', ns, ...args);
  }

  private build(): void {
    for (const ns of [this.middle, this.phoneNs, this.thirdNs]) {
      sh('ip', 'netns', 'add', ns);
      this.inNs(ns, 'ip', 'link', 'set', 'lo', 'up');
    }
    sh('ip', 'link', 'add', this.trunk, 'type', 'veth', 'peer', 'name', 'm1', 'netns', this.middle);
    sh('ip', 'addr', 'add', `${this.host}/24`, 'dev', this.trunk);
    sh('ip', 'link', 'set', this.trunk, 'up');
    for (const [ns, address, name] of [[this.phoneNs, this.phone, 'w0'], [this.thirdNs, this.third, 't0']] as const) {
      this.inNs(this.middle, 'ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', ns);
      this.inNs(ns, 'ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
      this.inNs(ns, 'ip', 'link', 'set', 'eth0', 'up');
      this.inNs(this.middle, 'ip', 'link', 'set', name, 'up');
    }
    this.inNs(this.middle, 'ip', 'link', 'set', 'm1', 'up');
  }

  private connect(): void {
    try {
      this.inNs(this.middle, 'tc', 'qdisc', 'add', 'dev', 'w0', 'root', 'netem', 'delay', '0ms');
      this.inNs(this.middle, 'tc', 'qdisc', 'del', 'dev', 'w0', 'root');
      this.inNs(this.middle, 'ip', 'link', 'add', 'br0', 'type', 'bridge');
      for (const name of ['m1', 'w0', 't0']) this.inNs(this.middle, 'ip', 'link', 'set', name, 'master', 'br0');
      this.inNs(this.middle, 'ip', 'link', 'set', 'br0', 'up');
    } catch {
      this.how = 'badwire';
      const script = fileURLToPath(new URL('./badwire.py', import.meta.url));
      this.wire = spawn('ip', ['netns', 'exec', this.middle, 'python3', script, 'm1', 'w0', 't0'],
        { stdio: ['pipe', 'pipe', 'inherit'] });
      let text = '';
      this.wire.stdout?.on('data', (data: Buffer) => {
        text += data.toString();
        const parts = text.split('\n');
        text = parts.pop() ?? '';
        this.lines.push(...parts);
      });
    }
  }

  /** From now on; undefined: a good network again. Resolves with what was done before. */
  async impair(faults: Faults = {}): Promise<Counts> {
    if (this.wire) {
      const before = this.lines.length;
      this.wire.stdin?.write(`${JSON.stringify(faults)}\n`);
      return JSON.parse(await until('the wire answers', () => this.lines[before])) as Counts;
    }
    const counts = { up: this.readNetem('m1'), down: this.readNetem('w0') };
    for (const name of ['m1', 'w0']) {
      try {
        this.inNs(this.middle, 'tc', 'qdisc', 'del', 'dev', name, 'root');
      } catch {
        // there was none
      }
      const words = [
        ...(faults.delay ? ['delay', `${faults.delay}ms`, ...(faults.jitter ? [`${faults.jitter}ms`] : [])] : []),
        ...(faults.loss ? ['loss', `${faults.loss}%`] : []),
        ...(faults.duplicate ? ['duplicate', `${faults.duplicate}%`] : []),
        ...(faults.reorder ? ['reorder', `${faults.reorder}%`] : []),
      ];
      if (words.length) this.inNs(this.middle, 'tc', 'qdisc', 'add', 'dev', name, 'root', 'netem', ...words);
    }
    return counts;
  }

  private readNetem(name: string): Way {
    const text = this.inNs(this.middle, 'tc', '-s', 'qdisc', 'show', 'dev', name);
    const found = /netem[\s\S]*?Sent \d+ bytes (\d+) pkt \(dropped (\d+)/.exec(text);
    return { passed: Number(found?.[1] ?? 0), lost: Number(found?.[2] ?? 0), doubled: 0, reordered: 0 };
  }

  async close(): Promise<void> {
    this.wire?.stdin?.end();
    this.wire?.kill();
    for (const args of [['link', 'del', this.trunk], ['netns', 'del', this.phoneNs], ['netns', 'del', this.thirdNs],
      ['netns', 'del', this.middle]]) {
      try {
        sh('ip', ...args);
      } catch {
        // it was not made
      }
    }
    await Promise.resolve();
  }
}
