// The call register as programs read it (PUB-04..06).
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { items, makeMachineUser, makeUser, onePbx, problem, row, V2, xmlText } from './lib/api.js';
import { MiniPhone } from './lib/miniphone.js';
import type { Reply, RestClient } from './lib/rest.js';
import { delay, until } from './lib/wait.js';

const pbx = onePbx();
type Call = Record<string, unknown>;
const v3Columns = ['id', 'source', 'start_time', 'answer_time', 'end_time', 'account_code', 'caller', 'gateway_name',
  'called', 'status', 'answered_by', 'bill_secs', 'duration', 'destination'];
let phones: MiniPhone[];
let anna: RestClient; // a standard user, extension 101
let now: Date;

const two = (n: number): string => String(n).padStart(2, '0');
const moment = (date: Date): string =>
  `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
const get = (path: string, accept = 'application/json', client = pbx().rest): Promise<Reply> => client.call('GET', path, { accept });
const calls = async (path: string, client = pbx().rest): Promise<Call[]> => {
  const reply = await get(path, 'application/json', client);
  if (reply.status !== 200) throw new Error(`${path}: ${reply.status} ${reply.text}`);
  return reply.json as Call[];
};

beforeAll(async () => {
  const open = async (extension: string): Promise<MiniPhone> => {
    const account = pbx().account(extension);
    const phone = await MiniPhone.open(account.username, account.secret, pbx().facts.sip.udp);
    expect(await phone.register()).toBe(200);
    return phone;
  };
  phones = [await open('101'), await open('102'), await open('103')];
  const [one, two_, three] = phones as [MiniPhone, MiniPhone, MiniPhone];
  for (const [from, to] of [[one, '102'], [one, '102'], [two_, '103'], [three, '102']] as const) {
    const call = await from.call(to);
    expect(call.status).toBe(200);
    await delay(1100); // a billed second
    await from.hangup(call);
  }
  expect((await one.call('105')).status).toBe(480); // nobody is registered there
  expect((await one.call('999')).status).toBeGreaterThanOrEqual(400); // no such number
  now = new Date();
  await until('the calls are in the register', async () => (await calls('/rest/cdr/summary')).length >= 6);
  anna = (await makeUser(pbx(), 'anna', { fields: { extension: await pbx().idOf('extension', 'number', '101') } })).client;
}, 60_000);

afterAll(async () => {
  for (const phone of phones ?? []) await phone.close();
});

describe('by URL', () => {
  test('[PUB-04] without a date this month; year, month, day and ranges of each', async () => {
    const year = now.getFullYear();
    const month = two(now.getMonth() + 1);
    const day = two(now.getDate());
    const last = two(new Date(year, now.getMonth() + 1, 0).getDate());
    const all = [
      '', `/${year}`, `/${year - 1}-${year}`, `/${year}/${month}`, `/${year}/01-12`, `/${year}/01-${month}`,
      `/${year}/${month}/${day}`, `/${year}/${month}/01-${last}`, `/${year}/01-12/01-31`, `/${year - 1}-${year + 1}/${month}/${day}`,
    ];
    for (const date of all) expect((await calls(`/rest/cdr/summary${date}`)).length, date).toBeGreaterThanOrEqual(6);
    for (const date of [`/${year - 1}`, `/${year + 1}`, `/${year - 2}-${year - 1}`, `/2016/01-02/12-15`]) {
      expect(await calls(`/rest/cdr/summary${date}`), date).toEqual([]);
    }
    expect(await calls('/rest/cdr')).toEqual(await calls('/rest/cdr/summary'));
  });

  test('[PUB-04] bad years, months, days and formats: 400 and a message that names the part', async () => {
    const bad: [string, RegExp][] = [
      ['/abcd', /year/], ['/20', /year/], ['/2026-2025', /year/], ['/2026-', /year/], ['/99999', /year/],
      ['/2026/13', /month/], ['/2026/00', /month/], ['/2026/1a', /month/], ['/2026/05-04', /month/],
      ['/2026/02/32', /day/], ['/2026/02/00', /day/], ['/2026/02/x', /day/], ['/2026/02/01-30', /day/], ['/2026/02/9-8', /day/],
    ];
    for (const [date, part] of bad) {
      for (const format of ['summary', 'v3_compat']) {
        const reply = await get(`/rest/cdr/${format}${date}`);
        expect(reply.status, date).toBe(400);
        expect(problem(reply).detail, date).toMatch(part);
      }
    }
    const xml = await get('/rest/cdr/summary/2026/13', 'application/xml');
    expect([xml.status, xmlText(xml.text, 'code')]).toEqual([400, 'bad_date']);
    expect((await get('/rest/cdr/nothing')).status).toBe(400);
  });
});

describe('formats', () => {
  test('[PUB-05] v3_compat in XML, JSON and CSV: the columns, their order, empty ones and numbers', async () => {
    const json = await calls('/rest/cdr/v3_compat');
    for (const call of json) {
      expect(Object.keys(call)).toEqual(v3Columns);
      expect(typeof call['bill_secs']).toBe('number');
      expect(typeof call['duration']).toBe('number');
      for (const name of v3Columns.filter((c) => c !== 'bill_secs' && c !== 'duration')) expect(typeof call[name], name).toBe('string');
      expect(call['id']).toMatch(/^\d+\.\d+$/);
      expect(call['start_time']).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    }
    const answered = json.filter((call) => call['status'] === 'OK');
    expect(answered).toHaveLength(4);
    expect(answered[0]).toMatchObject({ source: 'local_exten', destination: 'local_exten' });
    expect(Number(answered[0]?.['bill_secs'])).toBeGreaterThanOrEqual(1);
    const missed = json.find((call) => call['called'] === '105');
    expect(missed).toMatchObject({ caller: '101', status: 'UNAVAILABLE', answer_time: '', answered_by: '', bill_secs: 0 });

    const csv = await get('/rest/cdr/v3_compat', 'text/csv');
    expect(csv.headers['content-type']).toMatch(/^text\/csv/);
    const lines = csv.text.split('\n');
    expect(lines[0]).toBe(`#${v3Columns.join(',')}`);
    expect(lines.at(-1)).toBe('');
    expect(lines.slice(1, -1)).toHaveLength(json.length);
    const numbers = (call: Call): string =>
      v3Columns.map((name) => (name === 'bill_secs' ? Number(call[name]).toFixed(3) : String(call[name]))).join(',');
    expect(lines.slice(1, -1)).toEqual(json.map(numbers));

    const xml = await get('/rest/cdr/v3_compat', 'application/xml');
    expect(xml.headers['content-type']).toMatch(/^application\/xml/);
    expect(xml.text.startsWith('<?xml version="1.0"?>\n<cdr><call><id>')).toBe(true);
    const elements = (call: Call): string => v3Columns.map((name) => {
      const text = name === 'bill_secs' ? Number(call[name]).toFixed(3) : String(call[name]);
      return text === '' ? `<${name}/>` : `<${name}>${text}</${name}>`;
    }).join('');
    expect(xml.text).toBe(`<?xml version="1.0"?>\n<cdr>${json.map((call) => `<call>${elements(call)}</call>`).join('')}</cdr>\n`);
  });

  test('[PUB-05] [PLT-59] [PLT-60] summary has one row a call, detailed the path of each too; XML and CSV agree', async () => {
    const summary = await calls('/rest/cdr/summary');
    const detailed = await calls('/rest/cdr/detailed');
    expect(detailed.map(({ details: _, ...call }) => call)).toEqual(summary);
    for (const call of detailed) expect(Array.isArray(call['details'])).toBe(true);
    const xml = await get('/rest/cdr/detailed', 'application/xml');
    expect(xml.text.match(/<call>/g)).toHaveLength(summary.length);
    expect(xml.text.match(/<detail>/g)?.length).toBe(detailed.reduce((n, call) => n + (call['details'] as unknown[]).length, 0));
    const csv = (await get('/rest/cdr/summary', 'text/csv')).text.split('\n');
    expect(csv[0]).toBe(`#${Object.keys(summary[0] ?? {}).join(',')}`);
    expect(csv.slice(1, -1).map((line) => line.split(',')[0])).toEqual(summary.map((call) => call['unique_id']));
    const usual = await get('/rest/cdr/summary', '*/*');
    expect(usual.headers['content-type']).toMatch(/^application\/xml/);
  });

  test('[PUB-05] blues_out is always plain text and holds outgoing calls only', async () => {
    for (const accept of ['text/plain', 'application/json', 'application/xml', '*/*']) {
      const reply = await get('/rest/cdr/blues_out', accept);
      expect([reply.status, reply.text], accept).toEqual([200, '']); // all calls were between extensions
      expect(reply.headers['content-type']).toMatch(/^text\/plain/);
    }
    const every = await get('/rest/cdr/blues', 'text/plain');
    expect(every.text.trim().split('\n').length).toBeGreaterThanOrEqual(6);
    expect((await get('/rest/cdr/summary', 'text/plain')).status).toBe(406);
  });

  test('a machine user sees the calls of all tenants, with a column that names them', async () => {
    const machine = await makeMachineUser(pbx());
    const all = await calls('/rest/cdr/summary', machine);
    expect(all.length).toBeGreaterThanOrEqual(6);
    expect(new Set(all.map((call) => call['tenant']))).toEqual(new Set(['default']));
  });
});

