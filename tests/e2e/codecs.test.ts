// Phones with different codecs talk through the PBX, which decodes and encodes anew (issue: media engine, point 1).
import { afterAll, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import type { Pbx } from './lib/pbx.js';
import { withAccounts } from './lib/phones.js';
import { toneShare } from './lib/tone.js';
import { until } from './lib/wait.js';
import type { Baresip } from './lib/baresip.js';

afterAll(stopPbx);

/** As the configuration and as baresip call them. */
const codecs = [
  ['PCMA', 'pcma'],
  ['PCMU', 'pcmu'],
  ['G722', 'g722'],
  ['G726', 'G726-32/8000/1'],
  ['GSM', 'gsm'],
  ['OPUS', 'opus/48000/2'],
] as const;

const setCodecs = (pbx: Pbx, of: Record<string, string[] | null>, srtp = 'off'): Promise<void> =>
  withAccounts(pbx, Object.fromEntries(Object.entries(of).map(([extension, list]) => [extension, { audio_codecs: list, srtp }])));

/**
 * What baresip 1.0 calls G726-32 has the bits in the order of AAL2-G726-32, unlike RFC 3551 section 4.5.4
 * (the unit test of the codecs proves ours). A tone survives that, but roughly.
 */
async function hears(phone: Baresip, hz: number, other: number, roughly: boolean): Promise<void> {
  if (!roughly) {
    await phone.hears(hz);
    return;
  }
  await until(`${hz} Hz above all`, () => {
    const sound = phone.heard();
    const end = sound.samples.length / sound.rate;
    return end > 1 && toneShare(sound, hz, end - 0.5, end) > Math.max(0.2, 5 * toneShare(sound, other, end - 0.5, end));
  });
}

/** G.729 is in no phone of Debian: the unit tests of the media process have it, plain and encrypted. */
describe.each([
  { how: 'plain', srtp: 'off', options: {} },
  { how: 'encrypted', srtp: 'required', options: { modules: ['srtp.so'], extra: ';mediaenc=srtp-mand' } },
])('every codec with every other, $how', ({ srtp, options }) => {
  for (const [i, [ours, phone]] of codecs.entries()) {
    for (const [theirs, otherPhone] of codecs.slice(i)) {
      test(`[BASE-51] ${ours} hears ${theirs}, and the other way round`, async ({ pbx, phones }) => {
        await setCodecs(pbx, { 101: [ours], 102: [theirs] }, srtp);
        const alice = await phones.start('101', { codecs: phone, ...options });
        const bob = await phones.start('102', { codecs: otherPhone, autoAnswer: true, ...options });
        await alice.dial('102');
        await alice.waitEvent('CALL_ESTABLISHED');
        const roughly = (ours === 'G726') !== (theirs === 'G726');
        await hears(alice, 500, 400, roughly);
        await hears(bob, 400, 500, roughly);
        await alice.hangup();
        await bob.waitEvent('CALL_CLOSED');
        await until('no call is left', async () => (await pbx.ctlJson<unknown[]>('calls')).length === 0);
      });
    }
  }
});

describe('packet lengths', () => {
  for (const [mine, yours] of [[10, 20], [20, 30], [40, 20], [60, 10]] as const) {
    for (const pair of [['pcma', 'pcma'], ['pcma', 'opus/48000/2']] as const) {
      test(`a phone with ${mine} ms of ${pair[0]} and one with ${yours} ms of ${pair[1]} talk`, async ({ pbx, phones }) => {
        await setCodecs(pbx, { 101: ['PCMA'], 102: [pair[1] === 'pcma' ? 'PCMA' : 'OPUS'] });
        const alice = await phones.start('101', { codecs: pair[0], extra: `;ptime=${mine}` });
        const bob = await phones.start('102', { codecs: pair[1], extra: `;ptime=${yours}`, autoAnswer: true });
        await alice.dial('102');
        await alice.waitEvent('CALL_ESTABLISHED');
        await alice.hears(500);
        await bob.hears(400);
      });
    }
  }
});

type Leg = { leg: string; codec: string; transcoded: boolean };

async function newestQuality(pbx: Pbx): Promise<Leg[]> {
  await pbx.settled();
  const reply = await pbx.rest.ok('GET', '/api/pbx/v2/cdr?page_size=1');
  return (reply.json as { items: { quality: Leg[] }[] }).items[0]?.quality ?? [];
}

describe('what the PBX tells about it', () => {
  test('a transcoded call is one in its quality, a relayed one is not', async ({ pbx, phones }) => {
    for (const [codec, phone, expected] of [['OPUS', 'opus/48000/2', true], ['PCMA', 'pcma', false]] as const) {
      await setCodecs(pbx, { 101: ['PCMA'], 102: [codec] });
      const alice = await phones.start('101', { codecs: 'pcma' });
      const bob = await phones.start('102', { codecs: phone, autoAnswer: true });
      await alice.dial('102');
      await alice.waitEvent('CALL_ESTABLISHED');
      await bob.hears(400);
      await alice.hangup();
      await bob.waitEvent('CALL_CLOSED');
      const legs = await newestQuality(pbx);
      expect(legs).toHaveLength(2);
      for (const leg of legs) {
        expect(leg.transcoded).toBe(expected);
        expect(leg.codec.toUpperCase()).toBe(leg.leg === 'caller' ? 'PCMA' : codec);
      }
      await alice.close();
      await bob.close();
    }
  });
});
