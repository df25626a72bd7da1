// Audio files, music, languages: uploads, conversion, what is played (PLT-30..33, CHG-AUD-01, CHG-AUD-02).
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

import { items, makeTenant, makeUser, onePbx, row, V2 } from './lib/api.js';
import type { CallOptions, Reply } from './lib/rest.js';
import { form, wav, wavFacts, wavHz, zip } from './lib/sound.js';
import { until } from './lib/wait.js';

const pbx = onePbx();
const mp3 = readFileSync(fileURLToPath(new URL('fixtures/tone.mp3', import.meta.url)));
type Row = Record<string, unknown> & { id: number };

const send = (method: string, path: string, options: CallOptions = {}): Promise<Reply> =>
  pbx().rest.call(method, `${V2}/${path}`, options);
const upload = (name: string, data: Buffer, more: { name: string; value: string }[] = []): Promise<Reply> => {
  const { body, type } = form([...more, { name: 'file', fileName: name, data }]);
  return send('POST', 'audioFile', { body, type });
};
const stored = (reply: Reply): string => {
  const file = row(reply);
  const tenant = readdirSync(join(pbx().dataDir, 'audio')).find((name) => /^\d+$/.test(name)) ?? '';
  return join(pbx().dataDir, 'audio', tenant, `${file.id}.wav`);
};
const incoming = (): string[] => {
  const folder = join(pbx().dataDir, 'audio/incoming');
  return existsSync(folder) ? readdirSync(folder) : [];
};