describe('by POST', () => {
  const search = (body: string, type: string, path = '/rest/cdr/summary', accept = 'application/json'): Promise<Reply> =>
    pbx().rest.call('POST', path, { body, type, accept });
  const json = (cdr: Record<string, string>, path?: string): Promise<Reply> => search(JSON.stringify({ cdr }), 'application/json', path);

  test('[PUB-06] a period in JSON and XML; date parts of the URL do not count; without a period this month', async () => {
    const all = await calls('/rest/cdr/summary');
    const begin = moment(new Date(now.getTime() - 3600_000));
    const end = moment(new Date(now.getTime() + 60_000));
    expect((await json({ begin, end })).json).toEqual(all);
    expect((await json({ begin, end }, '/rest/cdr/summary/2016/01/01')).json).toEqual(all);
    expect((await json({})).json).toEqual(all);
    const xml = await search(`<?xml version="1.0"?>\n<kpbx_request><cdr><begin>${begin}</begin><end>${end}</end></cdr></kpbx_request>`,
      'application/xml', '/rest/cdr/v3_compat', 'application/xml');
    expect(xml.status).toBe(200);
    expect(xml.text).toBe((await get('/rest/cdr/v3_compat', 'application/xml')).text);
    expect((await json({ begin: '2016-01-12 15:00:00', end: '2016-01-12 16:00:00' })).json).toEqual([]);
  });

  test('[PUB-06] unique_id is combined with the period', async () => {
    const id = String((await calls('/rest/cdr/summary'))[0]?.['unique_id']);
    expect(((await json({ unique_id: id })).json as Call[]).map((call) => call['unique_id'])).toEqual([id]);
    expect((await json({ unique_id: id, begin: '2016-01-01 00:00:00', end: '2016-02-01 00:00:00' })).json).toEqual([]);
    expect((await json({ unique_id: '0.0' })).json).toEqual([]);
  });

  test('[PUB-06] what cannot be understood is 400', async () => {
    for (const body of ['{}', '{"cdr":5}', '{"cdr":{"begin":"yesterday"}}', '{"cdr":{"begin":"2026-13-01 00:00:00"}}',
      '{"cdr":{"begin":"2026-02-01 00:00:00","end":"2026-01-01 00:00:00"}}', '{"cdr":', '{"cdr":{"begins":"2026-01-01 00:00:00"}}', '{"cdr":{"unique_id":5}}']) {
      expect((await search(body, 'application/json')).status, body).toBe(400);
    }
    expect((await search('<kpbx_request><cdr>', 'application/xml')).status).toBe(400);
  });
});

