// aoide ctl: what an administrator does in a shell.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { onePbx, Session, V2 } from './lib/api.js';
import { MiniPhone } from './lib/miniphone.js';
import { aoideBinary, Pbx } from './lib/pbx.js';
import { run } from './lib/proc.js';
import { until } from './lib/wait.js';

const pbx = onePbx();
type Row = Record<string, unknown>;
const exit = (...args: string[]): Promise<{ code: number | null; output: string }> =>
  run(aoideBinary, ['ctl', '--data', pbx().dataDir, ...args]);

async function phone(extension: string): Promise<MiniPhone> {
  const made = await MiniPhone.open(extension, pbx().account(extension).secret, pbx().facts.sip.udp);
  expect(await made.register()).toBe(200);
  return made;
}

test('status: all processes ready, as a table and as JSON', async () => {
  const text = await pbx().ctl('status');
  for (const name of ['switch', 'media', 'web', 'jobs']) expect(text).toMatch(new RegExp(`${name} +\\d+ +ready`));
  const all = await pbx().ctlJson<Record<string, Row>>('status');
  expect(Object.keys(all).sort()).toEqual(['jobs', 'media', 'supervisor', 'switch', 'web']);
  expect(all['switch']).toMatchObject({ calls: 0 });
});

test('registrations, calls and hangup', async () => {
  const [from, to] = [await phone('101'), await phone('102')];
  expect(await pbx().ctl('registrations')).toMatch(/102[\s\S]*2 registered/);
  const call = await from.call('102');
  expect(call.status).toBe(200);
  await until('the call is shown', async () => /answered +101 +102[\s\S]*1 calls?\b/.test(await pbx().ctl('calls')));
  const [live] = await pbx().ctlJson<Row[]>('calls');
  const trace = await pbx().ctl('trace', String(live?.['linkedid']));
  expect(trace).toMatch(/INVITE sip:102@[\s\S]*200 OK/);
  expect(trace).not.toMatch(/response="[0-9a-f]{32}"/);
  expect(await pbx().ctl('hangup', String(live?.['linkedid']))).toContain('ended');
  await until('both ended', () => call.endedBy === 'bye' && to.calls[0]?.endedBy === 'bye');
  expect(await pbx().ctlJson<Row[]>('calls')).toEqual([]);
  expect((await exit('hangup', '1.1')).code).toBe(4);
  await from.close();
  await to.close();
});

test('apply puts in force what was saved', async () => {
  await pbx().rest.ok('POST', `${V2}/extension?apply=false`, { number: '470', create_account: { password: 'Secret-of-470-x' } });
  expect(await pbx().ctl('apply', 'default')).toMatch(/default: revision \d+ is in force/);
  const made = await MiniPhone.open('470', 'Secret-of-470-x', pbx().facts.sip.udp);
  expect(await made.register()).toBe(200);
  await made.close();
  const none = await exit('apply', 'nowhere');
  expect([none.code, none.output.includes('nowhere')]).toEqual([4, true]);
});

test('log levels change while it runs', async () => {
  expect(await pbx().ctl('log', 'web', 'debug')).toMatch(/web/);
  expect(JSON.stringify(await pbx().ctlJson('log'))).toMatch(/web[ =:]+debug/);
  await pbx().ctl('log', '*', 'info');
  expect((await exit('log', 'web', 'loudest')).code).not.toBe(0);
});

test('a new password for a user, generated or given, logs him in', async () => {
  const password = (await pbx().ctl('user', 'reset-password', 'admin@default')).trim();
  expect(password.length).toBeGreaterThanOrEqual(12);
  const first = await Session.login(pbx().rest.base, 'admin', password);
  expect(first.facts['must_change_password']).toBe(true);
  const given = await run('sh', ['-c', `echo 'Given-by-hand-12' | '${aoideBinary}' ctl --data '${pbx().dataDir}' user reset-password admin@default --password-stdin`]);
  expect(given.code).toBe(0);
  expect(given.output).not.toContain('Given-by-hand-12');
  const second = await Session.login(pbx().rest.base, 'admin', 'Given-by-hand-12');
  expect(second.facts['must_change_password']).toBe(false);
  expect((await first.call('GET', `${V2}/session`)).status).toBe(401); // sessions with the old password have ended
  expect((await exit('user', 'reset-password', 'nobody@default')).code).toBe(4);
  expect((await exit('user', 'reset-password', 'admin@nowhere')).code).toBe(4);
});

test('wrong usage is told with exit code 2, a stopped PBX with 3', async () => {
  for (const args of [[], ['nonsense'], ['hangup'], ['status', 'extra'], ['--nonsense', 'status']]) {
    const done = await exit(...args);
    expect(done.code, args.join(' ')).toBe(2);
    expect(done.output).toMatch(/Usage|aoide ctl: /);
  }
  const empty = mkdtempSync(join(tmpdir(), 'aoide-none-'));
  const nothing = await run(aoideBinary, ['ctl', '--data', empty, 'status']);
  expect([nothing.code, /aoide run/.test(nothing.output)]).toEqual([3, true]);
  rmSync(empty, { recursive: true });
});

test('when it has stopped: status says so, a password can still be set and holds at the next start', async () => {
  const own = await Pbx.start();
  try {
    process.kill(own.childPid('switch') ?? -1, 0); // it runs
    const proc = (own as unknown as { proc: { stop(signal: string): Promise<void> } }).proc;
    await proc.stop('SIGTERM');
    const stopped = await run(aoideBinary, ['ctl', '--data', own.dataDir, 'status']);
    expect([stopped.code, /not running/.test(stopped.output)]).toEqual([3, true]);
    const password = (await own.ctl('user', 'reset-password', 'admin@default')).trim();
    expect(password).toMatch(/^\S{12,}$/);
  } finally {
    await own.stop();
  }
});

