// Call set-up through the whole product: digest or registered source, snapshot, RTP ports, CDR. CPU of switch and media
// together, per call, at rising rates; memory per established call. Several sipp processes share the load.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sha = (text) => createHash('sha256').update(text);

function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  child.text = '';
  child.stdout.on('data', (data) => { child.text = (child.text + data).slice(-20000); });
  child.stderr.on('data', (data) => { child.text = (child.text + data).slice(-20000); });
  child.ended = new Promise((resolve) => child.once('close', resolve));
  children.add(child);
  void child.ended.then(() => children.delete(child));
  return child;
}
const children = new Set();
process.once('exit', () => children.forEach((child) => child.kill('SIGKILL')));

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

export class BenchPbx {
  static async start(binary, extra = []) {
    const pbx = new BenchPbx();
    pbx.dir = mkdtempSync(join(tmpdir(), 'aoide-bench-'));
    const sip = 23000 + Math.floor(Math.random() * 4000);
    pbx.proc = start(binary, ['run', '--demo', '--data', pbx.dir, '--listen', '127.0.0.1', '--sip-port', String(sip),
      '--https-port', String(sip + 2), '--http-port', String(sip + 3), '--wss-port', '0', '--rtp-ports', '30000-59999',
      ...extra]);
    for (let i = 0; !existsSync(join(pbx.dir, 'demo.json')); i++) {
      if (i > 600) throw new Error(`the PBX does not start\n${pbx.proc.text}`);
      await sleep(50);
    }
    pbx.facts = JSON.parse(readFileSync(join(pbx.dir, 'demo.json'), 'utf8'));
    pbx.base = pbx.facts.https.replace(/\/$/, '');
    return pbx;
  }

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

