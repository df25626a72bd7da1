import { mkdtempSync, readFileSync, rmSync, writeFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePorts } from './ports.js';
import { Proc } from './proc.js';

const scenarios = resolve(fileURLToPath(import.meta.url), '../../../sipp');

export type SippOptions = {
  /** A file name under tests/sipp, or the scenario itself (starts with "<"). */
  scenario: string;
  /** host:port to call; none for a server. */
  target?: string;
  calls?: number;
  rate?: number;
  /** Values for [field0], [field1]... one line per call. */
  fields?: string[];
  args?: string[];
  port?: number;
  transport?: 'u1' | 't1' | 'l1' | 'tn';
};

/** sipp with one scenario; the exit code says whether every call went as written. */
export class Sipp {
  private constructor(
    readonly port: number,
    readonly dir: string,
    readonly proc: Proc,
  ) {}

  static async start(options: SippOptions): Promise<Sipp> {
    const dir = mkdtempSync(join(tmpdir(), 'sipp-'));
    const port = options.port ?? (await freePorts(1));
    let file = join(scenarios, options.scenario);
    if (options.scenario.trimStart().startsWith('<')) {
      file = join(dir, 'scenario.xml');
      writeFileSync(file, options.scenario);
    }
    const args = [
      ...(options.target ? [options.target] : []),
      '-sf', file, '-i', '127.0.0.1', '-p', String(port), '-nostdin', '-trace_err',
      '-m', String(options.calls ?? 1), '-r', String(options.rate ?? 10),
      '-timeout', '60s', '-timeout_error', '-t', options.transport ?? 'u1',
    ];
    if (options.fields) {
      writeFileSync(join(dir, 'fields.csv'), `SEQUENTIAL\n${options.fields.join('\n')}\n`);
      args.push('-inf', join(dir, 'fields.csv'));
    }
    args.push(...(options.args ?? []));
    return new Sipp(port, dir, new Proc('sipp', 'sipp', args, { cwd: dir }));
  }

  /** Resolves when every call succeeded; rejects with sipp's error log. */
  async success(timeoutMs = 60_000): Promise<void> {
    const code = await this.proc.wait(timeoutMs);
    const errors = readdirSync(this.dir)
      .filter((name) => name.endsWith('_errors.log'))
      .map((name) => readFileSync(join(this.dir, name), 'utf8'))
      .join('\n');
    rmSync(this.dir, { recursive: true, force: true });
    if (code !== 0) throw new Error(`sipp exit ${code}\n${errors.slice(0, 4000)}\n${this.proc.output.slice(-1500)}`);
  }

  async stop(): Promise<void> {
    await this.proc.stop('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }
}
