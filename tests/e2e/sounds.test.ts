// What the PBX says itself: the echo test, prompts, tones, music by class (issue: media engine, part 6).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { status } from './lib/sipmessage.js';
import { form, wav } from './lib/sound.js';
import { toneShare, writeTone, type Sound } from './lib/tone.js';
import { delay, until } from './lib/wait.js';

afterAll(stopPbx);

type Row = Record<string, unknown>;

/** The last second of what a phone has heard. */
const tail = (sound: Sound, seconds: number): [number, number] => {
  const end = sound.samples.length / sound.rate;
  return [Math.max(0, end - seconds), end];
};
const callId = async (pbx: Pbx): Promise<string> =>
  until('the call is listed', async () => (await pbx.ctlJson<Row[]>('calls'))[0]?.['linkedid'] as string | undefined);

/** Runs with an account that may use one codec only. */
async function withCodec(pbx: Pbx, codec: string, run: () => Promise<void>): Promise<void> {
  const path = `/api/pbx/v2/account/${await pbx.idOf('account', 'username', pbx.account('101').username)}`;
  await pbx.configure([{ path, body: { audio_codecs: [codec.toUpperCase()] } }]);
  try {
    await run();
  } finally {
    await pbx.configure([{ path, body: { audio_codecs: null } }]);
  }
}

describe('the echo test', () => {
  test('[TEL-53] 800 speaks a message, then the caller hears its own voice; the CDR tells it', async ({ pbx, phones }) => {
    const before = (await pbx.cdrs(0)).length;
    const alice = await phones.start('101'); // says 400 Hz
    await alice.dial('800');
    await alice.waitEvent('CALL_ESTABLISHED');
    await until('the message is heard', () => {
      const sound = alice.heard();
      const [from, to] = tail(sound, 1);
      return to > 1.5 && alice.heardLevel() > 0.02 && toneShare(sound, 400, from, to) < 0.3;
    });
    await alice.hears(400, 30_000); // after the message: its own tone
    await alice.hangup();
    const rows = await pbx.cdrs(before + 1);
    expect(rows[0]).toMatchObject({ caller: '101', called: '800', destination_type: 'service', status: 'OK' });
    expect(Number(rows[0]?.['bill_secs'])).toBeGreaterThan(2);
    expect((rows[0]?.['details'] as Row[])[0]).toMatchObject({
      detail_destination_type: 'service', detail_destination_id: 'echo', detail_exit_cause: 'NCC',
    });
  });

  test('a key skips the message, other keys do not', async ({ pbx, phones }) => {
    const alice = await phones.start('101');
    await alice.dial('800');
    await alice.waitEvent('CALL_ESTABLISHED');
    await until('the message is heard', () => alice.heardLevel() > 0.02);
    await alice.command('sndcode', '5').catch(() => alice.command('dtmf', '5'));
    await delay(700);
    await expect(alice.hears(400, 100)).rejects.toThrow();
    await alice.command('sndcode', '#').catch(() => alice.command('dtmf', '#'));
    await alice.hears(400, 2500); // the message takes ten times as long
    await alice.hangup();
    await pbx.settled();
  });

  for (const codecs of ['PCMU', 'G722', 'opus', 'gsm']) {
    test(`the echo works in ${codecs}`, ({ pbx, phones }) => withCodec(pbx, codecs, async () => {
      const alice = await phones.start('101', { codecs });
      await alice.dial('800');
      await alice.waitEvent('CALL_ESTABLISHED');
      await until('the message is heard', () => alice.heardLevel() > 0.02);
      await alice.command('sndcode', '#').catch(() => alice.command('dtmf', '#'));
      await alice.hears(400, 8000);
      await alice.hangup();
      await pbx.settled();
    }));
  }
});

