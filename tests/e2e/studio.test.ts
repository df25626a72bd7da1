// Audio files on a phone (PLT-30): the PBX rings it, plays, or records what is said to it.
import { afterAll, describe, expect } from 'vitest';

import { V2, row } from './lib/api.js';
import type { Baresip } from './lib/baresip.js';
import { stopPbx, test } from './lib/fixtures.js';
import type { Pbx } from './lib/pbx.js';
import type { Reply } from './lib/rest.js';
import { form, wav, wavFacts, wavHz } from './lib/sound.js';
import { toneShare } from './lib/tone.js';
import { delay, until } from './lib/wait.js';

afterAll(stopPbx);

type Row = Record<string, unknown>;

const send = (pbx: Pbx, method: string, path: string, json?: unknown): Promise<Reply> =>
  pbx.rest.call(method, `${V2}/${path}`, json === undefined ? {} : { body: json });
const body = (reply: Reply): Row => row(reply);
const upload = async (pbx: Pbx, name: string, hz: number): Promise<number> => {
  const { body: data, type } = form([{ name: 'file', fileName: `${name}.wav`, data: wav(hz, 4) }]);
  const reply = await pbx.rest.call('POST', `${V2}/audioFile`, { body: data, type });
  expect(reply.status).toBe(201);
  return Number(body(reply)['id']);
};
const state = async (pbx: Pbx, task: unknown): Promise<Row> => body(await send(pbx, 'GET', `audioFile/phone/${String(task)}`));
const reaches = (pbx: Pbx, task: unknown, wanted: string): Promise<Row> =>
  until(`the task is ${wanted}`, async () => {
    const now = await state(pbx, task);
    if (now['state'] === 'failed' && wanted !== 'failed') throw new Error(JSON.stringify(now));
    return now['state'] === wanted ? now : undefined;
  }, 30_000);
const press = (phone: Baresip, key: string): Promise<string> =>
  phone.command('sndcode', key).catch(() => phone.command('dtmf', key));
/** Listens to the instructions and the beep, says its tone for a while, presses #. */
const speak = async (pbx: Pbx, phone: Baresip, task: unknown, seconds = 2): Promise<void> => {
  await until('the instructions are heard', () => phone.heardLevel() > 0.02);
  await reaches(pbx, task, 'recording');
  await until('the beep is heard', () => {
    const sound = phone.heard();
    const end = sound.samples.length / sound.rate;
    return end > 0.5 && [0.2, 0.3, 0.4, 0.5, 0.6].some((ago) => toneShare(sound, 1000, Math.max(0, end - ago), end - ago + 0.15) > 0.8);
  }, 20_000);
  await delay(300 + seconds * 1000);
  await press(phone, '#');
};
const content = (pbx: Pbx, id: unknown): Promise<Reply> => send(pbx, 'GET', `audioFile/${String(id)}/content`);

