// A PBX made of memory, for looking at the pages and for browser tests without a PBX.
// It answers what docs/messages.md promises, from the recorded schema document. Not part of the product.
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, '../apps/admin/dist');
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

function initial(fields) {
  const row = {};
  for (const f of fields) {
    if (f.virtual || f.type === 'secret' || f.type === 'verifier') continue;
    let value = typeof f.default === 'string' && f.default.startsWith('@') ? 1 : (f.default ?? null);
    if (value === null && f.type === 'object') value = initial(f.fields ?? []);
    if (value === null && /list$/.test(f.type)) value = [];
    row[f.name] = value;
  }
  return row;
}

function demoRows(entity) {
  const base = () => ({ ...initial(entity.fields), overrides: [], revision: 1 });
  const people = [['Ada', 'Lovelace'], ['Guglielmo', 'Marconi'], ['Antonio', 'Meucci'], ['Grace', 'Hopper'], ['Rita', 'Levi-Montalcini']];
  switch (entity.name) {
    case 'extension':
      return people.map(([first, last], i) => ({
        ...base(), id: 12 + i, number: String(101 + i), first_name: first, last_name: last, template: 1, busy_level: i,
        email: `${first.toLowerCase()}@example.org`, overrides: i === 0 ? ['overflow_external_busy', 'busy_level'] : [],
        overflow_external_busy: { destination: { type: 'extension', id: 13, value: null }, generate_event: true },
        pickup_member_of: [1], link_accounts: [i + 1], vm_create: i < 2,
      }));
    case 'account':
      return people.map((_, i) => ({ ...base(), id: 1 + i, username: `phone${101 + i}`, extension: 12 + i, template: 1 }));
    case 'role':
      return [{ ...base(), id: 1, description: 'Utente di Tenant', kind: 'tenant_user', permissions: { extensions: 'list', call_log_view: 'read' } }];
    case 'user':
      return [{ ...base(), id: 1, username: 'admin', first_name: 'Maria', last_name: 'Rossi', role: 1, gui_access: true }];
    case 'tenant':
      return [{ ...base(), id: 1, domain: 'default', name: 'Default' }];
    case 'routing_class':
      return [];
    default:
      return [{ ...base(), id: 1, name: entity.name.endsWith('_template') ? 'Default' : entity.name === 'pickup_group' ? 'Ufficio' : 'Primo' }];
  }
}

function mockState() {
  const schema = JSON.parse(readFileSync(join(here, '../apps/admin/test/fixtures/schema.json'), 'utf8'));
  const tables = new Map(schema.entities.map((e) => [e.rest, { entity: e, rows: demoRows(e), next: 100 }]));
  const permissions = Object.fromEntries(schema.entities.map((e) => [e.permission, 'write']));
  for (const key of ['call_log_view', 'diagnostics', 'accounts', 'active_calls']) permissions[key] = 'write';
  const now = Date.now();
  const iso = (agoS) => new Date(now - agoS * 1000).toISOString();
  const call = (n, state, from, to, agoS) => ({
    linkedid: `1763900000.${n}`, tenant_id: 1, state, caller: from[0], caller_name: from[1], called: to[0], called_name: to[1],
    src_account: `phone${from[0]}`, dst_account: `phone${to[0]}`, started_at: iso(agoS), answered_at: state === 'ringing' ? null : iso(agoS - 6),
    legs: [
      { id: 1, direction: 'in', account: `phone${from[0]}`, extension: from[0], state, codec: 'PCMA', remote: '127.0.0.1:5071', callid: 'a84b4c76e66710' },
      { id: 2, direction: 'out', account: `phone${to[0]}`, extension: to[0], state, codec: 'PCMA', remote: '127.0.0.1:5072', callid: 'f81d4fae7dec11' },
    ],
  });
  return {
    schema, tables, saved: 7, applied: 7, changes: [], failures: 0,
    session: { username: 'admin', domain: 'default', tenant_id: 1, tenant_name: 'Default', role: 'Amministratore', language: 'it', csrf: 'token', node_rights: true, must_change_password: false, permissions },
    calls: [call(1, 'answered', ['101', 'Ada Lovelace'], ['102', 'Guglielmo Marconi'], 128), call(2, 'ringing', ['103', 'Antonio Meucci'], ['104', 'Grace Hopper'], 4), call(3, 'held', ['105', 'Rita Levi-Montalcini'], ['0612345678', ''], 3700)],
    registrations: [101, 102, 103, 104].map((n, i) => ({
      account_id: i + 1, tenant_id: 1, username: `phone${n}`, extension: String(n), extension_name: ['Ada Lovelace', 'Guglielmo Marconi', 'Antonio Meucci', 'Grace Hopper'][i],
      contact: `sip:phone${n}@127.0.0.1:50${70 + i}`, source: `127.0.0.1:50${70 + i}`, transport: ['UDP', 'TCP', 'TLS', 'WSS'][i],
      user_agent: ['baresip v1.0.0', 'Linphone/5.2', 'snomD785/10.1', 'JsSIP 3.10'][i], registered_at: iso(600 + i * 55), expires_at: new Date(now + (i + 1) * 700_000).toISOString(), rtt_ms: [3, 8, null, 41][i],
    })),
  };
}

