import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePorts, rtpRange } from './ports.js';
import { Proc, run } from './proc.js';
import { RestClient } from './rest.js';
import { until } from './wait.js';

const root = resolve(fileURLToPath(import.meta.url), '../../../..');

/** The program under test: AOIDE_BIN, else the first build that exists, the one with sanitizers before others. */
export const aoideBinary = ((): string => {
  const named = process.env['AOIDE_BIN'];
  if (named) return resolve(named);
  for (const build of ['build/test', 'build/dev', 'build/release']) {
    const path = join(root, build, 'aoide');
    if (existsSync(path)) return path;
  }
  throw new Error('no aoide binary: build it, or set AOIDE_BIN');
})();

export type Account = { extension: string; username: string; secret: string };

export type DemoFacts = {
  https: string;
  http?: string;
  sip: { udp: string; tcp: string; tls: string; ws?: string; wss?: string };
  admin: { username: string; domain: string; password: string };
  accounts: Account[];
};

/** How a report of the address, leak or undefined-behaviour sanitizer begins. */
const SANITIZER = /ERROR: (?:Address|Leak)Sanitizer|runtime error:/;

type Status = { switch?: { calls: number; journal?: { posted: number; acked: number; applied: number } } };

/** One running PBX with the demo tenant, on ports and in a folder of its own. */
export class Pbx {
  /** The first sanitizer report of a process of this PBX; it fails the file, even when a second try of the test passed. */
  private report = '';

  private constructor(
    readonly dataDir: string,
    private proc: Proc,
    private readonly args: string[],
    readonly facts: DemoFacts,
    readonly rest: RestClient,
  ) {
    this.watch(proc);
  }

  private watch(proc: Proc): void {
    const look = (text: string): void => {
      const begins = this.report ? 0 : text.search(SANITIZER);
      if (begins >= 0 && this.report.length < 4000) this.report += text.slice(begins);
    };
    look(proc.output);
    proc.onOutput(look);
  }

