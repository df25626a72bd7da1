// Call set-up through the whole product: who is calling (digest, or the place of a registration), snapshot, RTP ports,
// CDR. CPU of switch and media together, per call, at rising rates; memory per established call. The phones are sipp
// processes, which share the load: one alone would be the limit.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BenchPbx, cpuOf, freePort, sleep, start } from './lib/pbx.mjs';

const scenarios = join(dirname(fileURLToPath(import.meta.url)), 'sipp');
const CALLERS = 8;
const SERVERS = 4;
const CALLS_PER_CLIENT = 300; // a second
const TALK_MS = 2000;
const SOCKET_BUFFER = 4 << 20;
/** After the last talk: some repetitions (RFC 3261 section 17.1.1.2). Who is not through by then has failed. */
const LEFT_MS = 10_000;

function sipp(pbx, args) {
  return start('sipp', ['-i', '127.0.0.1', '-nostdin', '-nd', '-buff_size', String(SOCKET_BUFFER), ...args], { cwd: pbx.dir });
}

function fieldsFile(pbx, account, to) {
  const path = join(pbx.dir, `${account.username}.csv`);
  writeFileSync(path, `SEQUENTIAL\n${account.username};[authentication username=${account.username} password=${account.secret}];${to}\n`);
  return path;
}

async function register(pbx, account, port) {
  const proc = sipp(pbx, [pbx.facts.sip.udp, '-sf', join(scenarios, 'register.xml'), '-p', String(port),
    '-inf', fieldsFile(pbx, account, account.extension), '-m', '1', '-timeout', '20']);
  if (await proc.ended) throw new Error(`registration of ${account.username} failed\n${proc.text.slice(-1500)}`);
}

/** sipp's statistics of one process: what became of its calls, and for what reasons some failed. */
function outcome(path) {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  const names = lines[0].split(';');
  const last = lines[lines.length - 1].split(';');
  const get = (name) => Number(last[names.indexOf(name)]) || 0;
  const reasons = {};
  for (const name of names) {
    if (/^Failed\w+\(C\)$/.test(name) && name !== 'FailedCall(C)' && get(name)) reasons[name.replace('(C)', '')] = get(name);
  }
  return { ok: get('SuccessfulCall(C)'), failed: get('FailedCall(C)'), repeated: get('Retransmissions(C)'), reasons };
}

function sum(outcomes) {
  const total = { ok: 0, failed: 0, repeated: 0, reasons: {} };
  for (const one of outcomes) {
    for (const key of ['ok', 'failed', 'repeated']) total[key] += one[key];
    for (const [name, n] of Object.entries(one.reasons)) total.reasons[name] = (total.reasons[name] ?? 0) + n;
  }
  return total;
}

/** The phones: accounts that call and, registered and answering, accounts that are called. */
async function phones(pbx) {
  const callers = await pbx.makeAccounts('caller', 3000, CALLERS);
  const called = await pbx.makeAccounts('called', 4000, SERVERS);
  await pbx.apply();
  for (const account of callers) {
    account.port = await freePort();
    await register(pbx, account, account.port);
  }
  for (const account of called) {
    account.port = await freePort();
    await register(pbx, account, account.port);
  }
  return { callers, called };
}

/** Offers `rate` calls/s for `seconds`. */
async function offer(pbx, { callers, called }, scenario, rate, seconds, talkMs = TALK_MS) {
  const n = Math.min(CALLERS, Math.max(2, Math.ceil(rate / CALLS_PER_CLIENT)));
  const share = Math.round(rate / n);
  const offered = share * seconds * n;
  const servers = called.slice(0, Math.min(SERVERS, Math.max(2, n))).map((account) =>
    sipp(pbx, ['-sf', join(scenarios, 'uas.xml'), '-p', String(account.port), '-l', '100000']));
  await sleep(500);
  const cpu = () => ({ switch: pbx.cpuS('switch'), media: pbx.cpuS('media'), at: performance.now() });
  const rss = () => ({ switch: pbx.rssKb('switch'), media: pbx.rssKb('media') });
  const before = cpu();
  const rssBefore = rss();
  const stats = callers.slice(0, n).map((account) => join(pbx.dir, `stat-${account.username}-${Date.now()}.csv`));
  const clients = callers.slice(0, n).map((account, i) =>
    sipp(pbx, [pbx.facts.sip.udp, '-sf', join(scenarios, scenario), '-p', String(account.port),
      '-inf', fieldsFile(pbx, account, called[i % servers.length].extension), '-d', String(talkMs), '-r', String(share),
      '-m', String(share * seconds), '-l', '100000', '-trace_stat', '-stf', stats[i], '-fd', '1',
      '-timeout', String(Math.ceil((seconds * 1000 + talkMs + LEFT_MS) / 1000))]));
  let memory;
  if (talkMs > seconds * 1000) {
    await sleep(seconds * 1000 + 2000);
    const held = rss();
    memory = { switch_kb: (held.switch - rssBefore.switch) / offered, media_kb: (held.media - rssBefore.media) / offered };
  }
  await Promise.all(clients.map((client) => client.ended));
  await sleep(300);
  const after = cpu();
  servers.forEach((server) => server.kill('SIGKILL'));
  await Promise.all(servers.map((server) => server.ended));
  const total = sum(stats.map(outcome));
  const failed = offered - total.ok; // also those that sipp was still busy with
  const perCall = (name) => ((after[name] - before[name]) * 1000) / offered;
  return {
    rate, seconds, offered, ...total, failed, clients: n, servers: servers.length,
    switch_ms: perCall('switch'), media_ms: perCall('media'), ms_per_call: perCall('switch') + perCall('media'),
    ...(memory ? { memory } : {}),
  };
}