describe('the language that is spoken', () => {
  const fromMuLaw = (octet: number): number => {
    const u = ~octet & 0xff;
    const value = (((u & 15) << 3) + 0x84 << ((u >> 4) & 7)) - 0x84;
    return u & 0x80 ? -value : value;
  };
  /** Half a second from the middle of a prompt. */
  const excerpt = (folder: string): number[] => {
    const file = readFileSync(new URL(`../../share/prompts/${folder}/echo/intro.wav`, import.meta.url));
    return [...file.subarray(20_000, 24_000)].map(fromMuLaw);
  };
  /** How alike the excerpt and the most alike piece of what was heard are, 0 to 1. */
  function likeness(heard: number[], part: number[]): number {
    const power = (list: number[]): number => list.reduce((sum, x) => sum + x * x, 0);
    let best = 0;
    for (let at = 0; at + part.length <= heard.length; at++) {
      let dot = 0;
      for (let i = 0; i < part.length; i += 4) dot += (heard[at + i] ?? 0) * (part[i] ?? 0);
      if (Math.abs(dot) * 4 <= best * power(part) * 0.3) continue;
      const piece = heard.slice(at, at + part.length);
      const exact = piece.reduce((sum, x, i) => sum + x * (part[i] ?? 0), 0);
      best = Math.max(best, exact / Math.sqrt(power(piece) * power(part) || 1));
    }
    return best;
  }

  async function spoken(pbx: Pbx, extension: string): Promise<string> {
    const { username, secret } = pbx.account(extension);
    const phone = await MiniPhone.open(username, secret, pbx.facts.sip.udp);
    try {
      expect(await phone.register()).toBe(200);
      const call = await phone.call('800');
      call.rtp.records = true;
      call.rtp.start();
      await until('the middle of the message', () => call.rtp.sound.length > 28_000);
      await phone.hangup(call);
      const all = ['it', 'us'].map((folder) => ({ folder, like: likeness(call.rtp.sound, excerpt(folder)) }));
      expect(all.filter(({ like }) => like > 0.95)).toHaveLength(1);
      return all.find(({ like }) => like > 0.95)?.folder ?? '';
    } finally {
      await phone.close();
    }
  }

  test('[D-367] [PLT-32] the user\'s, else the tenant\'s; Spanish, which has no recordings, speaks English', async ({ pbx }) => {
    const extension = await pbx.idOf('extension', 'number', '104');
    await pbx.configure([{
      method: 'POST', path: '/api/pbx/v2/user', body: { username: 'speaker', password: 'Loud-and-clear-104', extension, language: 'en' },
    }]);
    const user = await pbx.idOf('user', 'username', 'speaker');
    const settings = '/api/pbx/v2/audioSettings';
    const before = (await pbx.rest.ok('GET', settings)).json as { system_language: unknown };
    expect(await spoken(pbx, '101')).toBe('it');
    expect(await spoken(pbx, '104')).toBe('us');
    await pbx.configure([{ path: `/api/pbx/v2/user/${user}`, body: { language: 'it' } }]);
    expect(await spoken(pbx, '104')).toBe('it');
    const spanish = await pbx.idOf('language', 'code', 'es');
    try {
      await pbx.configure([{ path: settings, body: { system_language: spanish } }]);
      expect(await spoken(pbx, '101')).toBe('us');
      expect(await spoken(pbx, '104')).toBe('it');
    } finally {
      const was = before.system_language as { id?: number } | number;
      await pbx.configure([{ path: settings, body: { system_language: typeof was === 'object' ? was.id : was } }]);
      await pbx.configure([{ method: 'DELETE', path: `/api/pbx/v2/user/${user}` }]);
    }
  });
});

describe('music on hold', () => {
  /** A class with one uploaded file, a tone. */
  async function makeClass(pbx: Pbx, name: string, hz: number): Promise<number> {
    const made = await pbx.rest.call('POST', '/api/pbx/v2/mohClass', { body: { name } });
    expect(made.status).toBe(201);
    const { id } = made.json as { id: number };
    const { body, type } = form([{ name: 'file', fileName: `${hz}.wav`, data: wav(hz, 2, 44_100, 2) }]);
    expect((await pbx.rest.call('POST', `/api/pbx/v2/mohClass/${id}/file`, { body, type })).status).toBe(201);
    return id;
  }
  const useClass = (pbx: Pbx, id: number | null): Promise<void> =>
    pbx.configure([{ path: '/api/pbx/v2/audioSettings', body: { default_moh_class: id } }]);

  test('[PLT-31] each class has its own music, and the tenant chooses which is heard', async ({ pbx, phones }) => {
    const first = await makeClass(pbx, 'Shop', 620);
    const second = await makeClass(pbx, 'Office', 930);
    const settings = await pbx.rest.ok('GET', '/api/pbx/v2/audioSettings');
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    for (const [id, hz] of [[first, 620], [second, 930]] as const) {
      await useClass(pbx, id);
      alice.forget();
      await alice.dial('102');
      await alice.waitEvent('CALL_ESTABLISHED');
      await bob.hears(400);
      await alice.hold();
      await bob.hears(hz);
      await alice.resume();
      await bob.hears(400);
      await alice.hangup();
      await pbx.settled();
    }
    const before = (settings.json as { default_moh_class?: number; items?: { default_moh_class: number }[] });
    await useClass(pbx, before.default_moh_class ?? before.items?.[0]?.default_moh_class ?? null);
  });
});