describe('playing on a phone', () => {
  test('[PLT-30] the phone rings, shows the file, hears it on answer; the CDR tells it', async ({ pbx, phones }) => {
    const id = await upload(pbx, 'welcome', 900);
    const before = (await pbx.cdrs(0)).length;
    const bob = await phones.start('102');
    const reply = await send(pbx, 'POST', `audioFile/${id}/play`, { extension: '102', account: pbx.account('102').username });
    expect(reply.status).toBe(202);
    expect(body(reply)).toMatchObject({ id, state: 'ringing' });
    const task = body(reply)['task'];
    const ring = await bob.waitEvent('CALL_INCOMING');
    expect(ring.peerdisplayname).toContain('custom/welcome');
    expect((await state(pbx, task))['state']).toBe('ringing');
    await bob.answer();
    await reaches(pbx, task, 'playing');
    await bob.hears(900);
    await reaches(pbx, task, 'done');
    await bob.waitEvent('CALL_CLOSED');
    const rows = await pbx.cdrs(before + 1);
    expect(rows.find((cdr) => cdr['called'] === 'custom/welcome')).toMatchObject({ caller: '102', called: 'custom/welcome', status: 'OK' });
    expect(JSON.stringify(rows.find((cdr) => cdr['called'] === 'custom/welcome')?.['details'])).toContain('audio_play');
  });

  test('[PLT-30] a predefined file speaks its prompt; hanging up while it plays is no failure', async ({ pbx, phones }) => {
    const bob = await phones.start('102', { autoAnswer: true });
    const list = await send(pbx, 'GET', 'audioFile?path=builtin/rec-start');
    const id = (body(list)['items'] as Row[])[0]?.['id'];
    const reply = await send(pbx, 'POST', `audioFile/${String(id)}/play`, { extension: '102' });
    expect(reply.status).toBe(202);
    await until('the prompt is heard', () => bob.heardLevel() > 0.02);
    await bob.hangup();
    await reaches(pbx, body(reply)['task'], 'done');
  });

  test('[PLT-30] what cannot be: no extension, no such account, no phone, no content, nobody answers', async ({ pbx, phones }) => {
    const id = await upload(pbx, 'refusals', 900);
    const play = (json: unknown): Promise<Reply> => send(pbx, 'POST', `audioFile/${id}/play`, json);
    const alice = await phones.start('101');
    expect(await play({ extension: '101', account: pbx.account('102').username })).toMatchObject({ status: 422 });
    expect(body(await play({}))).toMatchObject({ errors: [{ field: 'extension', code: 'required' }] });
    expect(body(await play({ extension: '999' }))).toMatchObject({ status: 422, errors: [{ field: 'extension', code: 'unknown_extension' }] });
    const gone = await play({ extension: '103' });
    expect(gone.status).toBe(409);
    expect(body(gone)).toMatchObject({ code: 'not_registered', errors: [{ field: 'account' }] });
    const empty = body(await send(pbx, 'POST', 'audioFile', { name: 'empty' }))['id'];
    expect(body(await send(pbx, 'POST', `audioFile/${String(empty)}/play`, { extension: '101' }))).toMatchObject({ status: 409, code: 'no_content' });
    expect((await send(pbx, 'GET', 'audioFile/phone/0123456789abcdef')).status).toBe(404);

    const task = body(await play({ extension: '101' }))['task'];
    await alice.waitEvent('CALL_INCOMING');
    await alice.hangup();
    expect(await reaches(pbx, task, 'failed')).toMatchObject({ reason: 'no_answer' });
  });
});

test('a phone that has all the calls it may have is busy', async ({ pbx, phones }) => {
  const id = await upload(pbx, 'busy', 900);
  const path = `/api/pbx/v2/extension/${await pbx.idOf('extension', 'number', '101')}`;
  await pbx.configure([{ path, body: { busy_level: 1 } }]);
  try {
    const alice = await phones.start('101');
    const play = (): Promise<Reply> => send(pbx, 'POST', `audioFile/${id}/play`, { extension: '101' });
    expect((await play()).status).toBe(202);
    await alice.waitEvent('CALL_INCOMING');
    expect(body(await play())).toMatchObject({ status: 409, code: 'busy' });
    await alice.hangup();
  } finally {
    await pbx.configure([{ path, body: { busy_level: null } }]);
  }
});

