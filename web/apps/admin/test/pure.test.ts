import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { callSchema, registrationSchema, schemaDocument, type Entity, type JsonObject, type SchemaDocument } from '@aoide/api';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { formatDuration, formatUptime, timeMs } from '../src/app/format';
import { buildMenu } from '../src/app/menu';
import { exportUrl, monthsBack, readCdrState, writeCdrState } from '../src/features/cdr/cdrState';
import { offeredTypes, readDestination } from '../src/features/entity/destination';
import {
  createBody, formOf, homelessProblems, isVisible, missingFields, newForm, normalPath, patchBody, pathExists,
  problemsByPath, shownValue, withOverride, withValue,
} from '../src/features/entity/formState';
import { isChoiceTable, sectionsOf } from '../src/features/entity/layout';
import { readListState, writeListState } from '../src/features/entity/listState';
import { applyCallEvent, applyRegistrationEvent } from '../src/features/live/liveState';
import { en } from '../src/i18n/en';
import { it } from '../src/i18n/it';

const file = join(dirname(fileURLToPath(import.meta.url)), 'fixtures', 'schema.json');
const recorded: unknown = JSON.parse(readFileSync(file, 'utf8'));
const schema: SchemaDocument = v.parse(schemaDocument, recorded);

function entity(name: string): Entity {
  const found = schema.entities.find((e) => e.name === name);
  if (!found) throw new Error(`no ${name} in the recorded schema`);
  return found;
}

const extension = entity('extension');
const template: JsonObject = { id: 1, busy_level: 2, max_concurrent_calls: 4 };
const row: JsonObject = { id: 12, number: '101', template: 1, busy_level: 7, max_concurrent_calls: 4, overrides: ['busy_level'] };

function field(name: string) {
  const found = extension.fields.find((f) => f.name === name);
  if (!found) throw new Error(`no field ${name}`);
  return found;
}

test('a type of a newer server is shown as text instead of breaking the page', () => {
  const parsed = v.parse(schemaDocument, {
    version: 1,
    entities: [{ name: 'x', rest: 'x', label: { it: 'X', en: 'X' }, fields: [{ name: 'f', type: 'hologram', label: { it: 'F', en: 'F' } }] }],
  });
  expect(parsed.entities[0]?.fields[0]?.type).toBe('text');
});

test('[BASE-32] overriding starts from the template value, inheriting goes back to it', () => {
  const start = formOf(extension, row);
  const limit = field('max_concurrent_calls');
  expect(shownValue(extension, start, limit, template)).toBe(4);
  const own = withValue(withOverride(start, limit, true, template), 'max_concurrent_calls', 9);
  expect(shownValue(extension, own, limit, template)).toBe(9);
  expect(patchBody(extension, start, own)).toEqual({ max_concurrent_calls: 9, overrides: ['max_concurrent_calls', 'busy_level'] });
  const back = withOverride(own, field('busy_level'), false, template);
  expect(shownValue(extension, back, field('busy_level'), template)).toBe(2);
  expect(patchBody(extension, start, back)).toEqual({ max_concurrent_calls: 9, overrides: ['max_concurrent_calls'] });
});

test('a form that was not touched sends no field', () => {
  const start = formOf(extension, row);
  expect(patchBody(extension, start, start)).toEqual({ overrides: ['busy_level'] });
});

test('a new object sends what is set and nothing that the template gives', () => {
  const form = withValue(withValue(newForm(extension), 'number', '200'), 'template', 1);
  const body = createBody(extension, form);
  expect(body).toMatchObject({ number: '200', template: 1, enabled: true, overrides: [] });
  for (const name of ['busy_level', 'create_account', 'user_create', 'link_accounts', 'service_pin'])
    expect(body).not.toHaveProperty(name);
  expect(missingFields(extension, withValue(form, 'number', null), true)).toEqual(['number']);
});

test('conditions compare by text, as the document writes them', () => {
  expect(isVisible(field('vm_email'), { vm_create: true })).toBe(true);
  expect(isVisible(field('vm_email'), { vm_create: false })).toBe(false);
  expect(isVisible(field('user_create'), { user: null })).toBe(true);
  expect(isVisible(field('user_create'), { user: 3 })).toBe(false);
});