  static async start(extraArgs: string[] = [], host = '127.0.0.1'): Promise<Pbx> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await Pbx.startOnFreePorts(extraArgs, host);
      } catch (error) {
        // Between the look for free ports and the start another program took one: others are free.
        if (attempt === 5 || !String(error).includes('Address already in use')) throw error;
      }
    }
  }

  private static async startOnFreePorts(extraArgs: string[], host: string): Promise<Pbx> {
    const dataDir = mkdtempSync(join(tmpdir(), 'aoide-e2e-'));
    const sip = await freePorts(6);
    const rtp = await rtpRange();
    const args = [
      'run', '--demo', '--data', dataDir, '--listen', host,
      '--sip-port', String(sip), '--https-port', String(sip + 2), '--http-port', String(sip + 3),
      '--ws-port', String(sip + 4), '--wss-port', String(sip + 5),
      '--rtp-ports', `${rtp[0]}-${rtp[1]}`,
      ...extraArgs,
    ];
    const proc = new Proc('aoide', aoideBinary, args);
    const facts = await Pbx.waitReady(proc, dataDir);
    const rest = new RestClient(facts.https.replace(/\/$/, ''), facts.admin);
    return new Pbx(dataDir, proc, args, facts, rest);
  }

  private static async waitReady(proc: Proc, dataDir: string): Promise<DemoFacts> {
    const path = join(dataDir, 'demo.json');
    try {
      const facts = await until(
        'demo.json',
        () => !proc.isRunning || (existsSync(path) && (JSON.parse(readFileSync(path, 'utf8')) as DemoFacts)),
        60_000,
      );
      if (facts === true) throw new Error('aoide has ended');
      return facts;
    } catch (error) {
      await proc.stop();
      rmSync(dataDir, { recursive: true, force: true });
      throw new Error(`aoide did not become ready: ${String(error)}\n${proc.output.slice(-6000)}`);
    }
  }

  account(extension: string): Account {
    const account = this.facts.accounts.find((a) => a.extension === extension);
    if (!account) throw new Error(`no demo account for ${extension}`);
    return account;
  }

  get output(): string {
    return this.proc.output;
  }

  /** Process id of a child of the supervisor by its subcommand ("switch", "media", "web", "jobs"). */
  childPid(name: string): number | undefined {
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        const argv = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
        if (parent === this.proc.pid && argv[1] === name) return Number(entry);
      } catch {
        // ended meanwhile
      }
    }
    return undefined;
  }

  get pid(): number {
    return this.proc.pid;
  }

  /** Ends the product as a service manager would; the data stay. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    await this.proc.stop(signal, 15_000);
    return this.proc.exitCode ?? null;
  }

  /** kill -9 of one child; resolves when the supervisor has a new one in its place. */
  async killChild(name: string): Promise<void> {
    const old = this.childPid(name);
    if (!old) throw new Error(`no child ${name}`);
    process.kill(old, 'SIGKILL');
    await until(`a new ${name}`, () => {
      const now = this.childPid(name);
      return now !== undefined && now !== old;
    });
  }

  async ctl(...args: string[]): Promise<string> {
    const { code, output } = await run(aoideBinary, ['ctl', '--data', this.dataDir, ...args]);
    if (code !== 0) throw new Error(`aoide ctl ${args.join(' ')}: exit ${code}\n${output}`);
    return output;
  }

  async ctlJson<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.ctl('--json', ...args)) as T;
  }

  /** Writes over the REST API, then applies: the switch has it in force afterwards. */
  async configure(changes: { method?: string; path: string; body?: unknown }[]): Promise<void> {
    for (const change of changes) {
      await this.rest.ok(change.method ?? 'PATCH', `${change.path}?apply=false`, change.body);
    }
    await this.rest.ok('POST', '/api/pbx/v2/configuration/apply', {});
    // Settings of the machine are applied on their own.
    if (changes.some((change) => change.path.endsWith('sipSettings'))) {
      await this.rest.ok('POST', '/api/pbx/v2/configuration/apply?level=node', {});
    }
  }

  /** Id of an object by one of its fields: idOf('extension', 'number', '101'). */
  async idOf(entity: string, field: string, value: string): Promise<number> {
    const reply = await this.rest.ok('GET', `/api/pbx/v2/${entity}?${field}=${encodeURIComponent(value)}`);
    const first = (reply.json as { items: { id: number }[] }).items[0];
    if (!first) throw new Error(`no ${entity} with ${field} ${value}`);
    return first.id;
  }

  /** No call is left, and what the switch has to tell the database is in it. */
  async settled(timeoutMs = 15_000): Promise<void> {
    let posted = -1;
    await until('no call is left and every CDR is in the database', async () => {
      const { switch: now } = await this.ctlJson<Status>('status');
      if (!now?.journal || now.calls > 0 || now.journal.applied < now.journal.acked) return false;
      const same = now.journal.posted === posted; // what is posted while we look is not acknowledged yet
      posted = now.journal.posted;
      return same;
    }, timeoutMs);
  }

  /** All CDRs of this month with their details, newest first, when the calls are over and written. */
  async cdrs(atLeast: number): Promise<Record<string, unknown>[]> {
    await this.settled();
    const reply = await this.rest.ok('GET', '/rest/cdr/detailed');
    const rows = reply.json as Record<string, unknown>[];
    if (rows.length < atLeast) throw new Error(`${rows.length} CDRs, expected ${atLeast}\n${this.output.slice(-2000)}`);
    return rows;
  }

  /** Graceful stop; a sanitizer report fails the test. */
  async stop(): Promise<void> {
    await this.proc.stop('SIGTERM', 15_000);
    rmSync(this.dataDir, { recursive: true, force: true });
    if (this.report) throw new Error(`sanitizer report:\n${this.report}`);
  }

  /** Ends the whole product and starts it again on the same data and ports. */
  async restart(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.proc.stop(signal, 15_000);
    this.proc = new Proc('aoide', aoideBinary, this.args);
    this.watch(this.proc);
    await until(
      'web server and switch after a restart',
      async () => {
        const reply = await this.rest.call('GET', '/api/pbx/v2/state/registration');
        return reply.status === 200;
      },
      60_000,
    );
  }
}