function cdrRows() {
  const statuses = ['OK', 'NOANSWER', 'BUSY', 'OK', 'UNAVAILABLE', 'CANCELED', 'FAILED'];
  const now = new Date();
  const at = (i, s) => new Date(Date.UTC(now.getFullYear(), now.getMonth(), Math.max(1, now.getDate()), 9, 10 + i, s)).toISOString().slice(0, 19).replace('T', ' ');
  return statuses.map((status, i) => ({
    unique_id: `176390${i}000.${i}`, source_type: 'local_exten', destination_type: 'local_exten', status, start_datetime: at(i, 2),
    channel_up_datetime: status === 'OK' ? at(i, 8) : null, answer_datetime: status === 'OK' ? at(i, 8) : null, answered_by: status === 'OK' ? '102' : '', end_datetime: at(i, 55),
    caller: String(101 + (i % 4)), caller_name: 'Ada Lovelace', anonymous: 0, called: '102', called_name: 'Guglielmo Marconi', gateway_name: '', account_code: '', duration: '00:00:53', bill_secs: status === 'OK' ? '47.120' : '0.000', src_peer_name: 'phone101', src_ip_port: '127.0.0.1:5071',
    details: [{ detail_source_num: '101', detail_anonymous: 0, detail_destination_type: 'local_exten', detail_destination_id: '102', detail_destination_name: 'Guglielmo Marconi', detail_destination_num: '102', detail_enter_datetime: at(i, 2), detail_answer_datetime: at(i, 8), detail_exit_datetime: at(i, 55), detail_exit_cause: status === 'OK' ? 'NCC' : status, detail_answered_by: '102', detail_waiting_time: '6' }],
  }));
}

