// Recordings, and listening to calls: with real phones, each with a tone of its own.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect } from 'vitest';

import { Baresip } from './lib/baresip.js';
import { stopPbx, test, type Phones } from './lib/fixtures.js';
import { MiniPhone } from './lib/miniphone.js';
import { aoideBinary, Pbx } from './lib/pbx.js';
import { run } from './lib/proc.js';
import { wav } from './lib/sound.js';
import { toneShare, type Sound } from './lib/tone.js';
import { delay, until } from './lib/wait.js';

afterAll(stopPbx);

type Row = Record<string, unknown>;
type Wav = { rate: number; channels: Sound[]; seconds: number };

/** A finished WAV, strictly: lengths in the header must be those of the file. */
function readRecording(path: string): Wav {
  const data = readFileSync(path);
  expect(data.toString('latin1', 0, 4)).toBe('RIFF');
  expect(data.readUInt32LE(4)).toBe(data.length - 8);
  expect(data.readUInt32LE(40)).toBe(data.length - 44);
  const [n, rate] = [data.readUInt16LE(22), data.readUInt32LE(24)];
  const frames = (data.length - 44) / 2 / n;
  const channels = Array.from({ length: n }, (_, c): Sound => {
    const samples = new Float32Array(frames);
    for (let i = 0; i < frames; i++) samples[i] = data.readInt16LE(44 + 2 * (i * n + c)) / 32768;
    return { rate, samples };
  });
  return { rate, channels, seconds: frames / rate };
}

type OggPage = { granule: number; isLast: boolean; body: Buffer };

/** RFC 3533, strictly: every page where the last one ends, in order, with its checksum. */
function oggPages(data: Buffer): OggPage[] {
  const pages: OggPage[] = [];
  for (let at = 0; at < data.length; ) {
    expect(data.toString('latin1', at, at + 4)).toBe('OggS');
    expect(data.readUInt32LE(at + 18)).toBe(pages.length);
    const segments = data[at + 26] ?? 0;
    const head = 27 + segments;
    const length = data.subarray(at + 27, at + head).reduce((sum, one) => sum + one, 0);
    const page = Buffer.from(data.subarray(at, at + head + length));
    const told = page.readUInt32LE(22);
    page.writeUInt32LE(0, 22);
    let crc = 0;
    for (const octet of page) {
      crc ^= octet << 24;
      for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
    }
    expect(crc >>> 0).toBe(told);
    pages.push({ granule: Number(page.readBigInt64LE(6)), isLast: ((page[5] ?? 0) & 4) !== 0, body: page.subarray(head) });
    at += head + length;
  }
  return pages;
}

const share = (wav: Wav, channel: number, hz: number, fromS = 0.3): number =>
  toneShare(wav.channels[channel] ?? { rate: 8000, samples: new Float32Array(0) }, hz, fromS);

const folder = (pbx: Pbx): string => join(pbx.dataDir, 'recordings');
const fileOf = (output: string): string => output.trim().split(' ').pop() ?? '';

/** 101 (400 Hz) and 102 (500 Hz) talk; the call's linkedid. */
async function conversation(pbx: Pbx, phones: Phones): Promise<{ alice: Baresip; bob: Baresip; id: string }> {
  const alice = await phones.start('101');
  const bob = await phones.start('102', { autoAnswer: true });
  await alice.dial('102');
  await alice.waitEvent('CALL_ESTABLISHED');
  await alice.hears(500);
  const [call] = await pbx.ctlJson<Row[]>('calls');
  return { alice, bob, id: String(call?.['linkedid']) };
}

async function whenThere(path: string): Promise<string> {
  await until(path, () => existsSync(path));
  return path;
}

/** How much of what a phone hears now is these tones. */
function mixOf(phone: Baresip, ...tones: number[]): number[] {
  const sound = phone.heard();
  const end = sound.samples.length / sound.rate;
  return tones.map((hz) => toneShare(sound, hz, end - 0.5, end));
}

const present = (shares: number[]): boolean[] => shares.map((one) => one > 0.15);

