// Everything that can be configured, over both families of the API and both databases.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { items, makeTenant, makeUser, onePbx, PASSWORD, problem, roleId, row, V2, type Row } from './lib/api.js';
import { MiniPhone } from './lib/miniphone.js';
import { Pbx } from './lib/pbx.js';
import { Postgres } from './lib/postgres.js';
import { run } from './lib/proc.js';
import type { Reply, RestClient } from './lib/rest.js';
import { until } from './lib/wait.js';

type Sample = { entity: string; make: (rest: RestClient) => Promise<Record<string, unknown>>; change: Record<string, unknown> };

/** One of each: what it needs to be made, and a change. */
const samples: Sample[] = [
  { entity: 'routingClass', make: async () => ({ name: 'National', note: 'no mobiles' }), change: { note: 'changed' } },
  { entity: 'pickupGroup', make: async () => ({ name: 'Sales' }), change: { name: 'Sales 2' } },
  { entity: 'audioFile', make: async () => ({ name: 'Hello & bye', folder: 'custom/feste' }), change: { name: 'Hello 2' } },
  { entity: 'mohClass', make: async () => ({ name: 'Jazz' }), change: { random: true } },
  { entity: 'closedGroup', make: async () => ({ name: 'Board' }), change: { name: 'Board 2' } },
  { entity: 'extensionTemplate', make: async () => ({ name: 'Lobby', busy_level: 3 }), change: { busy_level: 5 } },
  { entity: 'accountTemplate', make: async () => ({ name: 'Outside', nat: true, transport_tcp: true }), change: { nat: false } },
  { entity: 'extension', make: async () => ({ number: '310', first_name: 'Fabio' }), change: { first_name: 'Flavia' } },
  { entity: 'account', make: async () => ({ username: '310', password: 'Secret-310-secret' }), change: { label: 'desk' } },
  { entity: 'role', make: async () => ({ description: 'Reception', priority: 7, permissions: { extensions: 'read' } }), change: { priority: 8 } },
  {
    entity: 'user',
    make: async (rest) => ({ username: 'gina', password: PASSWORD, role: await roleId(rest, 'Tenant User') }),
    change: { last_name: 'Rossi' },
  },
  { entity: 'tenant', make: async () => ({ name: 'Acme', domain: 'acme', password: PASSWORD, sip_prefix: 'acmeaa' }), change: { name: 'Acme Inc' } },
];