test('problems find their field, also inside of lists and objects', () => {
  const problems = problemsByPath([
    { field: 'number', code: 'a', message: 'one.' },
    { field: 'number', code: 'b', message: 'two.' },
    { field: 'overflow_internal_busy.destination.value', code: 'required', message: 'Number?' },
    { field: 'nowhere', code: 'x', message: 'Lost' },
  ]);
  expect(problems.get('number')).toBe('one. two.');
  expect(normalPath('lines[0].name')).toBe('lines.0.name');
  expect(homelessProblems(problems, (path) => pathExists(extension.fields, path))).toEqual(['nowhere: Lost']);
});

test('groups that differ by one word are one grid: origins × causes', () => {
  const grid = sectionsOf(extension).find((section) => section.kind === 'grid');
  if (grid?.kind !== 'grid') throw new Error('no grid');
  expect(grid.columns.map((c) => c.key)).toEqual(['overflow_internal', 'overflow_external', 'overflow_transfer']);
  expect(grid.rows.map((r) => r.cells.map((c) => c.name))).toEqual([
    ['no_answer_timeout_internal', 'no_answer_timeout_external', 'no_answer_timeout_transfer'],
    ['overflow_internal_no_answer', 'overflow_external_no_answer', 'overflow_transfer_no_answer'],
    ['overflow_internal_busy', 'overflow_external_busy', 'overflow_transfer_busy'],
    ['overflow_internal_unavailable', 'overflow_external_unavailable', 'overflow_transfer_unavailable'],
  ]);
});

test('every field of every entity is drawn exactly once', () => {
  for (const e of schema.entities) {
    const drawn = sectionsOf(e).flatMap((s) => (s.kind === 'grid' ? s.rows.flatMap((r) => r.cells) : s.fields));
    expect(drawn.map((f) => f.name).sort()).toEqual(e.fields.map((f) => f.name).sort());
  }
});

test('[BASE-75] the permissions of a role are a table of four levels', () => {
  const permissions = entity('role').fields.find((f) => f.name === 'permissions');
  expect(permissions && isChoiceTable(permissions)).toBe(true);
  expect(permissions?.fields[0]?.values.map((x) => x.label.it)).toEqual(['nessuno', 'elenco', 'lettura', 'scrittura']);
});

test('destinations offer what the place allows and the product has', () => {
  const destination = field('overflow_internal_busy').fields.find((f) => f.name === 'destination');
  if (!destination) throw new Error('no destination');
  expect(offeredTypes(destination, schema, null)).toContain('external_number');
  expect(offeredTypes(destination, schema, 'queue')).toContain('queue');
  expect(readDestination({ type: 'extension', id: 12 })).toEqual({ type: 'extension', id: 12, value: null });
  expect(readDestination('extension')).toBeNull();
});

test('the address of a list says everything that a reload must keep', () => {
  const address = 'page=3&size=100&sort=-number&q=ada&cols=number,email&f.enabled=true';
  const state = readListState(new URLSearchParams(address), extension);
  expect(state).toEqual({
    page: 3, pageSize: 100, sort: { field: 'number', desc: true }, q: 'ada', columns: ['number', 'email'], choices: { enabled: 'true' },
  });
  expect(decodeURIComponent(writeListState(state, extension).toString())).toBe(address);
  const odd = readListState(new URLSearchParams('page=-1&size=7&sort=password&cols=nothing'), extension);
  expect(odd).toMatchObject({ page: 1, pageSize: 50, sort: null });
});

test('[BASE-33] an extension list shows these columns by default', () => {
  const labels = readListState(new URLSearchParams(), extension).columns.map((name) => field(name).label.it);
  expect(labels).toEqual(expect.arrayContaining(['Abilitato', 'Interno', 'Nome', 'Cognome', 'Template', 'Livello di occupato']));
});

test('[BASE-33] labels are those of the product', () => {
  const it = Object.fromEntries(extension.fields.map((f) => [f.name, f.label.it]));
  expect(it).toMatchObject({
    enabled: 'Abilitato', number: 'Interno', first_name: 'Nome', last_name: 'Cognome', email: 'Indirizzo e-mail',
    mobile_number: 'Numero mobile', service_pin: 'PIN dei servizi',
  });
});