describe('audio files', () => {
  test('[PLT-30] [CHG-AUD-01] a WAV is uploaded, converted once, played, downloaded', async () => {
    const reply = await upload('Benvenuto & addio.wav', wav(440, 1.2, 44100, 2), [{ name: 'folder', value: 'custom/feste' }]);
    expect(reply.status).toBe(201);
    const file = row(reply);
    expect(file).toMatchObject({
      path: 'custom/feste/Benvenuto & addio', name: 'Benvenuto & addio', builtin: false, state: 'ready', playable: true,
      rate_hz: 48000, duration_ms: 1200, reason: null, source_name: 'Benvenuto & addio.wav' });

    const played = await send('GET', `audioFile/${file.id}/content`);
    expect(played.status).toBe(200);
    expect(played.headers['content-type']).toBe('audio/wav');
    expect(wavFacts(played.bytes)).toMatchObject({ rate: 48000, channels: 1, bits: 16 });
    expect(wavHz(played.bytes)).toBeCloseTo(440, -1);
    expect(played.bytes.equals(readFileSync(stored(reply)))).toBe(true);

    const download = await send('GET', `audioFile/${file.id}/content?download=1`);
    expect(download.headers['content-disposition']).toContain('attachment');
    expect(download.headers['content-disposition']).toContain("UTF-8''Benvenuto%20%26%20addio.wav");
    const part = await send('GET', `audioFile/${file.id}/content`, { headers: { Range: 'bytes=100-199' } });
    expect(part.status).toBe(206);
    expect(part.bytes.equals(played.bytes.subarray(100, 200))).toBe(true);
    expect(incoming()).toEqual([]);
  });

  test('[PLT-30] an MP3 and a telephone WAV become what calls can play', async () => {
    const { body, type } = form([{ name: 'file', fileName: 'tono.mp3', data: mp3 }]);
    const first = row(await send('POST', 'audioFile', { body, type }));
    expect(first).toMatchObject({ path: 'custom/tono', state: 'ready', rate_hz: 48000 });
    expect(wavHz((await send('GET', `audioFile/${first.id}/content`)).bytes)).toBeCloseTo(600, -1);
    const raw = row(await send('POST', 'audioFile?name=telefono', { body: wav(500, 1, 8000), type: 'audio/wav' }));
    expect(raw).toMatchObject({ path: 'custom/telefono', state: 'ready', rate_hz: 8000, duration_ms: 1000 });
    const wide = row(await send('POST', 'audioFile?name=wide&folder=x', { body: wav(500, 1, 11025), type: 'audio/wav' }));
    expect(wide).toMatchObject({ path: 'x/wide', rate_hz: 16000 });
  });

  test('a voice memo of a mobile phone (M4A) is read by ffmpeg, which opens nothing else', async () => {
    const memo = readFileSync(fileURLToPath(new URL('fixtures/memo.m4a', import.meta.url)));
    const file = row(await upload('memo.m4a', memo));
    expect(file).toMatchObject({ path: 'custom/memo', state: 'ready', rate_hz: 16000 });
    expect(wavHz((await send('GET', `audioFile/${file.id}/content`)).bytes)).toBeCloseTo(700, -1);
    for (const list of ['#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n', 'ffconcat version 1.0\nfile /etc/passwd\n']) {
      const reply = await upload('list.m3u8', Buffer.from(list));
      expect(reply.status).toBe(422);
      expect(reply.json).toMatchObject({ code: 'unreadable' });
    }
  });

  test('[CHG-AUD-01] what is no sound, broken, empty or doubled is refused and nothing of it stays', async () => {
    const before = items(await send('GET', 'audioFile')).length;
    for (const [name, data, code] of [
      ['a.wav', Buffer.from('this is no sound at all, whatever its name says'), 'unreadable'],
      ['b.mp3', Buffer.alloc(4000, 0x55), 'unreadable'],
      ['c.wav', wav(440, 0, 8000), 'empty'],
      ['d.wav', wav(440, 1).subarray(0, 20), 'unreadable'],
    ] as const) {
      const reply = await upload(name, data);
      expect(reply.status, name).toBe(422);
      expect(reply.json).toMatchObject({ code, errors: [{ field: 'file', code }] });
    }
    const cut = form([{ name: 'file', fileName: 'e.wav', data: wav(440, 1) }]);
    expect((await send('POST', 'audioFile', { body: cut.body.subarray(0, cut.body.length - 8), type: cut.type })).status).toBe(400);
    expect((await upload('f.wav', Buffer.alloc(0))).status).toBe(400);
    expect((await upload('Twice.wav', wav(300, 0.3))).status).toBe(201);
    const twice = await upload('twice.wav', wav(300, 0.3));
    expect(twice.status).toBe(409);
    expect(twice.text).toContain('name');
    expect(items(await send('GET', 'audioFile')).length).toBe(before + 1);
    expect(incoming()).toEqual([]);
  });

  test('[CHG-AUD-01] the size limit: refused before the body is sent, with the limit named', async () => {
    await pbx().rest.ok('PATCH', `${V2}/audioSettings`, { audio_max_mb: 1 });
    const big = await upload('big.wav', wav(440, 80, 8000));
    expect(big.status).toBe(413);
    expect(big.text).toContain('1 MB');
    await pbx().rest.ok('PATCH', `${V2}/audioSettings`, { audio_max_mb: 64 });
    const now = await upload('big.wav', wav(440, 80, 8000));
    expect(now.status).toBe(201);
    expect(row(now)).toMatchObject({ duration_ms: 80000 });
  });

  test('strangers and readers cannot make the server keep a byte', async () => {
    const { body, type } = form([{ name: 'file', fileName: 'x.wav', data: wav(440, 60, 8000) }]);
    const status = await new Promise<number>((resolve, reject) => {
      const req = httpsRequest(`${pbx().rest.base}${V2}/audioFile`, {
        method: 'POST', rejectUnauthorized: false, headers: { 'Content-Type': type, 'Content-Length': body.length } },
      (res) => { res.resume(); resolve(res.statusCode ?? 0); });
      req.on('error', reject);
      req.end(body);
    });
    expect(status).toBe(401);
    expect(incoming()).toEqual([]);
  });

  test('[PLT-30] [CHG-AUD-01] replace, also while in use; a bad replacement leaves the old sound', async () => {
    const reply = await upload('replaced.wav', wav(400, 0.5));
    const file = row(reply);
    await pbx().rest.ok('PATCH', `${V2}/audioSettings`, { spy_audio_file: file.id });
    const put = await send('PUT', `audioFile/${file.id}/content?filename=new.wav`, { body: wav(800, 0.5, 16000), type: 'audio/wav' });
    expect(put.status).toBe(200);
    expect(row(put)).toMatchObject({ state: 'ready', rate_hz: 16000, source_name: 'new.wav', version: Number(file['version']) + 1 });
    expect(wavHz((await send('GET', `audioFile/${file.id}/content`)).bytes)).toBeCloseTo(800, -1);

    const bad = await send('PUT', `audioFile/${file.id}/content`, { body: Buffer.from('nonsense'), type: 'audio/wav' });
    expect(bad.status).toBe(422);
    const after = row(await send('GET', `audioFile/${file.id}`));
    expect(after).toMatchObject({ state: 'ready', playable: true });
    expect(String(after['reason'])).toContain('WAV');
    expect(wavHz((await send('GET', `audioFile/${file.id}/content`)).bytes)).toBeCloseTo(800, -1);

    await pbx().rest.ok('PATCH', `${V2}/audioSettings`, { spy_audio_file: null });
    expect((await send('DELETE', `audioFile/${file.id}`)).status).toBe(204);
    expect((await send('GET', `audioFile/${file.id}/content`)).status).toBe(404);
  });

  test('[PLT-30] predefined files speak, can be replaced and restored, not deleted', async () => {
    const found = items(await send('GET', 'audioFile?builtin=true')) as Row[];
    expect(found.map((file) => file['path'])).toEqual(['builtin/rec-start', 'builtin/rec-stop', 'builtin/spy-start']);
    const first = found[0];
    if (!first) throw new Error('none');
    expect(first).toMatchObject({ state: 'ready', playable: true });
    const spoken = await send('GET', `audioFile/${first.id}/content`);
    expect(spoken.status).toBe(200);
    expect(spoken.bytes.length).toBeGreaterThan(8000);
    expect((await send('DELETE', `audioFile/${first.id}`)).status).toBe(409);
    expect((await send('PUT', `audioFile/${first.id}/content`, { body: wav(700, 0.4), type: 'audio/wav' })).status).toBe(200);
    expect(wavHz((await send('GET', `audioFile/${first.id}/content`)).bytes)).toBeCloseTo(700, -1);
    expect((await send('DELETE', `audioFile/${first.id}/content`)).status).toBe(200);
    expect((await send('GET', `audioFile/${first.id}/content`)).bytes.equals(spoken.bytes)).toBe(true);
  });

  test('another tenant and a role without the permission see nothing', async () => {
    const file = row(await upload('private.wav', wav(440, 0.3)));
    const { admin: other } = await makeTenant(pbx(), 'audio-other');
    for (const [method, path] of [['GET', 'content'], ['PUT', 'content'], ['DELETE', 'content']] as const) {
      const reply = await other.call(method, `${V2}/audioFile/${file.id}/${path}`,
        method === 'PUT' ? { body: wav(100, 0.2), type: 'audio/wav' } : {});
      expect(reply.status, method).toBe(404);
    }
    expect(items(await other.call('GET', `${V2}/audioFile`)).length).toBe(3);
    const { client: clerk } = await makeUser(pbx(), 'audio-clerk');
    expect((await clerk.call('GET', `${V2}/audioFile`)).status).toBe(403);
    expect((await clerk.call('POST', `${V2}/audioFile`, { body: wav(100, 0.2), type: 'audio/wav' })).status).toBe(403);
  });

  test('[CHG-AUD-01] volatile files come with a token and go by themselves', async () => {
    const reply = await send('POST', 'volatileAudio?expires_s=3600&filename=once.wav', { body: wav(440, 0.5), type: 'audio/wav' });
    expect(reply.status).toBe(201);
    const made = reply.json as { token: string; state: string };
    expect(made.state).toBe('ready');
    expect((await send('GET', `volatileAudio/${made.token}/content`)).bytes.length).toBeGreaterThan(7000);
    expect(items(await send('GET', 'volatileAudio')).length).toBe(1);
    expect((await send('DELETE', `volatileAudio/${made.token}`)).status).toBe(204);
    expect((await send('GET', `volatileAudio/${made.token}`)).status).toBe(404);
    expect((await send('POST', 'volatileAudio?expires_s=1', { body: wav(440, 0.5), type: 'audio/wav' })).status).toBe(400);
  });

  test('a kill of jobs in the middle of conversions loses nothing', async () => {
    const pid = pbx().childPid('jobs');
    if (!pid) throw new Error('no jobs');
    process.kill(pid, 'SIGSTOP');
    const uploads = [1, 2, 3].map((n) => upload(`crash${n}.wav`, wav(300 + 100 * n, 20, 44100)));
    await until('the uploads wait', () => incoming().length === 3, 8000);
    process.kill(pid, 'SIGKILL');
    for (const reply of await Promise.all(uploads)) {
      expect(reply.status).toBe(201);
      const id = row(reply).id;
      await until('the conversion', async () => row(await send('GET', `audioFile/${id}`))['state'] === 'ready', 20_000);
    }
    expect(incoming()).toEqual([]);
  });
});

