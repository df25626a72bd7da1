// Calls over SIP whose both sides talk: loss and delay as people in calls would have them.
import { join } from 'node:path';
import { BenchPbx, runJson, sleep, start } from './lib/pbx.mjs';

const EXTENSIONS = 1000;
const ACCOUNTS = 2000;
const CALLS = 200;
const SECONDS = 8;

function talkArgs(pbx, calls, seconds) {
  const [caller, callee] = pbx.facts.accounts;
  return [String(pbx.port), caller.username, caller.secret, callee.username, callee.secret, callee.extension, String(calls),
    String(seconds), String(pbx.pid('switch')), String(pbx.pid('media'))];
}

// Status 1 with a result: some calls failed, which the result counts.
const talkOn = (pbx, calls, seconds) => runJson(join(pbx.build, 'bench/bench_talk'), talkArgs(pbx, calls, seconds), { ok: [0, 1] });

export async function talk(build, calls, seconds) {
  const pbx = await BenchPbx.start(build);
  try {
    return await talkOn(pbx, calls, seconds);
  } finally {
    await pbx.stop();
  }
}

/** A tenant of 1,000 extensions and 2,000 accounts comes into force while calls talk; the same calls without it before. */
export async function applyUnderCalls(build) {
  const pbx = await BenchPbx.start(build);
  try {
    const before = await talkOn(pbx, CALLS, SECONDS);
    const fill = start(join(build, 'bench/bench_fill'), [pbx.dir, String(EXTENSIONS), String(ACCOUNTS), 'Sixteen-letters1']);
    if (await fill.ended) throw new Error(fill.text);

    const child = start(join(build, 'bench/bench_talk'), talkArgs(pbx, CALLS, SECONDS));
    while (!child.text.includes('measuring')) {
      if (child.exitCode !== null) throw new Error(`bench_talk: ${child.text.slice(-1500)}`);
      await sleep(50);
    }
    await sleep(2000);
    const applyMs = await pbx.apply();
    await child.ended;
    return { before, during: JSON.parse(child.out), apply_ms: applyMs };
  } finally {
    await pbx.stop();
  }
}