describe('who sees what', () => {
  test('a standard user sees his own calls only, in every format; another without an extension sees none', async () => {
    const own = await calls('/rest/cdr/summary', anna);
    expect(own).toHaveLength(4); // 101 called 102 twice, 105 and 999
    for (const call of own) expect([call['caller'], call['called']]).toContain('101');
    expect((await get('/rest/cdr/v3_compat', 'text/csv', anna)).text.trim().split('\n')).toHaveLength(5);
    const page = await anna.ok('GET', `${V2}/cdr`);
    expect(items(page)).toHaveLength(4);
    const { client } = await makeUser(pbx(), 'nobody');
    expect((await get('/rest/cdr/summary', 'application/json', client)).status).toBe(403);
  });

  test('the page of the register: pages, search, period', async () => {
    const page = async (query: string): Promise<{ items: Call[]; total: number }> =>
      (await pbx().rest.ok('GET', `${V2}/cdr?${query}`)).json as { items: Call[]; total: number };
    const first = await page('page_size=2');
    expect(first.items).toHaveLength(2);
    expect(first.total).toBeGreaterThanOrEqual(6);
    const second = await page('page_size=2&page=2');
    expect(second.items[0]?.['unique_id']).not.toBe(first.items[0]?.['unique_id']);
    const found = await page('q=105');
    expect(found.items.map((call) => call['called'])).toContain('105'); // and whose identifier holds 105
    expect((await page('q=no-such-text')).items).toEqual([]);
    expect((await page('from=2016-01-01%2000:00:00&to=2016-12-31%2000:00:00')).items).toEqual([]);
    const one = row(await pbx().rest.ok('GET', `${V2}/cdr?page_size=1`)) as unknown as { items: Call[] };
    expect(one.items[0]).toHaveProperty('details');
    expect((await pbx().rest.call('GET', `${V2}/cdr?from=never`)).status).toBe(400);
  });
});