describe('recordings', () => {
  test('[PLT-89] stereo: who called left, who answered right; the metadata beside it', async ({ pbx, phones }) => {
    const { alice, id } = await conversation(pbx, phones);
    const file = fileOf(await pbx.ctl('record', id, 'start', '--stereo'));
    expect(file).toMatch(new RegExp(`^\\d+/\\d{4}/\\d\\d/\\d\\d/${id}-1\\.wav$`));
    expect(existsSync(join(folder(pbx), file))).toBe(false); // not before it is complete
    await delay(2000);
    const twice = await run(aoideBinary, ['ctl', '--data', pbx.dataDir, 'record', id, 'start']);
    expect([twice.code, twice.output.includes('already')]).toEqual([1, true]);
    await pbx.ctl('record', id, 'stop');
    const wav = readRecording(await whenThere(join(folder(pbx), file)));
    expect(wav.channels).toHaveLength(2);
    expect(wav.seconds).toBeGreaterThan(1.5);
    expect(share(wav, 0, 400)).toBeGreaterThan(0.9);
    expect(share(wav, 1, 500)).toBeGreaterThan(0.9);
    expect(share(wav, 0, 500)).toBeLessThan(0.02);
    await alice.hears(500); // the call goes on
    expect(existsSync(join(folder(pbx), `${file}.txt`))).toBe(false); // the CDR is not known yet

    await alice.hangup();
    const [cdr] = await pbx.cdrs(1);
    const text = readFileSync(await whenThere(join(folder(pbx), `${file}.txt`)), 'utf8');
    const time = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ';
    expect(text.replace(new RegExp(time, 'g'), 'TIME').replace(/(duration|bill_secs)=\d+/g, '$1=N')).toBe(
      [
        '[Record data]', 'start_recording_timestamp=TIME', 'stop_recording_timestamp=TIME', 'direction=4',
        'type=2', 'sequence_number=1', 'owner=101', 'destination_type=3',
        `destination_name=${String(cdr?.['called_name'])}`, '',
        '[cdr_data]', `linked_id=${id}`, 'start_time=TIME', 'channel_up_time=TIME', 'answer_time=TIME',
        'end_time=TIME', 'status=OK', 'caller_id=101', `caller_name=${String(cdr?.['caller_name'])}`,
        'called=102', `called_name=${String(cdr?.['called_name'])}`, 'answered_by=102', 'account_code=',
        'queue=', 'duration=N', 'bill_secs=N', '',
      ].join('\n'),
    );
  });

  test('mono has both; a pause leaves a hole; it ends with the call', async ({ pbx, phones }) => {
    const { alice, id } = await conversation(pbx, phones);
    const begun = performance.now();
    const file = fileOf(await pbx.ctl('record', id, 'start', '--mono'));
    await delay(1200);
    await pbx.ctl('record', id, 'pause');
    await delay(2000);
    await pbx.ctl('record', id, 'resume');
    await delay(1200);
    await alice.hangup();
    const wav = readRecording(await whenThere(join(folder(pbx), file)));
    expect(wav.channels).toHaveLength(1);
    expect(wav.seconds).toBeGreaterThan(2);
    expect(wav.seconds).toBeLessThan((performance.now() - begun) / 1000 - 1.8); // without the pause
    expect(share(wav, 0, 400)).toBeGreaterThan(0.3);
    expect(share(wav, 0, 500)).toBeGreaterThan(0.3);
    const { media } = await pbx.ctlJson<{ media: Row }>('status');
    expect(media).toMatchObject({ recordings_failed: 0, recordings_lost_ms: 0 });
    expect(Number(media['recordings'])).toBeGreaterThan(0);
    const none = await run(aoideBinary, ['ctl', '--data', pbx.dataDir, 'record', id, 'stop']);
    expect(none.code).toBe(4); // the call is over
  });

  test('Opus: whole pages from head to end, as long as what was said', async ({ pbx, phones }) => {
    const { id } = await conversation(pbx, phones);
    const begun = performance.now();
    const file = fileOf(await pbx.ctl('record', id, 'start', '--opus'));
    expect(file).toMatch(/\.opus$/);
    await delay(2000);
    await pbx.ctl('record', id, 'stop');
    const pages = oggPages(readFileSync(await whenThere(join(folder(pbx), file))));
    expect(pages[0]?.body.toString('latin1', 0, 8)).toBe('OpusHead');
    expect(pages[0]?.body[9]).toBe(2); // channels
    expect(pages[1]?.body.toString('latin1', 0, 8)).toBe('OpusTags');
    const preSkip = pages[0]?.body.readUInt16LE(10) ?? 0;
    const last = pages[pages.length - 1];
    expect(last?.isLast).toBe(true);
    const seconds = ((last?.granule ?? 0) - preSkip) / 48_000;
    expect(seconds).toBeGreaterThan(1.7);
    expect(seconds).toBeLessThan((performance.now() - begun) / 1000 + 0.1);
    expect(pages.reduce((sum, page) => sum + page.body.length, 0) / seconds).toBeLessThan(10_000);
  });

  test('[D-206] an encrypted recording is noise, and opens with this installation only', async ({ pbx, phones }) => {
    const { id } = await conversation(pbx, phones);
    const file = fileOf(await pbx.ctl('record', id, 'start', '--encrypt'));
    expect(file).toMatch(/\.wav\.enc$/);
    await delay(1500);
    await pbx.ctl('record', id, 'stop');
    const path = await whenThere(join(folder(pbx), file));
    const data = readFileSync(path);
    expect(data.includes('RIFF')).toBe(false);
    expect(new Set(data.subarray(1000, 5000)).size).toBe(256);

    const out = join(pbx.dataDir, 'open.wav');
    await pbx.ctl('recording-decrypt', path, out);
    const wav = readRecording(out);
    expect(share(wav, 0, 400)).toBeGreaterThan(0.9);
    expect(share(wav, 1, 500)).toBeGreaterThan(0.9);

    // Another installation has another key; the key file is of no use without this machine's.
    const other = mkdtempSync(join(tmpdir(), 'aoide-other-'));
    const config = readFileSync(join(pbx.dataDir, 'run/aoide.conf'), 'utf8');
    expect(readFileSync(join(pbx.dataDir, 'recordings.key'), 'utf8')).toMatch(/^s1:/);
    mkdirSync(join(other, 'run'));
    writeFileSync(join(other, 'run/aoide.conf'), config);
    const wrong = await run(aoideBinary, ['ctl', '--data', other, 'recording-decrypt', path, join(other, 'x.wav')]);
    expect([wrong.code, existsSync(join(other, 'x.wav'))]).toEqual([1, false]);
    rmSync(other, { recursive: true });
  });

  test('kill -9 of the media process in the middle leaves a file that plays', async () => {
    const own = await Pbx.start();
    const open: Baresip[] = [];
    const phone = async (extension: string, toneHz: number, autoAnswer: boolean): Promise<Baresip> => {
      const { username, secret } = own.account(extension);
      const made = await Baresip.start({ username, secret, server: own.facts.sip.udp, toneHz, autoAnswer });
      open.push(made);
      return made;
    };
    try {
      const alice = await phone('101', 400, false);
      await phone('102', 500, true);
      await alice.dial('102');
      await alice.hears(500);
      const [call] = await own.ctlJson<Row[]>('calls');
      const file = fileOf(await own.ctl('record', String(call?.['linkedid']), 'start'));
      await delay(2200);
      await own.killChild('media');
      const wav = readRecording(await whenThere(join(folder(own), file)));
      expect(wav.seconds).toBeGreaterThan(1.5);
      expect(share(wav, 0, 400)).toBeGreaterThan(0.9);
      expect(share(wav, 1, 500)).toBeGreaterThan(0.9);
      expect(readdirSync(join(folder(own), file, '..')).filter((name) => name.endsWith('.part'))).toEqual([]);
      await whenThere(join(folder(own), `${file}.txt`));
    } finally {
      for (const one of open) await one.close();
      await own.stop();
    }
  });
});