describe('music on hold', () => {
  test('[PLT-31] [D-151] five classes are there, with names in the reader\'s language', async () => {
    const names = async (language: string) => (items(await send('GET', 'mohClass', { headers: { 'Accept-Language': language } })) as Row[])
      .map((one) => one['name']);
    expect(await names('it')).toEqual(['Classe 1', 'Classe 2', 'Classe 3', 'Classe 4', 'Predefinita']);
    expect(await names('en')).toEqual(['Class 1', 'Class 2', 'Class 3', 'Class 4', 'Default']);
    const italian = row(await send('GET', `mohClass/${await pbx().idOf('mohClass', 'preset', 'class1')}`, { headers: { 'Accept-Language': 'it' } }));
    expect(italian).toMatchObject({ name: 'Classe 1', system_music: true, files: [] });
    const back = row(await send('PUT', `mohClass/${italian.id}`, { body: italian, headers: { 'Accept-Language': 'it' } }));
    expect(back['revision']).toBe(italian['revision']);
  });

  test('[PLT-31] several files at once, in order, random, reordered, removed', async () => {
    const made = row(await send('POST', 'mohClass', { body: { name: 'Negozio', random: true } }));
    const { body, type } = form([
      { name: 'file', fileName: 'primo.wav', data: wav(400, 1) },
      { name: 'file', fileName: 'secondo.mp3', data: mp3 },
      { name: 'file', fileName: 'rotto.wav', data: Buffer.from('no') },
      { name: 'file', fileName: 'terzo.wav', data: wav(600, 1, 16000) },
    ]);
    const reply = await send('POST', `mohClass/${made.id}/file`, { body, type });
    expect(reply.status).toBe(201);
    expect(reply.json).toMatchObject({
      added: [{ name: 'primo.wav' }, { name: 'secondo.mp3' }, { name: 'terzo.wav' }],
      failed: [{ name: 'rotto.wav', code: 'unreadable' }] });
    const now = row(await send('GET', `mohClass/${made.id}`));
    const files = now['files'] as { file: number; name: string; state: string }[];
    expect(files.map((file) => [file.name, file.state])).toEqual([['primo.wav', 'ready'], ['secondo.mp3', 'ready'], ['terzo.wav', 'ready']]);
    const reordered = row(await send('PUT', `mohClass/${made.id}`, { body: { ...now, files: [...files].reverse() } }));
    expect((reordered['files'] as { name: string }[]).map((file) => file.name)).toEqual(['terzo.wav', 'secondo.mp3', 'primo.wav']);
    expect(wavHz((await send('GET', `mohClass/${made.id}/file/${files[2]?.file}/content`)).bytes)).toBeCloseTo(600, -1);
    const less = row(await send('DELETE', `mohClass/${made.id}/file/${files[1]?.file}`));
    expect((less['files'] as { name: string }[]).map((file) => file.name)).toEqual(['terzo.wav', 'primo.wav']);

    // A file of another class is no file of this one.
    const other = await pbx().idOf('mohClass', 'preset', 'class2');
    expect((await send('GET', `mohClass/${other}/file/${files[0]?.file}/content`)).status).toBe(404);
    expect((await send('PATCH', `mohClass/${other}`, { body: { files: [{ file: files[0]?.file }] } })).status).toBe(422);
    // All broken: nothing is added, and it says so.
    const broken = form([{ name: 'file', fileName: 'x.wav', data: Buffer.from('no') }]);
    expect((await send('POST', `mohClass/${other}/file`, { body: broken.body, type: broken.type })).status).toBe(422);
  });

  test('[PLT-32] a class in use as the default one cannot be deleted', async () => {
    const settings = row(await send('GET', 'audioSettings'));
    expect((await send('DELETE', `mohClass/${settings['default_moh_class']}`)).status).toBe(409);
  });
});