describe('recording from a phone', () => {
  test('[PLT-30] instructions, beep, the voice until #: the new file is ready and holds it', async ({ pbx, phones }) => {
    const before = (await pbx.cdrs(0)).length;
    const carla = await phones.start('103', { toneHz: 600, autoAnswer: true });
    const reply = await send(pbx, 'POST', 'audioFile/record', {
      name: 'spoken', folder: 'custom/phones', extension: '103', account: pbx.account('103').username });
    expect(reply.status).toBe(202);
    const { id, task } = body(reply);
    await speak(pbx, carla, task);
    await reaches(pbx, task, 'ready');
    expect(body(await send(pbx, 'GET', `audioFile/${String(id)}`))).toMatchObject({
      path: 'custom/phones/spoken', state: 'ready', playable: true, source_name: 'custom/phones/spoken.wav' });
    const sound = (await content(pbx, id)).bytes;
    expect(wavFacts(sound)).toMatchObject({ channels: 1, bits: 16 });
    expect(wavFacts(sound).seconds).toBeGreaterThan(1.5);
    expect(wavFacts(sound).seconds).toBeLessThan(6);
    expect(Math.abs(wavHz(sound) - 600)).toBeLessThan(8);
    await carla.waitEvent('CALL_CLOSED');
    const rows = await pbx.cdrs(before + 1);
    expect(rows.find((cdr) => cdr['caller'] === '103')).toMatchObject({ caller: '103', called: 'custom/phones/spoken', status: 'OK' });
    // The name is taken now.
    const again = await send(pbx, 'POST', 'audioFile/record', { name: 'spoken', folder: 'custom/phones', extension: '103' });
    expect(again.status).toBe(409);
    expect((body(again)['errors'] as Row[])[0]).toMatchObject({ field: 'name', code: 'duplicate' });
  });

  test('[PLT-30] replaces a file from a phone; hanging up in the place of # keeps what was said', async ({ pbx, phones }) => {
    const id = await upload(pbx, 'replaced', 900);
    const carla = await phones.start('103', { toneHz: 600, autoAnswer: true });
    const task = body(await send(pbx, 'POST', `audioFile/${id}/record`, { extension: '103' }))['task'];
    await reaches(pbx, task, 'recording');
    await delay(2500);
    await carla.hangup();
    await reaches(pbx, task, 'ready');
    expect(Math.abs(wavHz((await content(pbx, id)).bytes) - 600)).toBeLessThan(40);
  });

  test('[PLT-30] nothing is recorded, or no phone: the old sound stays, no new file appears', async ({ pbx, phones }) => {
    const id = await upload(pbx, 'kept', 900);
    const carla = await phones.start('103', { toneHz: 600 });
    const refused = await send(pbx, 'POST', 'audioFile/record', { name: 'nowhere', extension: '104' });
    expect(refused.status).toBeGreaterThanOrEqual(409);
    expect((body(await send(pbx, 'GET', 'audioFile?path=custom/nowhere'))['items'] as Row[]).length).toBe(0);
    const task = body(await send(pbx, 'POST', `audioFile/${id}/record`, { extension: '103' }))['task'];
    await carla.waitEvent('CALL_INCOMING');
    await carla.answer();
    await reaches(pbx, task, 'playing');
    await carla.hangup();
    expect(await reaches(pbx, task, 'failed')).toMatchObject({ reason: 'hung_up' });
    expect(Math.abs(wavHz((await content(pbx, id)).bytes) - 900)).toBeLessThan(8);
  });

  test('jobs and web that are away for a while lose nothing', async ({ pbx, phones }) => {
    const carla = await phones.start('103', { toneHz: 600, autoAnswer: true });
    const { id, task } = body(await send(pbx, 'POST', 'audioFile/record', { name: 'late', extension: '103' }));
    await reaches(pbx, task, 'recording');
    const pid = pbx.childPid('jobs');
    const web = pbx.childPid('web');
    if (!pid || !web) throw new Error('no jobs, no web');
    process.kill(pid, 'SIGSTOP');
    await delay(2000);
    await press(carla, '#');
    expect(await reaches(pbx, task, 'converting')).toMatchObject({ id });
    process.kill(web, 'SIGKILL');
    process.kill(pid, 'SIGKILL'); // the one that starts then finds the recording
    await until('the pages are back', () => state(pbx, task).then(() => true, () => false));
    await reaches(pbx, task, 'ready');
    expect(Math.abs(wavHz((await content(pbx, id)).bytes) - 600)).toBeLessThan(40);
  });
});