/** Starts it on a port that the kernel gives; `state` is what it answers from. */
export async function startMock({ loggedIn = false, port = 0 } = {}) {
  const state = mockState();
  let session = loggedIn ? state.session : null;
  const sockets = new Set();

  const problem = (res, status, detail, errors = [], headers = {}) => {
    res.writeHead(status, { 'Content-Type': 'application/problem+json', ...headers });
    res.end(JSON.stringify({ type: 'about:blank', title: `HTTP ${status}`, status, detail, errors }));
  };
  const json = (res, status, body, headers = {}) => {
    res.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    res.end(body === null ? '' : JSON.stringify(body));
  };
  const publish = (topic, data) => {
    for (const socket of sockets) socket.send(JSON.stringify({ type: 'event', topic, data }));
  };
  const changed = (entity, id, title, action) => {
    state.saved += 1;
    state.changes.push({ entity, id, title, action, user: 'admin@default', at: new Date().toISOString() });
    publish('entity.changed', { entity, id, action });
  };
  const shown = (table, row) => {
    const { entity } = table;
    const field = entity.fields.find((f) => f.name === entity.template_field);
    const template = field && [...state.tables.values()].find((t) => t.entity.name === field.ref)?.rows.find((r) => r.id === row[field.name]);
    if (!template) return row;
    const copy = { ...row };
    for (const f of entity.fields) if (f.inherit && !row.overrides.includes(f.name)) copy[f.name] = template[f.name];
    return copy;
  };
  const problemsOf = (table, body, isNew) => {
    const errors = [];
    for (const f of table.entity.fields) {
      if (isNew && f.required && !f.readonly && (body[f.name] === undefined || body[f.name] === null || body[f.name] === '')) errors.push({ field: f.name, code: 'required', message: 'Questo campo è obbligatorio.' });
      if (f.type === 'digits' && body[f.name] && !/^\d+$/.test(body[f.name])) errors.push({ field: f.name, code: 'bad_characters', message: 'Sono ammesse solo cifre.' });
      if (f.unique && body[f.name] && table.rows.some((r) => r.id !== body.id && r[f.name] === body[f.name])) errors.push({ field: f.name, code: 'duplicate', message: `«${body[f.name]}» è già in uso: scegliere un altro valore.` });
      const dest = body[f.name]?.destination;
      if (dest?.type === 'external_number' && !dest.value) errors.push({ field: `${f.name}.destination.value`, code: 'required', message: 'Indicare il numero.' });
    }
    return errors;
  };

  function entityRoute(req, res, url, body, rest, id, verb) {
    const table = state.tables.get(rest);
    if (!table) return problem(res, 404, 'Oggetto inesistente.');
    const { entity } = table;
    if (verb === 'export.csv') return res.writeHead(200, { 'Content-Type': 'text/csv' }).end('number\n101\n');
    if (verb === 'import')
      return json(res, 200, url.searchParams.get('mode') === 'preview' ? { rows: 3, created: 1, updated: 1, failed: 1, errors: [{ row: 3, field: 'number', code: 'bad_characters', message: 'Sono ammesse solo cifre.' }] } : { rows: 3, created: 1, updated: 1, failed: 0, errors: [] });
    if (entity.singleton) id = 1;
    const row = table.rows.find((r) => r.id === id);
    if (id !== null && !row) return problem(res, 404, 'Oggetto inesistente.');
    if (req.method === 'GET' && id !== null) {
      const answer = url.searchParams.get('reveal') ? { ...shown(table, row), password: 'Kp7uQ2xNw9', service_pin: '4711' } : shown(table, row);
      return json(res, 200, answer, { ETag: `"${row.revision}"` });
    }
    if (req.method === 'GET') {
      const q = (url.searchParams.get('q') ?? '').toLowerCase();
      const ids = url.searchParams.get('id[in]')?.split(',').map(Number);
      const sort = url.searchParams.get('sort') ?? '';
      const key = sort.replace('-', '');
      let rows = table.rows.map((r) => shown(table, r)).filter((r) => !ids || ids.includes(r.id));
      if (q) rows = rows.filter((r) => entity.fields.some((f) => f.search && String(r[f.name] ?? '').toLowerCase().includes(q)) || String(r.name ?? '').toLowerCase().includes(q));
      for (const f of entity.fields) if (url.searchParams.has(f.name)) rows = rows.filter((r) => String(r[f.name]) === url.searchParams.get(f.name));
      if (key) rows.sort((a, b) => String(a[key]).localeCompare(String(b[key])) * (sort.startsWith('-') ? -1 : 1));
      const page = Number(url.searchParams.get('page') ?? 1), size = Number(url.searchParams.get('page_size') ?? 50);
      return json(res, 200, { items: rows.slice((page - 1) * size, page * size), page, page_size: size, total: rows.length });
    }
    if (req.method === 'DELETE') {
      if (entity.name.endsWith('_template')) return problem(res, 409, 'Ancora in uso.', [{ field: '', code: 'in_use', message: 'Interno 101 (Ada Lovelace): Template' }, { field: '', code: 'in_use', message: 'Interno 102 (Guglielmo Marconi): Template' }]);
      table.rows = table.rows.filter((r) => r.id !== id);
      changed(entity.name, id, String(row[entity.title_field]), 'deleted');
      return json(res, 204, null);
    }
    const merged = row ? { ...row, ...body, id } : { ...initial(entity.fields), overrides: [], ...body, id: table.next++ };
    const errors = problemsOf(table, merged, true);
    if (errors.length > 0) return problem(res, errors.some((e) => e.code === 'duplicate') ? 409 : 422, 'I dati non sono validi.', errors);
    merged.revision = (row?.revision ?? 0) + 1;
    table.rows = row ? table.rows.map((r) => (r.id === id ? merged : r)) : [...table.rows, merged];
    changed(entity.name, merged.id, String(merged[entity.title_field ?? 'id']), row ? 'modified' : 'created');
    const made = !row && entity.name === 'account' && !body.password ? { password: 'Qm4vT9xLr2Bn7sKd' } : {};
    return json(res, row ? 200 : 201, { ...shown(table, merged), ...made });
  }

  const server = createServer((req, res) => {
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('end', () => {
      const url = new URL(req.url, 'http://mock');
      const path = url.pathname;
      const text = Buffer.concat(chunks).toString();
      const body = (req.headers['content-type'] ?? '').includes('json') && text ? JSON.parse(text) : {};
      if (!path.startsWith('/api/') && !path.startsWith('/rest/')) {
        const file = join(dist, path);
        const found = path !== '/' && existsSync(file) ? file : join(dist, 'index.html');
        res.writeHead(200, { 'Content-Type': types[extname(found)] ?? 'application/octet-stream' });
        return createReadStream(found).pipe(res);
      }
      if (path === '/api/pbx/v2/session' && req.method === 'POST') {
        if (body.password === 'right') {
          session = state.session;
          return json(res, 201, session);
        }
        state.failures += 1;
        return state.failures > 3 ? problem(res, 429, 'Troppi tentativi.', [], { 'Retry-After': '42' }) : problem(res, 401, 'Credenziali non valide.');
      }
      if (!session) return problem(res, 401, 'Credenziali non valide.');
      if (req.method !== 'GET' && req.headers['x-csrf-token'] !== session.csrf) return problem(res, 403, 'CSRF');
      if (path === '/api/pbx/v2/session') {
        if (req.method === 'DELETE') session = null;
        if (req.method === 'PATCH') session = { ...session, ...body };
        return req.method === 'DELETE' ? json(res, 204, null) : json(res, 200, session);
      }
      if (path === '/api/pbx/v2/schema') return json(res, 200, state.schema);
      if (path === '/api/pbx/v2/me/password') return body.current === 'right' ? json(res, 204, null) : problem(res, 422, 'La password attuale non è quella.');
      if (path === '/api/pbx/v2/state/registration') return json(res, 200, { items: state.registrations, total: state.registrations.length });
      if (path === '/api/pbx/v2/phoneService/calls') return json(res, 200, { items: state.calls, total: state.calls.length });
      if (path.startsWith('/api/pbx/v2/phoneService/call/')) {
        const id = decodeURIComponent(path.split('/').pop());
        const call = state.calls.find((c) => c.linkedid === id);
        state.calls = state.calls.filter((c) => c !== call);
        publish('call.ended', { ...call, status: 'OK' });
        return json(res, 204, null);
      }
      if (path === '/api/pbx/v2/cdr') return json(res, 200, { items: cdrRows(), page: 1, page_size: 50, total: 7 });
      if (path === '/rest/dashboard') return json(res, 200, { firmwareVersion: '4.16.0-0badcafe', productVersion: '0.1.0', serialNumber: 'AOID12345678', time: new Date().toISOString(), uptime_s: 93784, calls: state.calls.length, extensions: 5, accounts: 5, load: [0.1, 0.2, 0.1], disk: { total_mb: 40960, free_mb: 31200 }, services: [{ name: 'voip', state: 'active' }, { name: 'web-backend', state: 'active' }, { name: 'web-socket', state: 'inactive' }] });
      const node = url.searchParams.get('level') === 'node';
      if (path.startsWith('/api/pbx/v2/configuration/')) {
        if (path.endsWith('/change')) return json(res, 200, { items: node ? [] : state.changes, total: state.changes.length });
        if (path.endsWith('/apply')) state.applied = state.saved;
        if (path.endsWith('/apply') || path.endsWith('/discard')) state.changes = [];
        return json(res, 200, node ? { saved: 1, applied: 1, pending: 0 } : { saved: state.saved, applied: state.applied, pending: state.changes.length });
      }
      const [, , , , rest, second] = path.split('/');
      const id = second !== undefined && /^\d+$/.test(second) ? Number(second) : null;
      return entityRoute(req, res, url, body, rest, id, id === null ? second : undefined);
    });
  });
  const wss = new WebSocketServer({ server, path: '/ws' });
  wss.on('connection', (socket) => {
    sockets.add(socket);
    socket.send(JSON.stringify({ type: 'hello' }));
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    state,
    publish,
    logout: () => (session = null),
    stop: () => {
      for (const socket of sockets) socket.terminate();
      server.closeAllConnections();
      server.close();
    },
  };
}