  child(name) {
    for (const entry of readdirSync('/proc')) {
      try {
        const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        if (parent === this.proc.pid && readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')[1] === name) return Number(entry);
      } catch { /* not a process any more */ }
    }
    throw new Error(`no process ${name}`);
  }

  cpu(name) {
    const stat = readFileSync(`/proc/${this.child(name)}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  rssKb(name) {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.child(name)}/status`, 'utf8'))[1]);
  }

  async stop() {
    this.proc.kill('SIGTERM');
    await this.proc.ended;
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function fieldsFile(pbx, from, to, name) {
  const account = pbx.facts.accounts.find((a) => a.extension === from);
  const path = join(pbx.dir, name);
  writeFileSync(path, `SEQUENTIAL\n${account.username};[authentication username=${account.username} password=${account.secret}];${to}\n`);
  return path;
}

function sipp(pbx, args) {
  return start('sipp', ['-i', '127.0.0.1', '-nostdin', '-nd', ...args], { cwd: pbx.dir });
}

/** sipp's periodic statistics: created, successful and failed calls of one process. */
function outcome(path) {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  const names = lines[0].split(';');
  const last = lines[lines.length - 1].split(';');
  const get = (name) => Number(last[names.indexOf(name)]);
  return { ok: get('SuccessfulCall(C)'), failed: get('FailedCall(C)') };
}

async function register(pbx, extension, port) {
  const proc = sipp(pbx, [pbx.facts.sip.udp, '-sf', join(here, 'sipp/register.xml'), '-p', String(port),
    '-inf', fieldsFile(pbx, extension, extension, `reg${extension}.csv`), '-m', '1']);
  if (await proc.ended) throw new Error(`registration of ${extension} failed\n${proc.text}`);
}

let nextPort = 27500;

/** Offers `rate` calls/s for `seconds`, over several pairs of sipp processes. */
export async function offer(pbx, scenario, rate, seconds, talkMs = 2000) {
  const pairs = Math.max(2, Math.ceil(rate / 400));
  const callers = ['101', '103', '105', '101'];
  const servers = [];
  const clients = [];
  const ports = [];
  for (let i = 0; i < 2; i++) {
    const port = (nextPort += 2);
    await register(pbx, ['102', '104'][i], port);
    servers.push(sipp(pbx, ['-sf', join(here, 'sipp/uas.xml'), '-p', String(port), '-l', '100000']));
  }
  for (let i = 0; i < pairs; i++) {
    ports.push((nextPort += 2));
    if (scenario === 'uac_registered.xml') await register(pbx, callers[i % 3], ports[i]);
  }
  await sleep(500);
  const cpu = () => ({ switch: pbx.cpu('switch'), media: pbx.cpu('media') });
  const before = cpu();
  for (let i = 0; i < pairs; i++) {
    const share = Math.round(rate / pairs);
    clients.push(sipp(pbx, [pbx.facts.sip.udp, '-sf', join(here, 'sipp', scenario), '-p', String(ports[i]),
      '-inf', fieldsFile(pbx, callers[i % 3], ['102', '104'][i % 2], `uac${i}.csv`), '-d', String(talkMs),
      '-r', String(share), '-m', String(share * seconds), '-l', '100000', '-trace_stat', '-stf', join(pbx.dir, `stat${ports[i]}.csv`),
      '-fd', '1', '-timeout', String(seconds + Math.ceil(talkMs / 1000) + 40)]));
  }
  let memory;
  if (talkMs > 5000) {
    await sleep(seconds * 1000 + 2500);
    memory = { switch_kb: pbx.rssKb('switch'), media_kb: pbx.rssKb('media') };
  }
  for (const client of clients) await client.ended;
  await sleep(500);
  const after = cpu();
  servers.forEach((server) => server.kill('SIGKILL'));
  await Promise.all(servers.map((server) => server.ended));
  const total = ports.map((port) => outcome(join(pbx.dir, `stat${port}.csv`)))
    .reduce((sum, one) => ({ ok: sum.ok + one.ok, failed: sum.failed + one.failed }), { ok: 0, failed: 0 });
  const calls = total.ok + total.failed;
  return {
    rate, seconds, ...total,
    switch_ms_per_call: ((after.switch - before.switch) * 1000) / calls,
    media_ms_per_call: ((after.media - before.media) * 1000) / calls,
    ms_per_call: ((after.switch - before.switch + after.media - before.media) * 1000) / calls,
    ...(memory ? { memory } : {}),
  };
}

export async function run(binary, rates = [200, 500, 1000, 1500], seconds = 10) {
  const pbx = await BenchPbx.start(binary, ['--log-level', 'warn']);
  try {
    if (process.env.HACK) { const { execSync } = await import('node:child_process'); for (const t of ['account_template', 'account_template_applied']) execSync(`sqlite3 ${pbx.dir}/aoide.db 'UPDATE ${t} SET registration_check=0'`); console.error(execSync(`${binary} ctl --data ${pbx.dir} apply`).toString()); } else {
    const accounts = await pbx.rest('GET', '/rest/account');
    // Calls of many sipp processes share a few accounts, from ports that did not register.
    for (const account of accounts) {
      await pbx.rest('PATCH', `/api/pbx/v2/account/${account.id}?apply=false`, { registration_check: false });
    }
    await pbx.rest('POST', '/api/pbx/v2/configuration/apply', {});
    }
    const digest = [];
    for (const rate of rates) digest.push(await offer(pbx, 'uac.xml', rate, seconds));
    const idle = { switch_kb: pbx.rssKb('switch'), media_kb: pbx.rssKb('media') };
    const held = await offer(pbx, 'uac.xml', 200, 10, 20000);
    const count = held.rate * held.seconds;
    return {
      digest,
      memory: {
        calls: count, failed: held.failed,
        kb_per_call: (held.memory.switch_kb + held.memory.media_kb - idle.switch_kb - idle.media_kb) / count,
        switch_kb_per_call: (held.memory.switch_kb - idle.switch_kb) / count,
      },
    };
  } finally {
    await pbx.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const rates = process.argv[3] ? process.argv[3].split(',').map(Number) : undefined;
  console.log(JSON.stringify(await run(process.argv[2] ?? 'build/release/aoide', rates), null, 1));
}