describe('sounds that an operator plays', () => {
  for (const codecs of ['PCMA', 'G722', 'opus']) {
    test(`a WAV of 48 kHz has the right pitch in ${codecs}`, ({ pbx, phones }) => withCodec(pbx, codecs, async () => {
      const path = join(pbx.dataDir, 'audio', `pitch-${codecs}.wav`);
      writeTone(path, 1100, 3, 48_000);
      const alice = await phones.start('101', { codecs });
      const bob = await phones.start('102', { autoAnswer: true, codecs });
      await alice.dial('102');
      await alice.waitEvent('CALL_ESTABLISHED');
      await alice.hears(500);
      await pbx.ctl('play', await callId(pbx), 'a', path);
      await alice.hears(1100);
      await bob.hears(400); // hears the caller all the time
      await alice.hears(500); // the sound is over: the other side again
      await alice.hangup();
      await bob.waitEvent('CALL_CLOSED');
    }));
  }

  test('the other party hears a tone until it is stopped; a call that is not there is told', async ({ pbx, phones }) => {
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    const id = await callId(pbx);
    await pbx.ctl('play', id, 'b', 'tone:850/0');
    await bob.hears(850);
    await pbx.ctl('play', id, 'b');
    await bob.hears(400);
    await expect(pbx.ctl('play', '1.1', 'a', 'tone:850/100')).rejects.toThrow(/exit 4/);
    await expect(pbx.ctl('play', id, 'c', 'tone:850/100')).rejects.toThrow(/exit 2/);
    await alice.hangup();
  });

  test('the tones of a country are heard until they are stopped; a country that is not known is told', async ({ pbx, phones }) => {
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    const id = await callId(pbx);
    await alice.hears(500);
    await pbx.ctl('play', id, 'a', 'tone:fr/ringback');
    await alice.hears(440);
    await pbx.ctl('play', id, 'a', 'tone:at/busy');
    await alice.hears(420);
    await pbx.ctl('play', id, 'a');
    await alice.hears(500);
    await expect(pbx.ctl('play', id, 'a', 'tone:xx/busy')).rejects.toThrow(/no such country or tone/);
    await bob.hears(400);
    await alice.hangup();
  });

  test('[TEL-03] hold and a prompt: the music comes back after it', async ({ pbx, phones }) => {
    const alice = await phones.start('101');
    const bob = await phones.start('102', { autoAnswer: true });
    await alice.dial('102');
    await alice.waitEvent('CALL_ESTABLISHED');
    await bob.hears(400);
    await alice.hold();
    const id = await callId(pbx);
    await pbx.ctl('play', id, 'b', 'tone:850/1500');
    await bob.hears(850);
    await until('music', () => bob.heardLevel() > 0.005 && toneShare(bob.heard(), 850, ...tail(bob.heard(), 0.5)) < 0.2);
    await alice.resume();
    await bob.hears(400);
    await alice.hangup();
  });

  test('before the answer it is early media: 183, heard while the phone rings, then both talk', async ({ pbx }) => {
    let answer = (): void => undefined;
    const { username, secret } = pbx.account('102');
    const callee = await MiniPhone.open(username, secret, pbx.facts.sip.udp, {
      onInvite: (self, call, invite) => {
        self.respond(call, invite, 180, 'Ringing');
        answer = () => {
          call.rtp.fill = 0x2a;
          call.rtp.start();
          self.respond(call, invite, 200, 'OK', self.sdp(call.rtp));
        };
      },
    });
    const from = pbx.account('101');
    const caller = await MiniPhone.open(from.username, from.secret, pbx.facts.sip.udp);
    expect(await callee.register()).toBe(200);
    expect(await caller.register()).toBe(200);
    const pending = caller.call('102');
    const call = await until('the call exists', () => caller.calls[0]);
    await until('180', () => call.provisional.find((m) => status(m) === 180));
    await pbx.ctl('play', await callId(pbx), 'a', 'tone:425/0');
    const early = await until('183 with a description', () => call.provisional.find((m) => status(m) === 183 && m.body));
    expect(early.body).toMatch(/m=audio [1-9]/);
    await until('the tone', () => call.rtp.received > 20);
    expect(call.isUp).toBe(false);
    expect((await pbx.ctlJson<Row[]>('calls'))[0]?.['state']).toBe('ringing');
    await pbx.ctl('play', await callId(pbx), 'a');
    answer();
    await pending;
    expect(call.status).toBe(200);
    call.rtp.start();
    await until('the callee', () => call.rtp.heardFill === 0x2a);
    expect(await caller.hangup(call)).toBe(200);
    await caller.close();
    await callee.close();
    await pbx.settled();
  });
});