/** CPU per call at each rate, with digest or, after a change of the SIP settings, from the place of a registration. */
export async function callRates(build, how, rates, seconds, row_h = () => undefined) {
  const pbx = await BenchPbx.start(build);
  try {
    if (how === 'registered') await pbx.rest('PATCH', '/api/pbx/v2/sipSettings', { invite_auth: 'registered_source' });
    const all = await phones(pbx);
    const rows = [];
    for (const rate of rates) {
      rows.push(await offer(pbx, all, how === 'registered' ? 'uac_registered.xml' : 'uac.xml', rate, seconds));
      row_h(rows[rows.length - 1]);
    }
    return rows;
  } finally {
    await pbx.stop();
  }
}

/** What the kernel alone costs: the same calls through a program that only hands their messages on (floor_b2bua.c). */
export async function floorRates(build, rates, seconds) {
  const dir = mkdtempSync(join(tmpdir(), 'aoide-bench-'));
  const account = async (prefix, number) => ({ username: `${prefix}${number}`, secret: 'none', extension: String(number), port: await freePort() });
  const all = { callers: [], called: [] };
  for (let i = 0; i < CALLERS; i++) all.callers.push(await account('caller', 3000 + i));
  for (let i = 0; i < SERVERS; i++) all.called.push(await account('called', 4000 + i));
  const port = await freePort();
  const floor = start(join(build, 'bench/floor_b2bua'), [String(port), ...all.called.map((one) => `${one.extension}=${one.port}`)]);
  const place = { dir, facts: { sip: { udp: `127.0.0.1:${port}` } }, rssKb: () => 0,
    cpuS: (name) => (name === 'switch' ? cpuOf(floor.pid) : 0) };
  try {
    const rows = [];
    for (const rate of rates) rows.push(await offer(place, all, 'uac_registered.xml', rate, seconds));
    return rows;
  } finally {
    floor.kill('SIGKILL');
    await floor.ended;
    rmSync(dir, { recursive: true, force: true });
  }
}

/**
 * Resident memory per call, of a PBX that has had few calls so far: what earlier calls left behind would hide what these
 * need.
 */
export async function callMemory(build, calls = 2000) {
  const pbx = await BenchPbx.start(build);
  try {
    const all = await phones(pbx);
    await offer(pbx, all, 'uac.xml', 50, 2, 500);
    const held = await offer(pbx, all, 'uac.xml', 200, calls / 200, calls / 200 * 1000 + 8000);
    return { calls: held.offered, failed: held.failed, ...held.memory, kb_per_call: held.memory.switch_kb + held.memory.media_kb };
  } finally {
    await pbx.stop();
  }
}

/** What the dialogs alone cost: bench_inv joins two legs without accounts, media and CDR. */
export async function dialogCost(build, rate = 500, seconds = 6) {
  const dir = mkdtempSync(join(tmpdir(), 'aoide-bench-'));
  const [port, callerPort, calledPort] = [await freePort(), await freePort(), await freePort()];
  const place = { dir };
  const middle = start(join(build, 'bench/bench_inv'), [String(port), String(calledPort)]);
  const server = sipp(place, ['-sf', join(scenarios, 'uas.xml'), '-p', String(calledPort), '-l', '100000']);
  try {
    await sleep(500);
    const account = { username: 'bench', secret: 'none' };
    const client = sipp(place, [`127.0.0.1:${port}`, '-sf', join(scenarios, 'uac_registered.xml'), '-p', String(callerPort),
      '-inf', fieldsFile(place, account, 'bench'), '-d', '1000', '-r', String(rate), '-m', String(rate * seconds), '-l', '100000',
      '-timeout', String(seconds + 40)]);
    const status = await client.ended;
    middle.kill('SIGINT');
    if (await middle.ended) throw new Error(middle.text);
    const words = middle.out.trim().split(/\s+/);
    const result = Object.fromEntries(words.flatMap((word, i) => (i % 2 ? [] : [[word, Number(words[i + 1])]])));
    return { rate, seconds, sipp_status: status, ...result };
  } finally {
    server.kill('SIGKILL');
    middle.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
}
