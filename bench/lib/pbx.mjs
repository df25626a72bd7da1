// A PBX of its own in a temporary folder, driven over the REST API, and what its processes use.
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const KEPT_OUTPUT = 40000;
const TICKS_PER_S = 100; // of /proc/PID/stat, on every Linux of today

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sha = (text) => createHash('sha256').update(text);

const children = new Set();
process.once('exit', () => children.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/** A process whose output is kept (out: stdout alone, text: both) and whose end is `ended`, its status. */
export function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  child.text = '';
  child.out = '';
  child.stdout.on('data', (data) => {
    child.out = (child.out + data).slice(-KEPT_OUTPUT);
    child.text = (child.text + data).slice(-KEPT_OUTPUT);
  });
  child.stderr.on('data', (data) => { child.text = (child.text + data).slice(-KEPT_OUTPUT); });
  child.ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  child.ended.catch(() => undefined); // who waits for it hears of it
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

/** Runs a program that prints one JSON object. `ok` lists the statuses with which it still measured something. */
export async function runJson(command, args = [], { timeoutMs = 180_000, ok = [0] } = {}) {
  const child = start(command, args);
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const status = await child.ended;
  clearTimeout(timer);
  if (!ok.includes(status)) throw new Error(`${command} ended with ${status}: ${child.text.slice(-1500)}`);
  return JSON.parse(child.out);
}

/** A UDP port of 127.0.0.1 that nobody has; the kernel does not give it again soon. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

function send(base, method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const req = request(base + path, { method, headers, rejectUnauthorized: false }, (res) => {
      let text = '';
      res.on('data', (data) => { text += data; });
      res.on('end', () => {
        if (res.statusCode >= 300) reject(new Error(`${method} ${path}: ${res.statusCode} ${text}`));
        else resolve(text ? JSON.parse(text) : null);
      });
    });
    req.on('error', reject);
    req.end(body);
  });
}

/** Seconds of CPU that a process and all its threads have used. */
export function cpuOf(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

export class BenchPbx {
  static async start(build, extra = []) {
    const pbx = new BenchPbx();
    pbx.build = build;
    pbx.dir = mkdtempSync(join(tmpdir(), 'aoide-bench-'));
    pbx.extra = extra;
    pbx.port = 3000 + 8 * Math.floor(Math.random() * 480); // below the RTP ports, and none that the kernel gives to others
    await pbx.launch();
    return pbx;
  }

  async launch() {
    const facts = join(this.dir, 'demo.json');
    rmSync(facts, { force: true });
    this.proc = start(join(this.build, 'aoide'), ['run', '--demo', '--data', this.dir, '--listen', '127.0.0.1',
      '--sip-port', String(this.port), '--https-port', String(this.port + 2), '--http-port', String(this.port + 3),
      '--wss-port', '0', '--rtp-ports', '7000-31999', '--log-level', 'warn', ...this.extra]);
    for (let i = 0; !existsSync(facts); i++) {
      if (i > 1200 || this.proc.exitCode !== null) throw new Error(`the PBX does not start\n${this.proc.text}`);
      await sleep(50);
    }
    this.facts = JSON.parse(readFileSync(facts, 'utf8'));
    this.base = this.facts.https.replace(/\/$/, '');
    this.pids = undefined;
  }

  /** X-authenticate as in docs/api.md. */
  async rest(method, path, body) {
    const { username, domain, password } = this.facts.admin;
    this.salt ??= (await send(this.base, 'GET', `/rest/salt/${domain}`, { Accept: 'application/json' })).salt;
    const nonce = randomBytes(16).toString('hex');
    const created = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const secret = sha(`${password}{${this.salt}}`).digest('hex');
    const digest = sha(nonce + secret + username + domain + created).digest('base64');
    return send(this.base, method, path, {
      Accept: 'application/json', 'Content-Type': 'application/json',
      'X-authenticate': `RestApiUsernameToken Username="${username}", Domain="${domain}", Digest="${digest}", Nonce="${nonce}", Created="${created}"`,
    }, body === undefined ? undefined : JSON.stringify(body));
  }

  async apply() {
    const before = performance.now();
    await this.rest('POST', '/api/pbx/v2/configuration/apply', {});
    return performance.now() - before;
  }

  /** Makes `count` extensions with one account each; names from `prefix`. Saved, not applied. */
  async makeAccounts(prefix, first, count, more = {}) {
    const made = [];
    for (let i = 0; i < count; i++) {
      const number = String(first + i);
      const account = { username: `${prefix}${number}`, secret: `Bench-${randomBytes(6).toString('hex')}1`, extension: number };
      const extension = await this.rest('POST', '/api/pbx/v2/extension?apply=false', { number, first_name: 'Bench', last_name: number });
      const id = extension?.id ?? extension;
      await this.rest('POST', '/api/pbx/v2/account?apply=false', { username: account.username, password: account.secret, extension: id, ...more });
      made.push(account);
    }
    return made;
  }

  pid(name) {
    this.pids ??= {};
    if (!this.pids[name]) {
      for (const entry of readdirSync('/proc')) {
        try {
          const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
          const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
          if (parent === this.proc.pid && readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')[1] === name) this.pids[name] = Number(entry);
        } catch { /* not a process any more */ }
      }
    }
    if (!this.pids[name]) throw new Error(`no process ${name}`);
    return this.pids[name];
  }

  cpuS(name) {
    return cpuOf(this.pid(name));
  }

  rssKb(name) {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid(name)}/status`, 'utf8'))[1]);
  }

  async halt() {
    this.proc.kill('SIGTERM');
    await this.proc.ended;
  }

  async stop() {
    await this.halt();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
