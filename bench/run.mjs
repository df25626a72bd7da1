#!/usr/bin/env node
// Measures what docs/benchmarks.md promises, prints a table and writes bench/results.json.
//
//   bench/run.mjs [BUILD FOLDER] [PIECE ...]     for example: bench/run.mjs build/release calls relay
//
// A target that is missed is a result. The status is 1 only when a piece could not be run.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { accounts } from './accounts.mjs';
import { callMemory, callRates, dialogCost, floorRates } from './calls.mjs';
import { firstAudio } from './firstaudio.mjs';
import { runJson, start } from './lib/pbx.mjs';
import { applyUnderCalls, talk } from './talk.mjs';

const RATES = [200, 500, 1000, 1500];
const RATE_SECONDS = Number(process.env.BENCH_RATE_SECONDS ?? 8);
/** Dearest rate against the cheapest: more than that is not flat. */
const FLAT = 1.25;
/** Two runs of the same calls without any apply differ by as much. */
const NO_EFFECT_MS = 0.5;
/** Runnable processes per core before the start, above which figures are doubtful. */
const CALM = 0.3;

const WIDE = 84;

const here = dirname(fileURLToPath(import.meta.url));
const n = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : String(value));
const program = (build, name) => join(build, 'bench', name);

/** One line of the table; without a limit it is for information only. */
const figure = (name, value, unit, limit, { digits = 2, atLeast = false } = {}) => ({
  figure: name, value, unit, digits,
  ...(limit === undefined ? {} : { target: limit, at_least: atLeast, ok: atLeast ? value >= limit : value <= limit }),
});

const rateFigures = (how) => (row) => [
  figure(`${how}: CPU per call at ${row.rate}/s (switch ${n(row.switch_ms)}, media ${n(row.media_ms)})`, row.ms_per_call, 'ms', 0.3),
  figure(`${how}: failed of ${row.offered} calls at ${row.rate}/s`, row.failed, 'calls', 0, { digits: 0 }),
];

function rise(how, rows) {
  const costs = rows.map((row) => row.ms_per_call);
  return figure(`${how}: the dearest rate against ${rows[0].rate}/s`, Math.max(...costs) / costs[0], 'times', FLAT);
}

/** Minutes pass until all rates are through: each is printed when it is. */
async function ratesOf(build, how, label, figures) {
  const rows = await callRates(build, how, RATES, RATE_SECONDS, (row) => {
    const lines = rateFigures(label)(row);
    lines.forEach(print);
    figures.push(...lines);
  });
  const line = rise(label, rows);
  print(line);
  figures.push(line);
  return rows;
}

