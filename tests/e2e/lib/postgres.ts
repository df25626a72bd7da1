// A PostgreSQL server of the test's own, from Debian's package, in a temporary folder.
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Proc, run } from './proc.js';
import { until } from './wait.js';

function programs(): string {
  const named = process.env['AOIDE_PG_BIN'];
  if (named) return named;
  const base = '/usr/lib/postgresql';
  const version = existsSync(base) ? readdirSync(base).sort((a, b) => Number(a) - Number(b)).pop() : undefined;
  if (!version) throw new Error('PostgreSQL is missing: install the package postgresql');
  return join(base, version, 'bin');
}

export class Postgres {
  private constructor(
    private readonly dir: string,
    private readonly bin: string,
    private readonly proc: Proc,
  ) {}

  static async start(): Promise<Postgres> {
    const bin = programs();
    const dir = mkdtempSync(join(tmpdir(), 'aoide-pg-'));
    const user: { uid?: number; gid?: number } = {};
    if (process.getuid?.() === 0) { // the server refuses to run as root
      user.uid = Number((await run('id', ['-u', 'postgres'])).output);
      user.gid = Number((await run('id', ['-g', 'postgres'])).output);
      chownSync(dir, user.uid, user.gid);
    }
    const data = join(dir, 'data');
    const made = await run(join(bin, 'initdb'), ['-D', data, '-U', 'aoide', '-A', 'trust', '-E', 'UTF8', '--no-locale',
      '--no-sync', '--no-instructions'], { ...user, cwd: '/' });
    if (made.code !== 0) throw new Error(`initdb: ${made.output}`);
    const proc = new Proc('postgres', join(bin, 'postgres'),
      ['-D', data, '-k', dir, '-c', 'listen_addresses=', '-c', 'fsync=off'], { ...user, cwd: '/' });
    const server = new Postgres(dir, bin, proc);
    await until('PostgreSQL answers', async () => (await server.sql('SELECT 1', 'postgres')).trim() === '1');
    await server.sql('CREATE DATABASE aoide', 'postgres');
    return server;
  }

  get url(): string {
    return `postgresql:///aoide?host=${this.dir}&user=aoide`;
  }

  /** What psql prints: a line a row, columns separated by |. */
  async sql(text: string, database = 'aoide'): Promise<string> {
    const { code, output } = await run(join(this.bin, 'psql'), ['-h', this.dir, '-U', 'aoide', '-d', database, '-Atqc', text]);
    if (code !== 0) throw new Error(output);
    return output;
  }

  async stop(): Promise<void> {
    await this.proc.stop('SIGINT', 10_000);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
