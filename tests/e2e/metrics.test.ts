// /metrics, read as strictly as OpenMetrics 1.0 is written (issue: media engine, statistics).
import { afterAll, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { sendHttps, type Reply } from './lib/rest.js';
import { until } from './lib/wait.js';

type Sample = { name: string; labels: Record<string, string>; value: number };
type Family = { name: string; type: string; unit: string; help: string; samples: Sample[] };

const suffixes: Record<string, string[]> = {
  gauge: [''], counter: ['_total'], info: ['_info'], histogram: ['_bucket', '_count', '_sum'],
};

/** Every rule of the text format that applies to what we write; anything odd throws. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const lines = text.split('\n');
  if (lines.pop() !== '') throw new Error('the last line has no line feed');
  if (lines.pop() !== '# EOF') throw new Error('no # EOF at the end');
  let family: Family | undefined;
  const seen = new Set<string>();
  for (const line of lines) {
    const meta = /^# (TYPE|UNIT|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (meta) {
      const [, what, name, value] = meta as unknown as [string, string, string, string];
      if (family?.name !== name) {
        if (families.has(name)) throw new Error(`${name}: not in one piece`);
        family = { name, type: '', unit: '', help: '', samples: [] };
        families.set(name, family);
      }
      if (family.samples.length) throw new Error(`${name}: ${what} after a sample`);
      const key = what.toLowerCase() as 'type' | 'unit' | 'help';
      if (family[key]) throw new Error(`${name}: ${what} twice`);
      family[key] = value;
      if (what === 'TYPE' && !suffixes[value]) throw new Error(`${name}: type ${value}`);
      if (what === 'UNIT' && !name.endsWith(`_${value}`)) throw new Error(`${name}: not in ${value}`);
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!sample || !family) throw new Error(`not a sample: ${line}`);
    const [, name, labelText, valueText] = sample as unknown as [string, string, string | undefined, string];
    if (!(suffixes[family.type] ?? []).some((suffix) => name === family?.name + suffix)) {
      throw new Error(`${name} does not belong to ${family.name} (${family.type})`);
    }
    const labels: Record<string, string> = {};
    for (const part of labelText ? labelText.split(',') : []) {
      const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\n]*)"$/.exec(part);
      if (!label || labels[label[1] ?? ''] !== undefined) throw new Error(`label: ${line}`);
      labels[label[1] ?? ''] = label[2] ?? '';
    }
    const value = Number(valueText);
    if (!Number.isFinite(value)) throw new Error(`value: ${line}`);
    if (family.type === 'counter' && value < 0) throw new Error(`negative counter: ${line}`);
    const series = `${name}${JSON.stringify(labels)}`;
    if (seen.has(series)) throw new Error(`twice: ${series}`);
    seen.add(series);
    family.samples.push({ name, labels, value });
  }
  for (const one of families.values()) {
    if (!one.type || !one.help) throw new Error(`${one.name}: no type or no help`);
    if (one.type === 'histogram') checkHistogram(one);
  }
  return families;
}

function checkHistogram(family: Family): void {
  const buckets = family.samples.filter(({ name }) => name.endsWith('_bucket'));
  const bounds = buckets.map(({ labels }) => (labels['le'] === '+Inf' ? Infinity : Number(labels['le'])));
  if (bounds[bounds.length - 1] !== Infinity) throw new Error(`${family.name}: no +Inf`);
  buckets.forEach(({ value }, i) => {
    if (i && (value < (buckets[i - 1]?.value ?? 0) || (bounds[i] ?? 0) <= (bounds[i - 1] ?? 0))) {
      throw new Error(`${family.name}: buckets do not grow`);
    }
  });
  const count = family.samples.find(({ name }) => name.endsWith('_count'))?.value;
  if (count !== buckets[buckets.length - 1]?.value) throw new Error(`${family.name}: count is not the last bucket`);
}

const get = (pbx: Pbx, headers: Record<string, string> = {}): Promise<Reply> =>
  sendHttps(`${pbx.facts.https.replace(/\/$/, '')}/metrics`, 'GET', {
    accept: 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1', headers });

async function read(pbx: Pbx): Promise<Map<string, Family>> {
  const reply = await get(pbx);
  expect(reply.status).toBe(200);
  expect(reply.headers['content-type']).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
  return parse(reply.text);
}
const value = (families: Map<string, Family>, name: string): number => families.get(name)?.samples[0]?.value ?? NaN;
const bucketCount = (families: Map<string, Family>, name: string): number =>
  families.get(name)?.samples.find((sample) => sample.name === `${name}_count`)?.value ?? NaN;

afterAll(stopPbx);

describe('/metrics', () => {
  test('is OpenMetrics, counts a call while it lasts and after', async ({ pbx }) => {
    const before = await read(pbx);
    expect(value(before, 'aoide_calls')).toBe(0);
    expect(before.get('aoide_process_up')?.samples.map(({ labels, value: up }) => [labels['process'], up])).toEqual(
      [['supervisor', 1], ['switch', 1], ['media', 1], ['web', 1], ['jobs', 1]]);

    const phones = await Promise.all(['101', '102'].map(async (extension) => {
      const { username, secret } = pbx.account(extension);
      const phone = await MiniPhone.open(username, secret, pbx.facts.sip.udp);
      await phone.register();
      return phone;
    }));
    const [caller, callee] = phones as [MiniPhone, MiniPhone];
    const call = await caller.call('102');
    call.rtp.start();
    callee.calls[0]?.rtp.start();
    await until('sound', () => call.rtp.received > 50);

    const during = await read(pbx);
    expect(value(during, 'aoide_calls')).toBe(1);
    expect(value(during, 'aoide_streams')).toBe(2);
    expect(value(during, 'aoide_registrations')).toBe(2);
    expect(during.get('aoide_streams_codec')?.samples.find(({ labels }) => labels['codec'] === 'PCMA')?.value).toBe(2);
    expect(value(during, 'aoide_rtp_received_packets')).toBeGreaterThan(value(before, 'aoide_rtp_received_packets') + 90);

    await caller.hangup(call);
    await pbx.settled();
    const after = await until('the streams have ended', async () => {
      const now = await read(pbx);
      return value(now, 'aoide_streams') === 0 && now;
    });
    expect(value(after, 'aoide_calls_started')).toBe(value(before, 'aoide_calls_started') + 1);
    // What the ended streams had counted is still there.
    expect(value(after, 'aoide_rtp_received_packets')).toBeGreaterThanOrEqual(value(during, 'aoide_rtp_received_packets'));
    expect(bucketCount(after, 'aoide_stream_jitter_seconds')).toBe(bucketCount(before, 'aoide_stream_jitter_seconds') + 2);
    expect(bucketCount(after, 'aoide_stream_mos')).toBe(bucketCount(before, 'aoide_stream_mos') + 2);
    // The number of series does not depend on use.
    const series = (families: Map<string, Family>): number =>
      [...families.values()].reduce((n, family) => n + family.samples.length, 0);
    expect(series(after)).toBe(series(before));
    for (const phone of phones) await phone.close();
  });

  test('a user of a tenant is refused; Prometheus\' older format is spoken', async ({ pbx }) => {
    const login = await sendHttps(`${pbx.facts.https.replace(/\/$/, '')}/api/pbx/v2/session`, 'POST', {
      body: { username: `${pbx.facts.admin.username}@${pbx.facts.admin.domain}`, password: pbx.facts.admin.password } });
    expect(login.status).toBe(201);
    const session = login.json as { tenant_id: number };
    const reply = await get(pbx, { Cookie: (login.headers['set-cookie'] ?? '').split(';')[0] ?? '' });
    expect(session.tenant_id).toBeGreaterThan(0);
    expect(reply.status).toBe(403);
    const plain = await sendHttps(`${pbx.facts.https.replace(/\/$/, '')}/metrics`, 'GET', { accept: 'text/plain' });
    expect(plain.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  });
});