const pieces = {
  async calls(build) {
    const figures = [];
    const digest = await ratesOf(build, 'digest', 'digest', figures);
    const registered = await ratesOf(build, 'registered', 'registered source', figures);
    const floor = await floorRates(build, RATES, RATE_SECONDS);
    for (const [i, row] of floor.entries()) {
      const line = figure(`the kernel's part: the same messages handed on and nothing else, at ${row.rate}/s (ours ${n(registered[i].ms_per_call / row.ms_per_call, 1)} times, ${row.failed} failed)`, row.ms_per_call, 'ms', undefined, { digits: 3 });
      print(line);
      figures.push(line);
    }
    return { raw: { digest, registered, floor }, figures, printed: true };
  },

  async memory(build) {
    const raw = await callMemory(build);
    return { raw, figures: [
      figure(`memory per call, ${raw.calls} held (switch ${n(raw.switch_kb, 1)}, media ${n(raw.media_kb, 1)})`, raw.kb_per_call, 'KB', 40, { digits: 1 }),
      figure('calls that failed meanwhile', raw.failed, 'calls', 0, { digits: 0 }),
    ] };
  },

  async relay(build) {
    const raw = await runJson(program(build, 'bench_media'), ['8']);
    return { raw, figures: [
      figure(`CPU per relayed packet, ours ${n(raw.aoide_1000.cpu_us_per_packet)} us to ideal ${n(raw.ideal_1000.cpu_us_per_packet)} us, 1,000 calls`, raw.ratio_1000, 'times', 1.4),
      figure('loss at 1,000 calls', raw.aoide_1000.loss_percent, '%', 0, { digits: 4 }),
      figure('delay p99 at 600 calls', raw.aoide_600.p99_ms, 'ms', 1),
      figure('delay p99 at 1,000 calls', raw.aoide_1000.p99_ms, 'ms'),
      figure('CPU of a stream opened and closed, 1,000 calls/s', raw.open_1000.media_us_per_stream, 'us', undefined, { digits: 1 }),
    ] };
  },

  async srtp(build) {
    const raw = await runJson(program(build, 'bench_media'), ['8', '0', 'srtp']);
    return { raw, figures: [
      figure(`CPU per packet, SRTP to SRTP ${n(raw.srtp_600.cpu_us_per_packet)} us to plain ${n(raw.plain_600.cpu_us_per_packet)} us, 600 calls`, raw.ratio_600, 'times', 2.5),
      figure('loss of SRTP at 600 calls', raw.srtp_600.loss_percent, '%', 0, { digits: 4 }),
    ] };
  },

  async mixer(build) {
    const raw = await runJson(program(build, 'bench_room'), ['mixer']);
    return { raw, figures: [
      figure('1,000 listeners, 3 talkers, one room: cores', raw.listeners_1000.cores, 'cores', 1),
      figure('the same when the listeners\' phones send as well', raw.listeners_1000_all_send.cores, 'cores', 1),
      figure('200 rooms of 5, all talk: cores', raw.rooms_200_of_5.cores, 'cores', 1),
      figure('packets that did not come, at worst (the phones share the cores)', Math.max(...Object.values(raw).map((one) => one.missing_percent)), '%', undefined, { digits: 1 }),
    ] };
  },

  async record(build) {
    const raw = await runJson(program(build, 'bench_room'), ['record']);
    const cost = (kind) => ((raw[kind].cores - raw.plain_200.cores) / 200) * 1000;
    return { raw, figures: [
      figure('CPU of a stereo WAV recording, 200 at once, beside the call\'s own', cost('wav_200'), 'ms/s'),
      figure('the same as Opus', cost('opus_200'), 'ms/s'),
      figure('recordings that failed', raw.wav_200_failed + raw.opus_200_failed, '', 0, { digits: 0 }),
    ] };
  },

  async transcode(build) {
    const raw = await runJson(program(build, 'bench_transcode'), ['12', '100']);
    return { raw, figures: [
      figure(`PCMA to Opus 48 kHz and back, ${raw.calls} calls: CPU of the media process (${n(raw.process_us, 1)} us in 20 ms) against the codecs' calls alone (${n(raw.codecs_us, 1)} us)`, raw.ratio, 'times', 1.3),
      figure(`the same against one thread that never sleeps (${n(raw.codecs_unpaced_us, 1)} us)`, raw.ratio_unpaced, 'times'),
      figure(`the same against codecs that work at 48 kHz (${n(raw.codecs_48k_us, 1)} us)`, raw.ratio_48k, 'times'),
      figure('lost packets', 100 * (1 - raw.received / raw.sent), '%', undefined, { digits: 2 }),
      figure('memory of a transcoded call', raw.kb_per_call, 'KB', undefined, { digits: 0 }),
    ] };
  },

  async dtls(build) {
    const raw = await runJson(program(build, 'bench_dtls'), ['1000']);
    return { raw, figures: [
      figure(`our side of a DTLS handshake, CPU of the relay thread: all of it (as client ${n(raw.client.all_ms)} ms)`, raw.server.all_ms, 'ms'),
      figure(`its longest step, for which packets wait (as client ${n(raw.client.longest_ms)} ms)`, raw.server.longest_ms, 'ms', 1),
      figure('the same, 99 of 100 (the worse role)', Math.max(raw.server.longest_p99_ms, raw.client.longest_p99_ms), 'ms'),
    ] };
  },

  async moh(build) {
    const raw = await runJson(program(build, 'bench_moh'), [join(here, '../share/moh/default.wav'), '2000', '40']);
    return { raw, figures: [
      figure(`music on hold to ${raw.listeners} callers, ours ${n(raw.aoide_us_per_packet)} us a packet to ${n(raw.bare_us_per_packet)} us of a bare sender`, raw.ratio, 'times', 1.2),
      figure('cores that it takes', raw.cores, 'cores'),
    ] };
  },

  async firstaudio(build) {
    const raw = await firstAudio(build, 100);
    return { raw, figures: [
      figure(`from the answer of 800 to its first packet of sound, 95 of 100 calls (half of them ${n(raw.p50_ms)} ms)`, raw.p95_ms, 'ms', 20, { digits: 1 }),
      figure('the same of the first call ever, which reads the prompt', raw.cold_ms, 'ms', 20, { digits: 1 }),
    ] };
  },

  async talk(build) {
    const raw = [await talk(build, 600, 8), await talk(build, 1000, 8)];
    return { raw, figures: raw.flatMap((one) => [
      figure(`${one.calls} calls over SIP, both sides talk: loss`, one.loss_percent, '%', 0, { digits: 4 }),
      figure(`${one.calls} calls over SIP: delay p99`, one.p99_ms, 'ms', one.calls === 600 ? 1 : undefined),
      figure(`${one.calls} calls over SIP: CPU per packet, switch and media`, one.cpu_us_per_packet, 'us'),
      figure(`${one.calls} calls over SIP: not set up or not ended`, one.failed + one.not_ended, 'calls', 0, { digits: 0 }),
    ]) };
  },

  async apply(build) {
    const alone = await runJson(program(build, 'bench_snapshot'));
    const under = await applyUnderCalls(build);
    return { raw: { alone, under }, figures: [
      figure('apply, load, swap of 1,000 extensions and 2,000 accounts, all changed', alone.all_changed.total_ms, 'ms', 200, { digits: 1 }),
      figure('the same over REST while 200 calls talk', under.apply_ms, 'ms', 200, { digits: 1 }),
      figure('loss on those calls', under.during.loss_percent, '%', 0, { digits: 4 }),
      figure(`rise of the delay p99 on those calls (from ${n(under.before.p99_ms)} to ${n(under.during.p99_ms)} ms)`, under.during.p99_ms - under.before.p99_ms, 'ms', NO_EFFECT_MS),
      figure(`longest delay on those calls (${n(under.before.max_ms)} without an apply)`, under.during.max_ms, 'ms'),
    ] };
  },

  async register(build) {
    const raw = await runJson(program(build, 'bench_register'));
    return { raw, figures: [
      figure(`memory of an edge alone with ${raw.accounts} registrations`, raw.rss_registered_mb, 'MB', 400, { digits: 0 }),
      figure('CPU of a REGISTER refresh with digest, edge alone', raw.refresh_cpu_us / 1000, 'ms', 0.1, { digits: 3 }),
    ] };
  },

  async accounts(build) {
    const raw = await accounts(build, 100_000);
    return { raw, figures: [
      figure(`memory of the switch with ${raw.accounts} registered accounts`, raw.rss_after_refresh_mb, 'MB', 400, { digits: 0 }),
      figure('memory of all processes together then', raw.all_mb, 'MB', undefined, { digits: 0 }),
      figure('CPU of a REGISTER refresh with digest, all threads of the switch', raw.refresh_cpu_us / 1000, 'ms', 0.1, { digits: 3 }),
      figure(`apply of ${raw.accounts} accounts over REST`, raw.apply_ms, 'ms', undefined, { digits: 0 }),
    ] };
  },

  async rest(build) {
    const raw = await runJson(program(build, 'bench_rest'));
    return { raw, figures: [
      figure('GET /rest/extension, page of 50, browser session, one core', raw.session_all_pages.per_s, '/s', 2000, { atLeast: true, digits: 0 }),
      figure('the same with X-authenticate', raw.x_authenticate.per_s, '/s', 2000, { atLeast: true, digits: 0 }),
      figure('the same when no answer is remembered', raw.session_uncached.per_s, '/s', undefined, { digits: 0 }),
    ] };
  },

  async dialogs(build) {
    const raw = await dialogCost(build);
    return { raw, figures: [figure(`CPU per call of the dialogs alone, ${raw.rate}/s`, raw.cpu_ms_per_call, 'ms')] };
  },

  async writer(build) {
    const raw = await runJson(program(build, 'bench_writer'));
    return { raw, figures: [
      figure('a call record: CPU of the call thread', raw.post_us, 'us', undefined, { digits: 1 }),
      figure('a call record: CPU of the writer, into journal and database', raw.threads_us_per_record, 'us', undefined, { digits: 1 }),
    ] };
  },

  async schema(build) {
    const child = start(program(build, 'bench_schema'), []);
    if (await child.ended) throw new Error(child.text);
    const raw = Object.fromEntries(child.out.trim().split('\n').map((line) => line.split(' ')).map(([name, value, unit]) => [name, { value: Number(value), unit }]));
    return { raw, figures: [
      figure('a write through the registry', raw['schema.write'].value, 'us', undefined, { digits: 0 }),
      figure('a page of 50 extensions from the registry', raw['schema.list_extension'].value, 'us', undefined, { digits: 0 }),
    ] };
  },
};