describe('languages', () => {
  test('[PLT-33] [PLT-32] a custom language inherits, replaces, is chosen', async () => {
    const builtin = items(await send('GET', 'language')) as Row[];
    expect(builtin.map((one) => [one['code'], one['custom']])).toEqual([['us', false], ['es', false], ['it', false]]);
    const made = row(await send('POST', 'language', { body: { name: 'La nostra voce', base: 'it', variant: 'personal' } }));
    expect(made).toMatchObject({ code: 'it_personal', custom: true, replaced: 0 });
    const prompts = items(await send('GET', `language/${made.id}/prompt`)) as Record<string, unknown>[];
    expect(prompts.length).toBeGreaterThan(400);
    expect(prompts.every((prompt) => prompt['state'] === 'inherited' && prompt['playable'] === true)).toBe(true);
    expect(prompts.find((prompt) => prompt['name'] === 'numbers/28')).toMatchObject({ text: 'ventotto', replaced: false });

    const inherited = await send('GET', `language/${made.id}/prompt/general/goodbye/content`);
    expect(inherited.status).toBe(200);
    const put = await send('PUT', `language/${made.id}/prompt/general/goodbye/content`, { body: wav(500, 0.6), type: 'audio/wav' });
    expect(put.status).toBe(200);
    expect(existsSync(join(pbx().dataDir, 'audio/lang/it_personal/general/goodbye.wav'))).toBe(true);
    expect(wavHz((await send('GET', `language/${made.id}/prompt/general/goodbye/content`)).bytes)).toBeCloseTo(500, -1);
    expect(row(await send('GET', `language/${made.id}`))['replaced']).toBe(1);
    expect((await send('DELETE', `language/${made.id}/prompt/general/goodbye/content`)).status).toBe(204);
    expect((await send('GET', `language/${made.id}/prompt/general/goodbye/content`)).bytes.equals(inherited.bytes)).toBe(true);
    expect((await send('PUT', `language/${made.id}/prompt/no/such/content`, { body: wav(500, 0.6), type: 'audio/wav' })).status).toBe(404);

    expect((await send('PATCH', 'audioSettings', { body: { system_language: made.id } })).status).toBe(200);
    expect((await send('DELETE', `language/${made.id}`)).status).toBe(409);
    const it = await pbx().idOf('language', 'code', 'it');
    expect((await send('PATCH', 'audioSettings', { body: { system_language: it } })).status).toBe(200);
    expect((await send('PUT', `language/${it}/prompt/beep/content`, { body: wav(500, 0.6), type: 'audio/wav' })).status).toBe(409);
    expect((await send('DELETE', `language/${made.id}`)).status).toBe(204);
  });

  test('[PLT-33] [CHG-AUD-02] an archive replaces the prompts of the same name and says what did not match', async () => {
    const made = row(await send('POST', 'language', { body: { name: 'Archivio', base: 'us', variant: 'zip' } }));
    const archive = zip({
      'us_zip/general/saved.wav': wav(450, 0.5),
      'beep.mp3': mp3,
      'digits/1.wav': Buffer.from('no sound'),
      'readme.txt': Buffer.from('hello'),
      '../../etc/passwd': Buffer.from('root'),
      '__MACOSX/._beep.mp3': Buffer.from('litter'),
    });
    const { body, type } = form([{ name: 'file', fileName: 'voci.zip', data: archive }]);
    const reply = await send('POST', `language/${made.id}/archive`, { body, type });
    expect(reply.status).toBe(200);
    const report = reply.json as { matched: { prompt: string; state: string }[]; unknown: string[]; failed: { prompt: string; code: string }[] };
    expect(report.matched.map((one) => one.prompt).sort()).toEqual(['beep', 'digits/1', 'general/saved']);
    expect(report.unknown).toContain('readme.txt');
    expect(report.failed).toMatchObject([{ prompt: 'digits/1', code: 'unreadable' }]);
    expect(row(await send('GET', `language/${made.id}`))['replaced']).toBe(2);
    expect(readdirSync(join(pbx().dataDir, 'audio/lang/us_zip')).sort()).toEqual(['beep.wav', 'digits', 'general']);
    expect(readdirSync(join(pbx().dataDir, 'audio/lang/us_zip/digits'))).toEqual([]);
    expect(statSync(join(pbx().dataDir, 'audio/lang/us_zip/beep.wav')).size).toBeGreaterThan(1000);

    const noZip = await send('POST', `language/${made.id}/archive`, { body: Buffer.from('no zip'), type: 'application/zip' });
    expect(noZip.status, noZip.text).toBe(422);
    const cut = await send('POST', `language/${made.id}/archive`, { body: archive.subarray(0, archive.length - 300), type: 'application/zip' });
    expect(cut.status).toBeLessThan(500);
    expect(incoming()).toEqual([]);
  });

  test('the addresses of /rest/ know languages by their code, and speak XML and JSON', async () => {
    const rest = (method: string, path: string, options: CallOptions = {}) => pbx().rest.call(method, `/rest/${path}`, options);
    expect((await rest('GET', 'language/it/prompt/numbers/21/content')).headers['content-type']).toBe('audio/wav');
    const made = await rest('POST', 'audioFile?name=xml', { body: wav(440, 0.3), type: 'audio/wav', accept: 'application/xml' });
    expect(made.status).toBe(201);
    expect(made.text).toContain('<state>ready</state>');
    const bad = await rest('POST', 'audioFile?name=bad', { body: Buffer.from('x'), type: 'audio/wav' });
    expect([bad.status, (bad.json as { code: string }).code]).toEqual([400, 'unreadable']);
    const doc = (await pbx().rest.ok('GET', '/api/doc.json')).json as { paths: Record<string, Record<string, unknown>> };
    expect(JSON.stringify(doc.paths['/api/pbx/v2/mohClass/{key}/file'])).toContain('multipart/form-data');
  });

  test('tenants read the languages and choose, the machine\'s administrator makes them', async () => {
    const { admin: other } = await makeTenant(pbx(), 'audio-reader');
    expect(items(await other.call('GET', `${V2}/language`)).length).toBeGreaterThanOrEqual(3);
    expect((await other.call('POST', `${V2}/language`, { body: { name: 'x', base: 'it', variant: 'x' } })).status).toBe(403);
    const us = await pbx().idOf('language', 'code', 'us');
    expect((await other.call('PATCH', `${V2}/audioSettings`, { body: { system_language: us } })).status).toBe(200);
  });
});