describe('kill -9 while a call is recorded', () => {
  const values = (text: string): Record<string, string> =>
    Object.fromEntries([...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, key, value]) => [key, value]));

  for (const what of ['the switch', 'everything'] as const) {
    test(`[PLT-89] ${what}: the recording and its metadata are there, with what was known and when it ended`, async () => {
      const own = await Pbx.start();
      const phones: MiniPhone[] = [];
      const phone = async (extension: string): Promise<MiniPhone> => {
        const { username, secret } = own.account(extension);
        const made = await MiniPhone.open(username, secret, own.facts.sip.udp);
        phones.push(made);
        expect(await made.register()).toBe(200);
        return made;
      };
      try {
        await phone('102');
        const caller = await phone('101');
        const call = await caller.call('102');
        call.rtp.start();
        const [row] = await own.ctlJson<Row[]>('calls');
        const id = String(row?.['linkedid']);
        const file = fileOf(await own.ctl('record', id, 'start'));
        await delay(2500);
        const killedAt = Date.now();
        if (what === 'everything') await own.restart('SIGKILL');
        else await own.killChild('switch');

        const text = readFileSync(await whenThere(join(folder(own), `${file}.txt`)), 'utf8');
        const told = values(text);
        expect(told).toMatchObject({
          linked_id: id, type: '2', sequence_number: '1', owner: '101', destination_type: '3', status: 'OK', caller_id: '101',
          called: '102', answered_by: '102',
        });
        const wav = readRecording(await whenThere(join(folder(own), file)));
        expect(wav.seconds).toBeGreaterThan(1.3);
        const startedAt = Date.parse(told['start_recording_timestamp'] ?? '');
        const stoppedAt = Date.parse(told['stop_recording_timestamp'] ?? '');
        // The file says how long; times are whole seconds, and a header is a second old at most.
        expect(Math.abs(stoppedAt - startedAt - wav.seconds * 1000)).toBeLessThan(2500);
        if (what === 'everything') expect(stoppedAt).toBeLessThan(killedAt + 1500);
        const [cdr] = await own.cdrs(1);
        expect(cdr).toMatchObject({ linkedid: id, status: 'OK' });
      } finally {
        for (const one of phones) await one.close();
        await own.stop();
      }
    });
  }
});