function crud(pbx: () => Pbx): void {
  for (const { entity, make, change } of samples) {
    test(`${entity}: create, read, list, change, replace, delete over both families`, async () => {
      const rest = pbx().rest;
      for (const family of [V2, '/rest']) {
        const body = await make(rest);
        const made = await rest.call('POST', `${family}/${entity}`, { body });
        expect(made.status, made.text).toBe(201);
        const { password: _, ...visible } = body;
        expect(row(made)).toMatchObject(entity === 'role' ? { description: body['description'] } : visible);
        const at = made.headers['location'] ?? '';
        expect(at).toContain(`${family}/${entity}/`);

        const read = await rest.ok('GET', at);
        expect(row(read).id).toBe(row(made).id);
        const list = await rest.ok('GET', `${family}/${entity}`);
        const all = family === V2 ? items(list) : (list.json as Row[]);
        expect(all.map((one) => one.id)).toContain(row(made).id);

        expect(row(await rest.ok('PATCH', at, change))).toMatchObject(change);
        const { password: _secret, ...whole } = { ...body, ...change };
        const put = await rest.call('PUT', at, { body: whole });
        expect(put.status, put.text).toBe(200);
        expect(row(put)).toMatchObject(change);

        const gone = await rest.call('DELETE', `${at}${entity === 'tenant' ? '?force=true' : ''}`);
        expect(gone.status, gone.text).toBe(family === V2 ? 204 : 200);
        expect((await rest.call('GET', at)).status).toBe(404);
      }
    });
  }

  test('a number that is another object\'s id leads nowhere wrong: /rest/ goes by natural keys, v2 by ids', async () => {
    const rest = pbx().rest;
    const first = row(await rest.ok('POST', `${V2}/extension`, { number: '330', first_name: 'First' }));
    const second = row(await rest.ok('POST', `${V2}/extension`, { number: String(first.id), first_name: 'Second' }));
    expect(row(await rest.ok('GET', `${V2}/extension/${first.id}`))['first_name']).toBe('First');
    expect(row(await rest.ok('GET', `/rest/extension/${first.id}`))['first_name']).toBe('Second');
    await rest.ok('PATCH', `${V2}/extension/${first.id}`, { last_name: 'Changed' });
    expect(row(await rest.ok('GET', '/rest/extension/330'))['last_name']).toBe('Changed');
    expect(row(await rest.ok('GET', `/rest/extension/${first.id}`))['last_name']).toBeNull();
    // Nobody has the second one's id as a number: an old client's slip deletes nothing.
    expect((await rest.call('DELETE', `/rest/extension/${second.id}`)).status).toBe(404);
    await rest.ok('DELETE', `${V2}/extension/${first.id}`);
    expect((await rest.call('GET', '/rest/extension/330')).status).toBe(404);
    await rest.ok('DELETE', `/rest/extension/${first.id}`);
    expect((await rest.call('GET', `${V2}/extension/${second.id}`)).status).toBe(404);

    const named = row(await rest.ok('POST', `${V2}/user`, { username: 'x', password: PASSWORD, role: await roleId(rest, 'Tenant User') }));
    const digits = row(await rest.ok('POST', `${V2}/user`, { username: String(named.id), password: PASSWORD, role: await roleId(rest, 'Tenant User') }));
    await rest.ok('DELETE', `${V2}/user/${named.id}`);
    expect(row(await rest.ok('GET', `/rest/user/${named.id}`)).id).toBe(digits.id);
    await rest.ok('DELETE', `/rest/user/${named.id}`);
  });

  test('[BASE-37] [BASE-43] what forms of extensions and accounts have is kept, judged, inherited and overridden', async () => {
    const rest = pbx().rest;
    const refused = async (path: string, body: unknown): Promise<string[]> => {
      const reply = await rest.call('POST', `${V2}/${path}`, { body });
      expect(reply.status, reply.text).toBe(422);
      return (problem(reply).errors ?? []).map((one) => `${one.field}: ${one.code}`);
    };
    // The modes of LDAP publication that name something of the extension's own need it.
    expect(await refused('extension', { number: '340', ldap_mode: 'custom_number' })).toEqual(['ldap_custom_number: required']);
    expect(await refused('extension', { number: '340', ldap_mode: 'rule_on_custom_extension' })).toEqual(['ldap_custom_extension: required']);
    expect(await refused('extension', { number: '340', ldap_mode: 'phonebook' })).toEqual(['ldap_mode: bad_choice']);
    expect(await refused('extension', { number: '340', ldap_custom_extension: '3x' })).toEqual(['ldap_custom_extension: bad_format']);
    const forms = { show_in_local_phonebook: false, ldap_mode: 'custom_number', ldap_custom_number: '+390551234567', organization: 'Enté', department: 'Acquisti' };
    const template = row(await rest.ok('POST', `${V2}/extensionTemplate`, { name: 'Published', ...forms }));
    const made = row(await rest.ok('POST', `${V2}/extension`, { number: '340', template: template.id, department: 'Vendite' }));
    expect(made).toMatchObject({ ...forms, department: 'Vendite', overrides: ['department'] });
    const document = (await rest.ok('GET', `${V2}/schema`)).json as { entities: { name: string; fields: { name: string; visible_if?: unknown }[] }[] };
    const fields = document.entities.find((one) => one.name === 'extension')?.fields ?? [];
    const shown = (name: string): unknown => fields.find((one) => one.name === name)?.visible_if;
    expect(shown('ldap_custom_number')).toEqual({ field: 'ldap_mode', value: 'custom_number' });
    expect(shown('ldap_custom_extension')).toEqual({ field: 'ldap_mode', value: 'rule_on_custom_extension' });

    const account = {
      registration_check: false, acl_source_ip: ['10.1.0.0/16'], acl_contact_ip: ['192.168.7.0/24'], nat: true, direct_media: true,
      srtp: 'optional', outbound_proxy_override: true, outbound_proxy_address: 'proxy.example.com', outbound_proxy_port: 5070,
      outbound_proxy_protocol: 'TCP', transport_type: 'SIP', transport_udp: false, transport_tcp: true, transport_tls: true,
      transport_ws: false, transport_wss: true, audio_codecs: ['G729', 'OPUS', 'PCMA', 'PCMU'], video_codecs: ['H263P'], max_contacts: 3,
    };
    const own = { enabled: false, protected: true, username: '340', label: 'Wall', extension: made.id };
    const outside = row(await rest.ok('POST', `${V2}/accountTemplate`, { name: 'Whole', ...account }));
    const inheriting = row(await rest.ok('POST', `${V2}/account`, { ...own, template: outside.id, password: 'Secret-340-secret' }));
    expect(inheriting).toMatchObject({ ...own, ...account, overrides: [] });
    const overriding = row(await rest.ok('POST', `${V2}/account`, { username: '341', ...account }));
    expect(overriding).toMatchObject(account);
    expect(new Set(overriding['overrides'] as string[])).toEqual(new Set(Object.keys(account)));
    for (const [field, value, code] of [
      ['acl_source_ip', ['10.1.0.0/33'], 'bad_network'], ['outbound_proxy_port', 70000, 'out_of_range'], ['srtp', 'perhaps', 'bad_choice'],
      ['audio_codecs', ['MP3'], 'bad_choice'], ['outbound_proxy_protocol', 'SCTP', 'bad_choice'], ['username', 'über', 'bad_characters'],
      ['max_contacts', 0, 'out_of_range'], ['template', 99999, 'not_found'],
    ] as const) {
      const reply = await rest.call('PATCH', `${V2}/account/${overriding.id}`, { body: { [field]: value } });
      expect((problem(reply).errors ?? [])[0], `${field} ${reply.text}`).toMatchObject({ field, code });
    }
    for (const [entity, one] of [['account', overriding], ['account', inheriting], ['extension', made],
      ['accountTemplate', outside], ['extensionTemplate', template]] as const) await rest.ok('DELETE', `${V2}/${entity}/${one.id}`);
  });

  test('voicemail, service classes, lock, pickup and overflow of an extension: every field is kept, judged, inherited', async () => {
    const rest = pbx().rest;
    const refused = async (body: Record<string, unknown>): Promise<string | undefined> => {
      const reply = await rest.call('POST', `${V2}/extension`, { body: { number: '350', ...body } });
      expect(reply.status, reply.text).toBe(422);
      return problem(reply).errors?.map((one) => `${one.field}: ${one.code}`).join();
    };
    expect(await refused({ vm_create: true, vm_delete_after_send: true })).toBe('vm_email: required');
    expect(await refused({ vm_create: true, vm_email: 'nobody' })).toBe('vm_email: bad_format');
    expect(await refused({ routing_class_standard: 99999 })).toBe('routing_class_standard: not_found');
    expect(await refused({ lock_mode: 'shut' })).toBe('lock_mode: bad_choice');
    expect(await refused({ lock_policy: 'auto_relock', unlock_duration_min: 0 })).toBe('unlock_duration_min: out_of_range');
    expect(await refused({ pickup_member_of: [99999] })).toBe('pickup_member_of: not_found');
    expect(await refused({ no_answer_timeout_transfer: 4 })).toBe('no_answer_timeout_transfer: out_of_range');
    for (const [destination, wrong] of [[{ type: 'moon' }, 'type: bad_choice'], [{ type: 'extension' }, 'id: required'],
      [{ type: 'extension', id: 99999 }, 'id: not_found'], [{ type: 'external_number' }, 'value: required'],
      [{ type: 'return_to_transferor' }, 'type: bad_choice']] as const) {
      expect(await refused({ overflow_external_busy: { destination } })).toBe(`overflow_external_busy.destination.${wrong}`);
    }

    const routing = row(await rest.ok('POST', `${V2}/routingClass`, { name: 'Of the lock' })).id;
    const group = row(await rest.ok('POST', `${V2}/pickupGroup`, { name: 'Of the lock' })).id;
    const target = row(await rest.ok('POST', `${V2}/extension`, { number: '351' })).id;
    const cell = (type: string, id: number | null, value: string | null): object => ({ destination: { type, id, value }, generate_event: true });
    const cells = Object.fromEntries(['internal', 'external', 'transfer'].flatMap((origin) =>
      ['no_answer', 'busy', 'unavailable'].map((cause, i) => [`overflow_${origin}_${cause}`,
        [cell('extension', target, null), cell('voicemail', null, null), cell('hangup', null, null)][i]])));
    const inherited = {
      routing_class_standard: routing, routing_class_restricted: routing, lock_mode: 'password', lock_policy: 'auto_relock', unlock_duration_min: 7,
      pickup_member_of: [group], pickup_authorised_on: [group], no_answer_timeout_internal: 11, no_answer_timeout_external: 12,
      no_answer_timeout_transfer: 13, ...cells,
    };
    const own = { vm_create: true, vm_enabled: false, vm_email: 'box@example.com', vm_notify: true, vm_attach: true, vm_delete_after_send: true };
    const template = row(await rest.ok('POST', `${V2}/extensionTemplate`, { name: 'All of it', ...inherited })).id;
    const made = row(await rest.ok('POST', `${V2}/extension`, { number: '350', template, ...own }));
    expect(made).toMatchObject({ ...own, ...inherited, overrides: [] });
    const shut = cell('hangup', null, null);
    const changed = row(await rest.ok('PATCH', `${V2}/extension/${made.id}`, { lock_mode: 'code', overflow_internal_busy: shut }));
    expect(changed).toMatchObject({ ...inherited, lock_mode: 'code', overflow_internal_busy: shut });
    expect(new Set(changed['overrides'] as string[])).toEqual(new Set(['lock_mode', 'overflow_internal_busy']));
    await rest.ok('PATCH', `${V2}/extensionTemplate/${template}`, { lock_mode: 'open', unlock_duration_min: 8 });
    expect(row(await rest.ok('GET', `${V2}/extension/${made.id}`))).toMatchObject({ lock_mode: 'code', unlock_duration_min: 8 });
    // An overflow whose destination goes hangs up, and whoever deletes is told which (D-089).
    const gone = await rest.ok('DELETE', `${V2}/extension/${target}`);
    const reset = (gone.json as { reset: { field: string }[] }).reset.map((one) => one.field);
    expect(new Set(reset.map((field) => field.split('.')[0]))).toEqual(new Set(['overflow_internal_no_answer', 'overflow_external_no_answer',
      'overflow_transfer_no_answer']));
    expect(row(await rest.ok('GET', `${V2}/extension/${made.id}`))['overflow_internal_no_answer']).toMatchObject({ destination: { type: 'hangup' } });
    for (const [entity, id] of [['extension', made.id], ['extensionTemplate', template], ['pickupGroup', group],
      ['routingClass', routing]] as const) await rest.ok('DELETE', `${V2}/${entity}/${id}`);
  });

  test('the settings that exist once are read and changed', async () => {
    for (const family of [V2, '/rest']) {
      const before = row(await pbx().rest.ok('GET', `${family}/sipSettings`));
      expect(row(await pbx().rest.ok('PATCH', `${family}/sipSettings`, { max_expires: 1800 }))['max_expires']).toBe(1800);
      await pbx().rest.ok('PATCH', `${family}/sipSettings`, { max_expires: before['max_expires'] });
    }
  });

  test('[BASE-25] an extension is unique in its tenant, an account in the whole PBX, a user name in its tenant', async () => {
    const rest = pbx().rest;
    const other = await makeTenant(pbx(), 'second', { sip_prefix: 'second' });
    const duplicate = async (client: RestClient, entity: string, body: unknown): Promise<[number, string | undefined]> => {
      const reply = await client.call('POST', `${V2}/${entity}`, { body });
      return [reply.status, problem(reply).errors?.[0]?.code];
    };
    expect(await duplicate(rest, 'extension', { number: '101' })).toEqual([409, 'duplicate']);
    expect((await other.admin.call('POST', `${V2}/extension`, { body: { number: '101' } })).status).toBe(201);
    expect(await duplicate(other.admin, 'extension', { number: '101' })).toEqual([409, 'duplicate']);

    const account = row(await other.admin.ok('POST', `${V2}/account`, { username: '101', password: 'Secret-of-second-1' }));
    expect(account['username']).toBe('second101');
    expect(await duplicate(rest, 'account', { username: 'second101', password: 'Secret-of-second-1' })).toEqual([409, 'duplicate']);

    const role = await roleId(rest, 'Tenant User');
    const user = { username: 'Twin', password: PASSWORD, role };
    expect((await rest.call('POST', `${V2}/user`, { body: user })).status).toBe(201);
    expect(await duplicate(rest, 'user', { ...user, username: 'tWIN' })).toEqual([409, 'duplicate']);
    const elsewhere = { ...user, role: await roleId(other.admin, 'Tenant User') };
    expect((await other.admin.call('POST', `${V2}/user`, { body: elsewhere })).status).toBe(201);
    await rest.ok('DELETE', `${V2}/tenant/${other.id}?force=true`);
    await rest.ok('DELETE', `${V2}/user/${await pbx().idOf('user', 'username', 'Twin')}`);
  });

  test('[BASE-32] an override survives changes of the template, the rest follows; null goes back to the template', async () => {
    const rest = pbx().rest;
    const template = row(await rest.ok('POST', `${V2}/extensionTemplate`, { name: 'T', busy_level: 2, max_concurrent_calls: 4 })).id;
    const made = row(await rest.ok('POST', `${V2}/extension`, { number: '320', template, busy_level: 9 }));
    expect(made).toMatchObject({ busy_level: 9, max_concurrent_calls: 4, overrides: ['busy_level'] });
    await rest.ok('PATCH', `${V2}/extensionTemplate/${template}`, { busy_level: 3, max_concurrent_calls: 6 });
    const path = `${V2}/extension/${made.id}`;
    expect(row(await rest.ok('GET', path))).toMatchObject({ busy_level: 9, max_concurrent_calls: 6, overrides: ['busy_level'] });
    const listed = items(await rest.ok('GET', `${V2}/extension?number=320`))[0];
    expect(listed).toMatchObject({ busy_level: 9, max_concurrent_calls: 6 });
    // Overriding with the template's own value is an override too.
    expect(row(await rest.ok('PATCH', path, { max_concurrent_calls: 6 }))['overrides']).toEqual(
      expect.arrayContaining(['busy_level', 'max_concurrent_calls']));
    await rest.ok('PATCH', `${V2}/extensionTemplate/${template}`, { max_concurrent_calls: 1 });
    expect(row(await rest.ok('GET', path))['max_concurrent_calls']).toBe(6);
    expect(row(await rest.ok('PATCH', path, { busy_level: null }))).toMatchObject({ busy_level: 3, overrides: ['max_concurrent_calls'] });

    const refused = await rest.call('DELETE', `${V2}/extensionTemplate/${template}`);
    expect(refused.status).toBe(409);
    expect(problem(refused).code).toBe('in_use');
    expect(JSON.stringify(problem(refused).errors)).toContain('320');
    await rest.ok('DELETE', path);
    await rest.ok('DELETE', `${V2}/extensionTemplate/${template}`);
  });
}

