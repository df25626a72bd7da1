// Phones that do what is legal, half-legal and unlucky at random moments (lib/chaos.ts): afterwards nothing of it is
// left, and the next call is as good as ever. CHAOS_SECONDS runs seed after seed for so long; see README.md.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { Chaos, Die, type ChaosOptions } from './lib/chaos.js';
import { MiniPhone } from './lib/miniphone.js';
import { Pbx } from './lib/pbx.js';
import { delay, until } from './lib/wait.js';

type Status = {
  switch: { calls: number; calls_total: number; fibers: { live: number } };
  media: { streams: number; leases: number };
  supervisor: { processes: { process: string; restarts: number }[] };
};

/** What a connection took down with it ends by timers of 32 s (RFC 3261, 64 * T1); the rest at once. */
const RELEASED_MS = 90_000;

const read = (pbx: Pbx): Promise<Status> => pbx.ctlJson<Status>('status');

/** What has to be as it was, once the phones have ended all that they know of. */
const held = ({ switch: calls, media }: Status): Record<string, number> => ({
  calls: calls.calls, fibers: calls.fibers.live, streams: media.streams, leases: media.leases,
});

const restarts = ({ supervisor }: Status): Record<string, number> =>
  Object.fromEntries(supervisor.processes.map(({ process, restarts: n }) => [process, n]));

/** Recordings that were begun and never completed. */
function unfinished(pbx: Pbx): string[] {
  const folder = join(pbx.dataDir, 'recordings');
  return existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String).filter((name) => name.endsWith('.part')) : [];
}

/** CDRs, each counted once by what identifies it; throws when one is there twice. */
async function cdrCount(pbx: Pbx): Promise<number> {
  const rows = (await pbx.rest.ok('GET', '/rest/cdr/detailed')).json as { unique_id: string }[];
  expect(new Set(rows.map((row) => row.unique_id)).size, 'different CDRs').toBe(rows.length);
  return rows.length;
}

async function talks(pbx: Pbx): Promise<void> {
  const [from, to] = [pbx.account('101'), pbx.account('102')];
  const caller = await MiniPhone.open(from.username, from.secret, pbx.facts.sip.udp);
  const callee = await MiniPhone.open(to.username, to.secret, pbx.facts.sip.udp);
  try {
    for (const phone of [caller, callee]) expect(await phone.register()).toBe(200);
    const call = await caller.call('102');
    expect(call.status).toBe(200);
    await until('sound', () => {
      call.rtp.tick();
      return callee.calls[0] && callee.calls[0].rtp.received > 0;
    }, 10_000, 20);
    expect(await caller.hangup(call)).toBe(200);
  } finally {
    for (const phone of [caller, callee]) {
      await phone.register(0).catch(() => 0);
      await phone.close();
    }
  }
}

/** Phones may encrypt, ring in several places, and call from another connection than they registered on. */
async function settle(pbx: Pbx, seed: number): Promise<void> {
  const die = new Die(seed, 'settings');
  const template = await pbx.idOf('accountTemplate', 'name', 'Default');
  await pbx.configure([
    { path: `/api/pbx/v2/accountTemplate/${template}`, body: {
      srtp: die.pick(['off', 'optional', 'optional']), max_contacts: die.int(1, 4), registration_check: die.chance(0.1),
      video_codecs: die.chance(0.5) ? ['H264', 'VP8'] : [], direct_media: die.chance(0.2), nat: die.chance(0.2),
    } },
    { path: '/api/pbx/v2/sipSettings', body: {
      rtp_timeout: die.pick([2, 5, 60]), dtmf_mode: die.pick(['rfc2833', 'sip_info', 'in_band']), session_expires: die.pick([0, 90, 1800]),
    } },
  ]);
}

/** One seed; throws with it when anything is left. */
async function round(pbx: Pbx, options: ChaosOptions): Promise<void> {
  await settle(pbx, options.seed);
  const before = await read(pbx);
  const chaos = new Chaos(pbx, options);
  try {
    await chaos.run();
    let now = before;
    await until('all is released', async () => {
      now = await read(pbx);
      return JSON.stringify(held(now)) === JSON.stringify(held(before)) && unfinished(pbx).length === 0;
    }, RELEASED_MS, 250).catch(async (error: unknown) => {
      const calls = await pbx.ctl('--json', 'calls').catch(String);
      const left = /"linkedid": "(.*?)"/.exec(calls)?.[1];
      const trace = left ? await pbx.ctl('trace', left).catch(String) : '';
      const counts = `${JSON.stringify(held(now))} instead of ${JSON.stringify(held(before))} ${unfinished(pbx).join()}`;
      throw new Error(`${String(error)}: ${counts}\n${calls}\n${trace}\n${pbx.output.slice(-8000)}`);
    });
    await pbx.settled(30_000);
    const cdrs = await cdrCount(pbx);
    if (!options.kill) {
      expect(restarts(now), 'processes that were started again').toEqual(restarts(before));
      expect(cdrs, 'CDRs of the calls').toEqual(now.switch.calls_total);
    }
  } finally {
    chaos.close();
  }
}

const seconds = Number(process.env['CHAOS_SECONDS'] ?? 0);

describe.runIf(!seconds)('phones at random', () => {
  test.for([1, 2])('seed %i: nothing is left of it', { timeout: 180_000 }, async (seed) => {
    const pbx = await Pbx.start();
    try {
      await round(pbx, { seed, calls: 50, spanMs: 3000, operators: true });
      await talks(pbx);
    } finally {
      await pbx.stop();
    }
  });
});

describe.runIf(seconds > 0)('phones at random, at length', () => {
  const kill = (process.env['CHAOS_KILL'] ?? '').split(',').filter((name) => name);
  const first = Number(process.env['CHAOS_SEED'] ?? 1);
  const calls = Number(process.env['CHAOS_CALLS'] ?? 120);
  const spanMs = Number(process.env['CHAOS_SPAN_MS'] ?? 8000);

  test(`for ${seconds} s`, { timeout: (seconds + 300) * 1000, retry: 0 }, async () => {
    const end = Date.now() + seconds * 1000;
    const pbx = await Pbx.start();
    const rss = (name: string): number =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pbx.childPid(name) ?? 0}/status`, 'utf8'))?.[1] ?? 0) >> 10;
    try {
      for (let seed = first; Date.now() < end; seed++) {
        try {
          await round(pbx, { seed, calls, spanMs, operators: true, ...(kill.length ? { kill } : {}) });
        } catch (error) {
          const log = join(tmpdir(), `chaos-${seed}.log`);
          writeFileSync(log, pbx.output);
          throw new Error(`seed ${seed}, log in ${log}: ${String(error)}`);
        }
        const odd = new Set(pbx.output.split('\n').filter((line) => / level=error /.test(line) || /runtime error|Sanitizer/.test(line)).slice(-20));
        console.log(`seed ${seed}: ${(await read(pbx)).switch.calls_total} calls in all, switch ${rss('switch')} MB, media ${rss('media')} MB` +
          [...odd].map((line) => `\n   ${line}`).join(''));
        if (/Sanitizer|runtime error/.test(pbx.output)) break;
        await delay(200);
      }
      await talks(pbx);
      // The end comes in the midst of it all.
      const last = new Chaos(pbx, { seed: first - 1, calls, spanMs });
      void last.run().catch(() => undefined);
      await delay(spanMs / 2);
      await pbx.end();
      last.close();
    } finally {
      await pbx.stop();
    }
  });
});