test('events change the calls that are shown', () => {
  const call = v.parse(callSchema, { linkedid: '1.1', state: 'ringing', caller: '101', called: '102' });
  const ringing = applyCallEvent([], { topic: 'call.new', data: call });
  const talking = applyCallEvent(ringing, { topic: 'call.answered', data: { ...call, state: 'answered' } });
  expect(talking.map((c) => c.state)).toEqual(['answered']);
  expect(applyCallEvent(talking, { topic: 'call.ended', data: call })).toEqual([]);
  expect(applyCallEvent(talking, { topic: 'call.held', data: { nonsense: true } })).toBe(talking);
});

test('[BASE-31] a registration replaces the one of the same account', () => {
  const first = v.parse(registrationSchema, { account_id: 1, username: 'a', contact: 'sip:a@1' });
  const second = { ...first, contact: 'sip:a@2' };
  const list = applyRegistrationEvent([first], { topic: 'registration.replaced', data: second });
  expect(list).toEqual([second]);
  expect(applyRegistrationEvent(list, { topic: 'registration.expired', data: second })).toEqual([]);
});

test('[BASE-75] the menu leaves out what the role may not see', () => {
  const base = {
    username: 'u', domain: 'default', tenant_id: 1, tenant_name: 'Default', role: '', language: 'it', csrf: '',
    node_rights: false, must_change_password: false,
  };
  const keys = (permissions: Record<string, 'none' | 'list' | 'read' | 'write'>) =>
    buildMenu(schema, { ...base, permissions }).flatMap((g) => g.items.map((i) => (i.kind === 'entity' ? i.entity.name : i.key)));
  expect(keys({})).toEqual(['callLog', 'liveCalls', 'apiDoc']);
  expect(keys({ extensions: 'list', accounts: 'none' })).toContain('extension');
  expect(keys({ extensions: 'list', accounts: 'none' })).not.toContain('account');
});

test('[PUB-04] [D-213] the export of a month has the address that other programs use, for spreadsheets', () => {
  expect(exportUrl('detailed', { year: 2026, month: 3 })).toBe('/rest/cdr/detailed/2026/03?separator=%3B&bom=true');
});

test('months are offered newest first, also an older one that the address names', () => {
  const now = new Date(2026, 0, 15);
  expect(monthsBack(now, 2, { year: 2026, month: 1 })).toEqual([{ year: 2026, month: 1 }, { year: 2025, month: 12 }]);
  expect(monthsBack(now, 2, { year: 2019, month: 5 })).toHaveLength(3);
  const state = readCdrState(new URLSearchParams('month=2025-12&q=101'), now);
  expect(state).toMatchObject({ year: 2025, month: 12, q: '101' });
  expect(writeCdrState(state, now).toString()).toBe('month=2025-12&q=101');
  expect(readCdrState(new URLSearchParams('month=2025-13'), now)).toMatchObject({ year: 2026, month: 1 });
});

test('durations and times', () => {
  expect(formatDuration(61)).toBe('01:01');
  expect(formatDuration(3661)).toBe('1:01:01');
  expect(formatDuration(-5)).toBe('00:00');
  expect(formatUptime(93784, 'it')).toBe('1 giorno 2 ore');
  expect(formatUptime(59, 'en')).toBe('0 minutes');
  expect(timeMs('2026-11-23T12:00:00.500Z')).toBe(Date.UTC(2026, 10, 23, 12, 0, 0, 500));
  expect(timeMs('')).toBeNull();
  expect(timeMs('yesterday')).toBeNull();
});

test('both languages have the same arguments in every text', () => {
  const flat = (node: object, path = ''): [string, string][] =>
    Object.entries(node).flatMap(([key, value]: [string, unknown]) =>
      typeof value === 'string' ? [[path + key, value]] : flat(value as object, `${path}${key}.`),
    );
  const names = (text: string): string[] => [...text.matchAll(/\{\{(\w+)\}\}/g)].map((m) => m[1] ?? '').sort();
  const italian = new Map(flat(it));
  for (const [key, text] of flat(en)) {
    expect(italian.get(key), key).toBeTruthy();
    expect(names(italian.get(key) ?? ''), key).toEqual(names(text));
  }
});