describe('on SQLite', () => {
  const pbx = onePbx();
  const get = async (path: string): Promise<Reply> => pbx().rest.ok('GET', path);
  crud(pbx);

  test('pages, order, filters, fields, search; /rest/ without a page is the whole array', async () => {
    const rest = pbx().rest;
    for (let n = 500; n < 530; n++) {
      await rest.ok('POST', `${V2}/extension?apply=false`, {
        number: String(n), first_name: n % 2 ? 'Ödön' : 'Zoe', last_name: `N${n}`, max_concurrent_calls: n % 3 });
    }
    const page = (await get(`${V2}/extension?page=2&page_size=10&sort=-number`)).json as { items: Row[]; page: number; page_size: number; total: number };
    expect(page).toMatchObject({ page: 2, page_size: 10, total: 35 });
    expect(page.items.map((one) => one['number'])).toEqual(Array.from({ length: 10 }, (_, i) => String(519 - i)));
    const whole = (await get('/rest/extension')).json as Row[];
    expect(whole).toHaveLength(35);
    const rest2 = await get('/rest/extension?page=2&page_size=10&sort=number');
    expect(rest2.headers['x-total-count']).toBe('35');
    expect(rest2.headers['link']).toMatch(/page=1>; rel="prev".*page=3>; rel="next"/);
    const next = /<([^>]+)>; rel="next"/.exec(rest2.headers['link'] ?? '')?.[1] ?? '';
    expect(((await get(next)).json as Row[]).map((one) => one['number'])[0]).toBe('515');

    const numbers = async (query: string): Promise<unknown[]> =>
      items(await get(`${V2}/extension?page_size=1000&sort=number&${query}`)).map((one) => one['number']);
    expect(await numbers('number=503')).toEqual(['503']);
    expect(await numbers('number~=52')).toHaveLength(10);
    expect(await numbers('number[in]=501,502')).toEqual(['501', '502']);
    expect(await numbers('number[ne]=501')).toHaveLength(34);
    expect(await numbers(`number[in]=${Array.from({ length: 100 }, (_, i) => 430 + i).join(',')}`)).toHaveLength(30);
    expect(await numbers('number[ge]=528')).toEqual(['528', '529']);
    expect(await numbers('q=odon')).toHaveLength(15);
    expect(await numbers('q=n517')).toEqual(['517']);
    expect(Object.keys(items(await get(`${V2}/extension?fields=id,number`))[0] ?? {})).toEqual(['id', 'number', 'revision']);
    for (const bad of ['page=0', 'page_size=5000', 'page=x', 'sort=nothing', 'fields=nothing', 'nothing=1', 'number[like]=5', 'enabled=maybe',
      'email[null]=maybe', `id[in]=${Array.from({ length: 101 }, (_, i) => i).join(',')}`,
      Array.from({ length: 3 }, () => `number[in]=${Array.from({ length: 90 }, (_, i) => i).join(',')}`).join('&')]) {
      const reply = await rest.call('GET', `${V2}/extension?${bad}`);
      expect([400, 422], bad).toContain(reply.status);
    }
  });

  test('[BASE-34] an account is made with the extension, or linked to it; its generated secret is shown once', async () => {
    const rest = pbx().rest;
    const made = row(await rest.ok('POST', `${V2}/extension`, { number: '600', create_account: { label: 'desk' } }));
    const account = items(await get(`${V2}/account?extension=${made.id}`))[0];
    expect(account).toMatchObject({ username: '600', label: 'desk', extension: made.id });
    const secret = String(made['account_password']);
    expect(secret.length).toBeGreaterThanOrEqual(12);
    expect(JSON.stringify((await get(`${V2}/extension/${made.id}`)).json)).not.toContain(secret);
    await rest.ok('POST', `${V2}/configuration/apply`, {});
    const phone = await MiniPhone.open('600', secret, pbx().facts.sip.udp);
    expect(await phone.register()).toBe(200);
    await phone.close();

    const spare = row(await rest.ok('POST', `${V2}/account`, { username: 'spare', password: 'Spare-secret-12' })).id;
    await rest.ok('PATCH', `${V2}/extension/${made.id}`, { link_accounts: [account?.id, spare] });
    expect(row(await get(`${V2}/account/${spare}`))['extension']).toBe(made.id);
    await rest.ok('PATCH', `${V2}/extension/${made.id}`, { link_accounts: [spare] });
    expect(row(await get(`${V2}/account/${account?.id}`))['extension']).toBeNull();
  });

  test('[BASE-36] a user is made with the extension: role Tenant User, and he can log in', async () => {
    const made = row(await pbx().rest.ok('POST', `${V2}/extension`, {
      number: '610', first_name: 'Ivo', last_name: 'Bianchi', user_create: true, user_gui: true, user_api: true,
      user_name: 'ivo', user_password: PASSWORD }));
    const user = items(await get(`${V2}/user?username=ivo`))[0];
    expect(user).toMatchObject({ extension: made.id, role: await roleId(pbx().rest, 'Tenant User'), gui_access: true, api_access: true });
    expect(made['user']).toBe(user?.id);
  });

  test('[BASE-33] identity fields of an extension are kept and judged', async () => {
    const fields = { number: '620', first_name: 'Léa', last_name: "D'Angiò", email: 'lea@example.com', mobile_number: '+393331234567' };
    const made = row(await pbx().rest.ok('POST', `${V2}/extension`, fields));
    expect(row(await get(`${V2}/extension/${made.id}`))).toMatchObject(fields);
    for (const [field, value] of [['number', '62x'], ['email', 'lea at home'], ['number', '']] as const) {
      const reply = await pbx().rest.call('PATCH', `${V2}/extension/${made.id}`, { body: { [field]: value } });
      expect(reply.status).toBe(422);
      expect(problem(reply).errors?.[0]?.field).toBe(field);
    }
  });

  test('what is in use cannot be deleted: 409 with the list of who uses it; force lifts memberships', async () => {
    const rest = pbx().rest;
    const group = row(await rest.ok('POST', `${V2}/pickupGroup`, { name: 'used' })).id;
    const routing = row(await rest.ok('POST', `${V2}/routingClass`, { name: 'used' })).id;
    const user = row(await rest.ok('POST', `${V2}/extension`, {
      number: '630', pickup_member_of: [group], routing_class_standard: routing })).id;
    for (const path of [`pickupGroup/${group}`, `routingClass/${routing}`]) {
      const reply = await rest.call('DELETE', `${V2}/${path}`);
      expect(reply.status, path).toBe(409);
      expect(problem(reply).code).toBe('in_use');
      expect(problem(reply).errors?.[0]?.message).toContain('630');
    }
    expect((await rest.call('DELETE', `${V2}/pickupGroup/${group}?force=true`)).status).toBeLessThan(300);
    expect(row(await get(`${V2}/extension/${user}`))['pickup_member_of']).toEqual([]);
    await rest.ok('DELETE', `${V2}/extension/${user}`);
    await rest.ok('DELETE', `${V2}/routingClass/${routing}`);
  });

  test('CSV: what was exported comes back the same; a preview tells every wrong row and writes nothing', async () => {
    const rest = pbx().rest;
    const csv = (await rest.call('GET', `${V2}/extension/export.csv?sort=number`, { accept: 'text/csv' })).text;
    const before = ((await get('/rest/extension')).json as Row[]).map(({ revision: _, ...one }) => one);
    const imported = async (mode: string, body: string): Promise<Reply> =>
      rest.call('POST', `${V2}/extension/import?mode=${mode}`, { body, type: 'text/csv' });

    const again = await imported('all', csv);
    expect(again.status, again.text).toBe(200);
    expect(again.json).toMatchObject({ created: 0, errors: [] });
    expect(((await get('/rest/extension')).json as Row[]).map(({ revision: _, ...one }) => one)).toEqual(before);

    const one = csv.split('\n').find((line) => line.includes(',501,')) ?? '';
    await rest.ok('DELETE', `/rest/extension/501`);
    const back = await imported('all', `${csv.split('\n')[0]}\n${one}\n`);
    expect(back.json, back.text).toMatchObject({ rows: 1, created: 1, updated: 0, errors: [] });
    const restored = ((await get('/rest/extension')).json as Row[]).find((r) => r['number'] === '501');
    const { id: _a, ...was } = before.find((r) => (r as Row)['number'] === '501') as Row;
    expect(restored).toMatchObject(was);

    const wrong = 'number,first_name,template,email\n701,Good,Default,\n702,Bad,Nowhere,\nx,Bad,Default,\n703,"Quoted, name",Default,no-mail\n';
    const preview = await imported('preview', wrong);
    expect(preview.status).toBe(200);
    const report = preview.json as { rows: number; created: number; failed?: number; errors: { row: number; field: string; message: string }[] };
    expect(report).toMatchObject({ rows: 4, created: 1 });
    expect(report.errors.map((error) => `${error.row}:${error.field}`)).toEqual(['3:template', '4:number', '5:email']);
    expect((await rest.call('GET', '/rest/extension/701')).status).toBe(404);
    expect((await imported('all', wrong)).json).toMatchObject({ created: 0 });
    expect((await rest.call('GET', '/rest/extension/701')).status).toBe(404);
    expect((await imported('valid', wrong)).json).toMatchObject({ created: 1 });
    expect((await rest.call('GET', '/rest/extension/701')).status).toBe(200);
    expect((await imported('valid', 'nonsense\n1\n')).status).toBeGreaterThanOrEqual(200);
    expect((await imported('preview', '')).status).toBe(400);
  });

  test('[BASE-21] a second tenant is alone: nothing is seen of the first, its phone registers with its prefix', async () => {
    const other = await makeTenant(pbx(), 'island', { sip_prefix: 'island' });
    for (const entity of ['extension', 'account', 'pickupGroup', 'routingClass', 'closedGroup']) {
      expect(((await other.admin.ok('GET', `/rest/${entity}`)).json as Row[]), entity).toEqual([]);
    }
    const users = ((await other.admin.ok('GET', '/rest/user')).json as Row[]).map((user) => user['username']);
    expect(users).toContain('admin');
    expect(users).not.toContain('ivo');
    expect((await other.admin.call('GET', `${V2}/tenant`)).status).toBe(403);
    expect((await other.admin.call('PATCH', `${V2}/sipSettings`, { body: { realm: 'x' } })).status).toBe(403);

    const theirs = row(await pbx().rest.ok('GET', '/rest/extension/101')).id;
    const steal = await other.admin.call('POST', `${V2}/account`, { body: { username: 'thief', password: 'Secret-of-thief-1', extension: theirs } });
    expect(steal.status).toBe(422);
    expect(problem(steal).errors?.[0]?.field).toBe('extension');

    await other.admin.ok('POST', `${V2}/extension`, { number: '101', create_account: { password: 'Secret-island-101' } });
    await other.admin.ok('POST', `${V2}/extension`, { number: '102', create_account: { password: 'Secret-island-102' } });
    await pbx().rest.ok('POST', `${V2}/configuration/apply?level=node`, {});
    await other.admin.ok('POST', `${V2}/configuration/apply`, {});
    const phones = await Promise.all(['101', '102'].map((n) =>
      MiniPhone.open(`island${n}`, `Secret-island-${n}`, pbx().facts.sip.udp)));
    const mine = await MiniPhone.open('102', pbx().account('102').secret, pbx().facts.sip.udp);
    try {
      expect(await mine.register()).toBe(200);
      for (const phone of phones) expect(await phone.register()).toBe(200);
      const call = await (phones[0] as MiniPhone).call('102');
      expect(call.status).toBe(200);
      expect((phones[1] as MiniPhone).calls).toHaveLength(1); // and not the 102 of the first tenant
      expect(mine.calls).toHaveLength(0);
      expect(((await pbx().rest.ok('GET', '/rest/phoneService/calls')).json as Row[])).toEqual([]);
      expect(((await other.admin.ok('GET', '/rest/phoneService/calls')).json as Row[])).toHaveLength(1);
      const seen = ((await other.admin.ok('GET', '/rest/state/registration')).json as Row[]).map((r) => r['username']);
      expect(seen.sort()).toEqual(['island101', 'island102']);
      await (phones[0] as MiniPhone).hangup(call);
    } finally {
      for (const phone of [...phones, mine]) await phone.close();
    }
    await until('its CDR', async () => ((await other.admin.ok('GET', '/rest/cdr/summary')).json as Row[]).length === 1);
    expect((await pbx().rest.ok('GET', '/rest/cdr/summary')).json).toEqual([]);
  });

  test('[BASE-75] [BASE-76] four levels decide what a role may do; levels are enforced by the server', async () => {
    const rest = pbx().rest;
    const statuses = async (client: RestClient): Promise<number[]> => {
      const id = await pbx().idOf('extension', 'number', '105');
      const calls: [string, string, unknown?][] = [
        ['GET', `${V2}/extension`], ['GET', `${V2}/extension/${id}`], ['PATCH', `${V2}/extension/${id}`, { last_name: 'Demo' }],
        ['GET', `${V2}/extension/export.csv`], ['GET', `${V2}/account`],
      ];
      const found: number[] = [];
      for (const [method, path, body] of calls) {
        found.push((await client.call(method, path, body === undefined ? {} : { body })).status);
      }
      return found;
    };
    const expected = { none: [403, 403, 403, 403, 403], list: [200, 403, 403, 403, 403], read: [200, 200, 403, 200, 403], write: [200, 200, 200, 200, 403] };
    for (const [level, wanted] of Object.entries(expected)) {
      await rest.ok('POST', `${V2}/role`, { description: `role-${level}`, priority: 1, permissions: { extensions: level } });
      const { client } = await makeUser(pbx(), `user-${level}`, { role: `role-${level}` });
      expect(await statuses(client), level).toEqual(wanted);
    }
    const schema = (await get(`${V2}/schema`)).json as { entities: { name: string; fields: { name: string; fields?: unknown[] }[] }[] };
    const role = schema.entities.find((entity) => entity.name === 'role');
    expect(role?.fields.find((field) => field.name === 'permissions')?.fields?.length).toBeGreaterThanOrEqual(35);
  });

  test('[BASE-77] a protected account obeys its own permission', async () => {
    const rest = pbx().rest;
    const id = row(await rest.ok('POST', `${V2}/account`, { username: 'guarded', password: 'Secret-guarded-1', protected: true })).id;
    await rest.ok('POST', `${V2}/role`, { description: 'accounts only', priority: 1, permissions: { accounts: 'write' } });
    const { client } = await makeUser(pbx(), 'accountant', { role: 'accounts only' });
    const open = await pbx().idOf('account', 'username', '105');
    expect((await client.call('PATCH', `${V2}/account/${open}`, { body: { label: '105' } })).status).toBe(200);
    expect([403, 404]).toContain((await client.call('PATCH', `${V2}/account/${id}`, { body: { label: 'x' } })).status);
    expect([403, 404]).toContain((await client.call('DELETE', `${V2}/account/${id}`)).status);
    // A file reaches it no more than a form, and says so in the reader's language.
    expect((await client.call('GET', `${V2}/account/export.csv?secrets=true`, { accept: 'text/csv' })).text).not.toContain('guarded');
    const file = await client.call('POST', `${V2}/account/import?mode=valid`, {
      body: 'username,label\nguarded,y\n105,again\n', type: 'text/csv', headers: { 'Accept-Language': 'it' } });
    expect(file.json).toMatchObject({ updated: 1, failed: 1,
      errors: [{ row: 2, field: 'username', message: 'Il tuo ruolo non permette di modificare questo oggetto.' }] });
    expect((await rest.call('PATCH', `${V2}/account/${id}`, { body: { label: 'x' } })).status).toBe(200);
  });

  test('[BASE-70] the roles and users of a new tenant are there, and cannot be changed or deleted', async () => {
    const roles = items(await get(`${V2}/role`)).filter((one) => !String(one['description']).startsWith('role-'));
    const names = roles.map((one) => one['description']);
    expect(names).toEqual(expect.arrayContaining(['PBX administrator', 'Tenant User', 'Tenant privacy administrator',
      'Tenant phonebook user', 'Tenant Click2Call user', 'Tenant NEXUS user']));
    const predefined = await roleId(pbx().rest, 'Tenant User');
    expect((await pbx().rest.call('PATCH', `${V2}/role/${predefined}`, { body: { priority: 3 } })).status).toBeGreaterThanOrEqual(400);
    expect((await pbx().rest.call('DELETE', `${V2}/role/${predefined}`)).status).toBe(409);
    const users = items(await get(`${V2}/user?predefined=true`)).map((one) => one['username']);
    expect(users.sort()).toEqual(['admin', 'click2call', 'kalliope-nexus', 'phonebook', 'privacyadmin']);
    const admin = await pbx().idOf('user', 'username', 'admin');
    expect((await pbx().rest.call('DELETE', `${V2}/user/${admin}`)).status).toBeGreaterThanOrEqual(400);
    expect((await pbx().rest.call('PATCH', `${V2}/user/${admin}`, { body: { api_access: false } })).status).toBeGreaterThanOrEqual(400);
  });

  test('[PLT-01] [PLT-02] every write is in the audit log: who, what, each property before and after, no secrets', async () => {
    const id = await pbx().idOf('extension', 'number', '103');
    await pbx().rest.ok('PATCH', `${V2}/extension/${id}`, { last_name: 'Audited' });
    const account = await pbx().idOf('account', 'username', '103');
    await pbx().rest.ok('PATCH', `${V2}/account/${account}`, { password: 'A-new-secret-103' });
    const sql = async (text: string): Promise<string> =>
      (await run('sqlite3', ['-readonly', join(pbx().dataDir, 'aoide.db'), text])).output;
    const rows = await sql(`SELECT l.username, c.property, c.previous, c.current FROM audit_log l
      JOIN audit_change c ON c.audit_id = l.id ORDER BY l.id DESC LIMIT 40`);
    expect(rows).toMatch(/admin[^|]*\|last_name\|Demo\|Audited/);
    expect(rows).toMatch(/\|password\|/);
    expect(await sql('.dump audit_change')).not.toContain('A-new-secret-103');

    // Over REST: by who may see it, filtered, with what was changed.
    const mine = items(await get(`${V2}/auditLog?object_type=extension&action=modified&page_size=5`));
    expect(mine[0]).toMatchObject({ username: 'admin@default', tenant: 'default', object_type: 'Extension', description: '103' });
    expect(mine[0]?.['changes']).toContainEqual({ property: 'last_name', previous: 'Demo', current: 'Audited' });
    expect((await pbx().rest.call('GET', '/rest/auditLog?page_size=1', { accept: 'application/xml' })).text).toContain('<transaction_id>');
    for (const bad of ['page=0', 'page_size=9999', 'from=yesterday', 'usrname=admin']) {
      expect((await pbx().rest.call('GET', `${V2}/auditLog?${bad}`)).status).toBe(400);
    }
    const now = Date.now(); // this test may be tried again
    await pbx().rest.ok('POST', `${V2}/role`, { description: `auditors ${now}`, priority: 1, permissions: { audit_log: 'list' } });
    const auditor = await makeUser(pbx(), `auditor${now}`, { role: `auditors ${now}` });
    const seen = items(await auditor.client.ok('GET', `${V2}/auditLog?page_size=1`));
    expect([seen.length, seen[0]?.['changes']]).toEqual([1, undefined]);
    await pbx().rest.ok('POST', `${V2}/role`, { description: `others ${now}`, priority: 1, permissions: { extensions: 'write' } });
    const nobody = await makeUser(pbx(), `nobody${now}`, { role: `others ${now}` });
    expect((await nobody.client.call('GET', `${V2}/auditLog`)).status).toBe(403);
    expect(await sql('.dump account')).not.toContain('A-new-secret-103');
  });
});

describe('on PostgreSQL', () => {
  let server: Postgres;
  let pbx: Pbx;
  beforeAll(async () => {
    server = await Postgres.start();
    pbx = await Pbx.start(['--web-rate', '0', '--database', server.url]);
  });
  afterAll(async () => {
    await pbx?.stop();
    await server?.stop();
  });
  crud(() => pbx);

  test('it was PostgreSQL, and a phone registers with what stands there', async () => {
    expect(Number(await server.sql('SELECT count(*) FROM extension_applied'))).toBeGreaterThanOrEqual(5);
    const phone = await MiniPhone.open('101', pbx.account('101').secret, pbx.facts.sip.udp);
    expect(await phone.register()).toBe(200);
    await phone.close();
  });
});