describe('listening to a call', () => {
  const announce = (pbx: Pbx, file: number | null): Promise<void> =>
    pbx.configure([{ path: '/api/pbx/v2/audioSettings', body: { spy_audio_file: file } }]);

  test('[PLT-32] who is listened to hears the file of the audio settings, and nobody else does', async ({ pbx, phones }) => {
    const id = await pbx.idOf('audioFile', 'path', 'builtin/spy-start');
    const content = `/api/pbx/v2/audioFile/${id}/content`;
    const put = await pbx.rest.call('PUT', content, { body: wav(700, 8), type: 'audio/wav' });
    expect(put.status).toBe(200);
    await announce(pbx, id);
    const talk = await conversation(pbx, phones);
    const carol = await phones.start('103', { autoAnswer: true, toneHz: 900 });
    await pbx.ctl('spy', talk.id, '103');
    await carol.waitEvent('CALL_ESTABLISHED');
    await until('the file, over the conversation', () => present(mixOf(talk.bob, 400, 700)).every(Boolean));
    expect(present(mixOf(talk.alice, 500, 700))).toEqual([true, false]);
    carol.forget();
    await talk.alice.hangup();
    await carol.waitEvent('CALL_CLOSED');
    await pbx.settled();
    await pbx.rest.ok('DELETE', content);
    await announce(pbx, null);
  });

  test('spy hears both and is heard by none; whisper by one; barge by all; keys change it', async ({ pbx, phones }) => {
    await announce(pbx, null);
    const { alice, bob, id } = await conversation(pbx, phones);
    const carol = await phones.start('103', { autoAnswer: true, toneHz: 900 });
    expect(await pbx.ctlJson<Row[]>('room')).toEqual([]);
    await pbx.ctl('spy', id, '103');
    await carol.waitEvent('CALL_ESTABLISHED');

    await until('she hears both', () => present(mixOf(carol, 400, 500)).every(Boolean));
    await delay(500);
    expect(present(mixOf(alice, 500, 900))).toEqual([true, false]);
    expect(present(mixOf(bob, 400, 900))).toEqual([true, false]);
    expect(await pbx.ctlJson<Row[]>('room')).toEqual([
      { linkedid: id, members: [
        { extension: '101', role: 'caller' }, { extension: '102', role: 'called' }, { extension: '103', role: 'spy' },
      ] },
    ]);

    await carol.command('sndcode', '5').catch(() => carol.command('dtmf', '5'));
    await until('who answered hears the whisper', () => present(mixOf(bob, 400, 900)).every(Boolean));
    await delay(700);
    expect(present(mixOf(alice, 500, 900))).toEqual([true, false]);

    await carol.command('sndcode', '6').catch(() => carol.command('dtmf', '6'));
    await until('both hear her', () => present(mixOf(alice, 500, 900)).every(Boolean));
    expect(present(mixOf(bob, 400, 900))).toEqual([true, true]);

    // She leaves: two talk as before.
    await carol.hangup();
    await alice.hears(500);
    await bob.hears(400);
    expect(await pbx.ctlJson<Row[]>('room')).toEqual([]);

    // The call ends: so does listening to it.
    carol.forget();
    await pbx.ctl('spy', id, '103', '--whisper', '--to-caller');
    await carol.waitEvent('CALL_ESTABLISHED');
    await until('the caller hears the whisper', () => present(mixOf(alice, 500, 900)).every(Boolean));
    await delay(500);
    expect(present(mixOf(bob, 400, 900))).toEqual([true, false]);
    await alice.hangup();
    await carol.waitEvent('CALL_CLOSED');
    await pbx.settled();
  });

  test('what cannot be listened to is told', async ({ pbx, phones }) => {
    const ctl = (...args: string[]): Promise<{ code: number | null; output: string }> =>
      run(aoideBinary, ['ctl', '--data', pbx.dataDir, ...args]);
    expect((await ctl('spy', '1.1', '103')).code).toBe(4);
    const { alice, id } = await conversation(pbx, phones);
    const nobody = await ctl('spy', id, '999');
    expect([nobody.code, nobody.output.includes('no such extension')]).toEqual([1, true]);
    await alice.hangup();
  });
});