function print(line) {
  const shown = line.ok === undefined ? '' : `${line.at_least ? '>=' : '<='} ${line.target} ${line.unit}`;
  const verdict = line.ok === undefined ? '' : line.ok ? 'ok' : 'MISSED';
  console.log(`  ${line.figure.padEnd(WIDE)} ${`${n(line.value, line.digits)} ${line.unit}`.padStart(14)}  ${shown.padEnd(13)} ${verdict}`.trimEnd());
}

function facts(build) {
  const git = (...args) => {
    try {
      return execFileSync('git', ['-C', here, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    } catch {
      return null; // not a clone, or no git
    }
  };
  return {
    date: new Date().toISOString(),
    version: execFileSync(join(build, 'aoide'), ['--version'], { encoding: 'utf8' }).trim(),
    commit: git('rev-parse', '--short', 'HEAD'),
    cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length,
    load_before: loadavg().map((load) => Number(load.toFixed(2))),
  };
}

function arguments_() {
  const args = process.argv.slice(2);
  const isBuild = args[0] !== undefined && existsSync(join(args[0], 'build.ninja')) && statSync(args[0]).isDirectory();
  const build = resolve(isBuild ? args.shift() : join(here, '../build/release'));
  const unknown = args.filter((name) => !(name in pieces));
  if (unknown.length) {
    console.error(`No such piece: ${unknown.join(', ')}. There are: ${Object.keys(pieces).join(', ')}.`);
    process.exit(2);
  }
  if (!existsSync(join(build, 'aoide'))) {
    console.error(`${build} holds no build; "make bench" makes one.`);
    process.exit(2);
  }
  return { build, wanted: args.length ? args : Object.keys(pieces) };
}

const { build, wanted } = arguments_();
const results = { ...facts(build), pieces: {} };
const warnings = [];
if (results.load_before[0] > CALM * results.cores) {
  warnings.push(`The machine is busy (load ${results.load_before[0]} on ${results.cores} cores): figures are worse than on a calm one.`);
}
if (results.cores < 4) warnings.push(`${results.cores} cores: phones and PBX share them; delays and failed calls are those of the machine.`);

console.log(`${results.version}, ${results.date}, ${results.cores} cores (${results.cpu}), load ${results.load_before[0]}`);
warnings.forEach((warning) => console.log(`WARNING: ${warning}`));
let broken = 0;
for (const name of wanted) {
  console.log(`\n${name}`);
  const began = performance.now();
  const load = loadavg()[0];
  try {
    const { raw, figures, printed } = await pieces[name](build);
    if (!printed) figures.forEach(print);
    results.pieces[name] = { load_before: load, took_s: Math.round((performance.now() - began) / 1000), figures, raw };
  } catch (error) {
    broken++;
    console.log(`  could not run: ${error.message}`);
    results.pieces[name] = { load_before: load, error: error.message };
  }
}
results.warnings = warnings;
results.load_after = loadavg().map((load) => Number(load.toFixed(2)));

const all = Object.values(results.pieces).flatMap((piece) => piece.figures ?? []).filter((line) => line.ok !== undefined);
const path = join(here, 'results.json');
// Pieces that were not asked for keep their last result, which says when it was made.
const last = wanted.length < Object.keys(pieces).length && existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { pieces: {} };
for (const piece of Object.values(results.pieces)) piece.date = results.date;
writeFileSync(path, `${JSON.stringify({ ...results, pieces: { ...last.pieces, ...results.pieces } }, null, 1)}\n`);
console.log(`\n${all.filter((line) => line.ok).length} of ${all.length} targets reached${broken ? `, ${broken} pieces could not run` : ''}; ${path}`);
process.exit(broken ? 1 : 0);
