// Many accounts in the whole product: made through the registry, applied over REST, registered and refreshed by one
// program that stands for all phones.
import { join } from 'node:path';
import { BenchPbx, runJson, start } from './lib/pbx.mjs';

const SECRET = 'Sixteen-letters1';
const EXTENSIONS = 1000;

export async function accounts(build, count) {
  const pbx = await BenchPbx.start(build);
  try {
    const began = performance.now();
    const fill = start(join(build, 'bench/bench_fill'), [pbx.dir, String(EXTENSIONS), String(count), SECRET]);
    if (await fill.ended) throw new Error(fill.text);
    const fillMs = performance.now() - began;
    const applyMs = await pbx.apply();
    const register = await runJson(join(build, 'bench/bench_register'),
      ['--accounts', String(count), '--port', String(pbx.port), '--pid', String(pbx.pid('switch')), '--password', SECRET]);
    const allKb = ['switch', 'media', 'web', 'jobs'].reduce((sum, name) => sum + pbx.rssKb(name), 0);
    return { ...register, fill_ms: fillMs, apply_ms: applyMs, all_mb: allKb / 1024 };
  } finally {
    await pbx.stop();
  }
}
