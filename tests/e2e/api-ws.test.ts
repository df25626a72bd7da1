// Events for pages and programs over /ws.
import { afterEach, expect, test } from 'vitest';

import { clientOf, makeTenant, makeUser, onePbx, PASSWORD, Session, V2 } from './lib/api.js';
import { MiniPhone } from './lib/miniphone.js';
import { sendHttps } from './lib/rest.js';
import { delay } from './lib/wait.js';
import { EventSocket } from './lib/ws.js';

const pbx = onePbx();
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

function socket(headers: Record<string, string>, origin?: string): EventSocket {
  const made = new EventSocket(pbx().rest.base, headers, origin);
  open.push(made);
  return made;
}

async function phone(username: string, secret: string): Promise<MiniPhone> {
  const made = await MiniPhone.open(username, secret, pbx().facts.sip.udp);
  open.push(made);
  expect(await made.register()).toBe(200);
  return made;
}

const admin = async (): Promise<Session> => Session.login(pbx().rest.base, 'admin@default', pbx().facts.admin.password);

test('a registration and a call are told to their tenant, and to nobody else', async () => {
  const other = await makeTenant(pbx(), 'deaf', { sip_prefix: 'deafff' });
  const mine = socket({ Cookie: (await admin()).cookie }, pbx().rest.base);
  const theirs = socket({ 'X-authenticate': await other.admin.authHeader() });
  await mine.subscribe('call.*', 'registration.*');
  await theirs.subscribe('call.*', 'registration.*', '>', '*');

  const from = await phone('101', pbx().account('101').secret);
  await phone('102', pbx().account('102').secret);
  expect((await mine.event('registration.registered')).data).toMatchObject({ username: '101' });
  const call = await from.call('102');
  await mine.event('call.new'); // ringing and answer come together from this phone, so ringing may never be seen
  expect((await mine.event('call.answered')).data).toMatchObject({ caller: '101', called: '102' });
  await from.hangup(call);
  await mine.event('call.ended');
  await delay(300); // what the other tenant must not get would have come with these
  expect(theirs.topics().filter((topic) => /^(call|registration)\./.test(topic))).toEqual([]);
});

test('a user without the register hears of the calls of his own extension only', async () => {
  const { client } = await makeUser(pbx(), 'listener', { fields: { extension: await pbx().idOf('extension', 'number', '103') } });
  const own = socket({ 'X-authenticate': await client.authHeader() });
  await own.subscribe('call.*', 'registration.*');
  const one = await phone('101', pbx().account('101').secret);
  await phone('102', pbx().account('102').secret);
  await phone('103', pbx().account('103').secret);
  await one.hangup(await one.call('102'));
  await one.hangup(await one.call('103'));
  await own.event('call.ended');
  expect(own.topics().some((topic) => topic.startsWith('registration.'))).toBe(false);
  for (const event of own.seen) {
    if (event.topic?.startsWith('call.')) expect([event.data?.['caller'], event.data?.['called']]).toContain('103');
  }
});

test('changes of the configuration are told', async () => {
  const mine = socket({ Cookie: (await admin()).cookie }, pbx().rest.base);
  await mine.subscribe('entity.>', 'config.>');
  await pbx().rest.ok('POST', `${V2}/routingClass`, { name: 'Heard' });
  expect((await mine.event('entity.changed')).data).toMatchObject({ entity: 'routing_class', action: 'created' });
  await mine.event('config.applied');
});

test('a page of another site is refused, and who is not logged in is shown the door', async () => {
  const { cookie } = await admin();
  expect(await socket({ Cookie: cookie }, 'https://evil.example').ended()).toBe(403);
  expect(await socket({ Cookie: cookie }, 'null').ended()).toBe(403);
  expect(await socket({}, pbx().rest.base).ended()).toBe(4401);
  expect(await socket({ Cookie: 'aoide_session=00112233445566778899aabbccddeeff' }, pbx().rest.base).ended()).toBe(4401);
  expect(await socket({ 'X-authenticate': await clientOf(pbx(), 'ghost', 'default', PASSWORD).authHeader() }).ended()).toBe(4401);
});

test('after log-out the events stop', async () => {
  const session = await admin();
  const mine = socket({ Cookie: session.cookie }, pbx().rest.base);
  await mine.subscribe('entity.>');
  await pbx().rest.ok('POST', `${V2}/routingClass`, { name: 'Before' });
  await mine.event('entity.changed');
  expect((await session.call('DELETE', `${V2}/session`)).status).toBe(204);
  expect(await mine.ended()).toBe(4401);
  expect((await sendHttps(`${pbx().rest.base}${V2}/session`, 'GET', { headers: { Cookie: session.cookie } })).status).toBe(401);
});

test('a changed password ends the events of the other sessions, not of this one', async () => {
  await makeUser(pbx(), 'mover');
  const session = await Session.login(pbx().rest.base, 'mover', PASSWORD);
  const second = await Session.login(pbx().rest.base, 'mover', PASSWORD);
  const [stays, goes] = [session, second].map((one) => socket({ Cookie: one.cookie }, pbx().rest.base)) as [EventSocket, EventSocket];
  await stays.subscribe('config.>');
  await goes.subscribe('config.>');
  expect((await session.call('PUT', `${V2}/me/password`, { current: PASSWORD, password: 'Moved-Passw0rd-1' })).status).toBe(204);
  expect(await goes.ended()).toBe(4401);
  expect(stays.closeCode).toBe(0);
});
