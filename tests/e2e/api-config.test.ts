// Saved and applied configuration (BASE-80): what is saved is not in force until it is applied.
import { describe, expect, test } from 'vitest';

import { items, makeTenant, makeUser, onePbx, row, V2 } from './lib/api.js';
import { MiniPhone } from './lib/miniphone.js';
import { until } from './lib/wait.js';

const pbx = onePbx();
type Revision = { saved: number; applied: number; pending: number };
const revision = async (query = ''): Promise<Revision> =>
  (await pbx().rest.ok('GET', `${V2}/configuration/revision${query}`)).json as Revision;
const changes = async () => items(await pbx().rest.ok('GET', `${V2}/configuration/change`));

async function registers(username: string, secret: string): Promise<number> {
  const phone = await MiniPhone.open(username, secret, pbx().facts.sip.udp);
  const status = await phone.register();
  await phone.close();
  return status;
}

describe('save and apply', () => {
  test('[BASE-80] saved is not in force; the change is listed with who and what; apply puts it in force', async () => {
    const before = await revision();
    expect(before.pending).toBe(0);
    expect(before.saved).toBe(before.applied);
    const made = row(await pbx().rest.ok('POST', `${V2}/extension?apply=false`, {
      number: '401', create_account: { username: '401', password: 'Secret-of-401-x' } }));
    expect(await registers('401', 'Secret-of-401-x')).toBe(403);
    const after = await revision();
    expect(after.saved).toBeGreaterThan(before.saved);
    expect(after.applied).toBe(before.applied);
    const pending = await changes();
    expect(pending.length).toBe(after.pending);
    expect(pending.some((change) => JSON.stringify(change).includes('401') && change['action'] === 'created')).toBe(true);
    expect(JSON.stringify(pending)).toContain('admin');
    expect(JSON.stringify(pending)).not.toContain('Secret-of-401-x');

    const applied = (await pbx().rest.ok('POST', `${V2}/configuration/apply`, {})).json as Revision;
    expect(applied).toEqual({ saved: after.saved, applied: after.saved, pending: 0 });
    expect(await registers('401', 'Secret-of-401-x')).toBe(200);
    await pbx().rest.ok('DELETE', `${V2}/extension/${made.id}`);
  });

  test('[BASE-80] discard brings back what is in force: created, changed and deleted objects', async () => {
    await pbx().rest.ok('POST', `${V2}/configuration/apply`, {});
    const id = await pbx().idOf('extension', 'number', '101');
    const gone = await pbx().idOf('routingClass', 'name', 'kept').catch(async () =>
      row(await pbx().rest.ok('POST', `${V2}/routingClass`, { name: 'kept' })).id);
    await pbx().rest.ok('POST', `${V2}/configuration/apply`, {});
    const was = row(await pbx().rest.ok('GET', `${V2}/extension/${id}`));

    await pbx().rest.ok('PATCH', `${V2}/extension/${id}?apply=false`, { last_name: 'Different' });
    await pbx().rest.ok('POST', `${V2}/extension?apply=false`, { number: '402' });
    await pbx().rest.ok('DELETE', `${V2}/routingClass/${gone}?apply=false`);
    expect((await changes()).map((change) => change['action']).sort()).toEqual(['created', 'deleted', 'modified']);
    const after = (await pbx().rest.ok('POST', `${V2}/configuration/discard`, {})).json as Revision;
    expect(after.pending).toBe(0);
    const { revision: _r, ...now } = row(await pbx().rest.ok('GET', `${V2}/extension/${id}`));
    const { revision: _w, ...then } = was;
    expect(now).toEqual(then);
    expect((await pbx().rest.call('GET', '/rest/extension/402')).status).toBe(404);
    expect((await pbx().rest.call('GET', `${V2}/routingClass/${gone}`)).status).toBe(200);
    // and the list is not an old copy
    expect(items(await pbx().rest.ok('GET', `${V2}/extension?number=402`))).toEqual([]);
  });

  test('[D-052] many writes are one reload: they are applied by themselves, once', async () => {
    const before = await revision();
    const reloads = (): number => (pbx().output.match(/web\.applied/g) ?? []).length;
    const had = reloads();
    for (let n = 0; n < 20; n++) await pbx().rest.ok('POST', '/rest/extension', { number: String(410 + n) });
    const done = await until('applied by itself', async () => {
      const now = await revision();
      return now.pending === 0 && now.applied >= before.saved + 20 && now;
    });
    expect(done.saved).toBe(done.applied);
    await until('the log line', () => reloads() > had);
    expect(reloads() - had).toBeLessThanOrEqual(3);
  });

  test('configuration survives a restart: what was saved and not applied is still pending', async () => {
    await pbx().rest.ok('POST', `${V2}/configuration/apply`, {});
    await pbx().rest.ok('POST', `${V2}/extension?apply=false`, { number: '450' });
    const before = await revision();
    expect(before.pending).toBe(1);
    await pbx().restart();
    expect(await revision()).toEqual(before);
    await pbx().rest.ok('POST', `${V2}/configuration/apply`, {});
    expect((await revision()).pending).toBe(0);
  });

  test('applying is for those who may write something; the node is for its administrator', async () => {
    const { client } = await makeUser(pbx(), 'plain');
    expect((await client.call('POST', `${V2}/configuration/apply`, { body: {} })).status).toBe(403);
    expect((await client.call('POST', `${V2}/configuration/discard`, { body: {} })).status).toBe(403);
    const other = await makeTenant(pbx(), 'third', { sip_prefix: 'thirdd' });
    expect((await other.admin.call('GET', `${V2}/configuration/revision?level=node`)).status).toBe(403);
    expect((await pbx().rest.call('GET', `${V2}/configuration/revision?level=node`)).status).toBe(200);
    expect((await pbx().rest.call('GET', `${V2}/configuration/revision?level=x`)).status).toBe(400);
  });

  test('a setting of the node is in force after its own apply', async () => {
    await pbx().rest.ok('POST', `${V2}/configuration/apply?level=node`, {});
    const asks = async (expires: number): Promise<number> => {
      const phone = await MiniPhone.open('101', pbx().account('101').secret, pbx().facts.sip.udp);
      const status = await phone.register(expires);
      await phone.close();
      return status;
    };
    expect(await asks(120)).toBe(200);
    await pbx().rest.ok('PATCH', `${V2}/sipSettings?apply=false`, { min_expires: 300 });
    expect((await revision('?level=node')).pending).toBe(1);
    expect(await asks(120)).toBe(200);
    await pbx().rest.ok('POST', `${V2}/configuration/apply?level=node`, {});
    await until('short registrations are refused', async () => (await asks(120)) === 423);
    expect(await asks(600)).toBe(200);
  });
});
