// Registrar and who may call (issue: foundation, point 8).
import { afterAll, describe, expect } from 'vitest';

import { Baresip } from './lib/baresip.js';
import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone } from './lib/miniphone.js';
import { header, status } from './lib/sipmessage.js';
import { until } from './lib/wait.js';

afterAll(stopPbx);

type Registration = { username: string; contact: string; transport: string; expires_at: string; source: string };

describe('registration', () => {
  test('[BASE-30] the granted expiry is shown and an unregistered phone is gone', async ({ pbx, phones }) => {
    const phone = await phones.start('101', { expiresS: 300 });
    const items = await pbx.ctlJson<Registration[]>('registrations');
    const mine = items.find((item) => item.username === pbx.account('101').username);
    expect(mine?.source).toContain(String(phone.sipPort));
    const leftS = (Date.parse(mine?.expires_at ?? '') - Date.now()) / 1000;
    expect(leftS).toBeGreaterThan(200);
    expect(leftS).toBeLessThan(301);

    await phone.close();
    await until('the registration is gone', async () => {
      const now = await pbx.ctlJson<Registration[]>('registrations');
      return !now.some((item) => item.username === pbx.account('101').username);
    });
  });

  test('[BASE-30] a registration that is not refreshed is dropped when its time is over; calls get 480', { timeout: 90_000 }, async ({ pbx }) => {
    await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { min_expires: 30 } }]);
    const { username, secret } = pbx.account('104');
    const phone = await MiniPhone.open(username, secret, pbx.facts.sip.udp);
    const from = pbx.account('101');
    const caller = await MiniPhone.open(from.username, from.secret, pbx.facts.sip.udp);
    try {
      // Less than the minimum is refused and told (RFC 3261 section 10.2.8).
      const brief = await phone.registerReply(5);
      expect(status(brief)).toBe(423);
      expect(header(brief, 'min-expires')).toBe('30');

      const reply = await phone.registerReply(30);
      expect(status(reply)).toBe(200);
      expect(header(reply, 'contact')).toMatch(/;expires=30\b/);
      const registeredAt = Date.now();
      expect(await caller.register()).toBe(200);
      const call = await caller.call('104');
      expect(call.status).toBe(200);
      await caller.hangup(call);

      const present = async (): Promise<boolean> =>
        (await pbx.ctlJson<Registration[]>('registrations')).some((item) => item.username === username);
      expect(await present()).toBe(true);
      await until('the registration is dropped', async () => !(await present()), 45_000, 200);
      expect(Date.now() - registeredAt).toBeGreaterThan(28_000);
      expect((await caller.call('104')).status).toBe(480);
    } finally {
      await phone.close();
      await caller.close();
    }
    await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { min_expires: 60 } }]);
  });

  test('[BASE-31] two phones with one account: the one that registered last rings', async ({ pbx, phones }) => {
    const first = await phones.start('102');
    const second = await phones.start('102');
    const caller = await phones.start('101');
    await caller.dial('102');
    await second.waitEvent('CALL_INCOMING');
    expect(first.has('CALL_INCOMING')).toBe(false);
    await caller.hangup();
    const items = await pbx.ctlJson<Registration[]>('registrations');
    expect(items.filter((item) => item.username === pbx.account('102').username)).toHaveLength(1);
  });

  test('[BASE-29] a wrong secret is refused and becomes an event, not a registration', async ({ pbx }) => {
    const account = pbx.account('105');
    const phone = await Baresip.start({
      username: account.username, secret: 'wrong', server: pbx.facts.sip.udp, register: true,
    }).catch((error: unknown) => String(error));
    expect(phone).toMatch(/REGISTER_OK|REGISTER_FAIL|40[13]/);
    const items = await pbx.ctlJson<Registration[]>('registrations');
    expect(items.some((item) => item.username === account.username)).toBe(false);
    expect(pbx.output).toMatch(/sip\.auth_failed/);
    expect(pbx.output).not.toContain(account.secret + '"');
  });

  test('registrations survive a restart of the whole product', async ({ pbx, phones }) => {
    const bob = await phones.start('103', { expiresS: 3600 });
    await pbx.restart();
    const items = await pbx.ctlJson<Registration[]>('registrations');
    expect(items.some((item) => item.username === pbx.account('103').username)).toBe(true);
    const alice = await phones.start('101');
    await alice.dial('103');
    await bob.waitEvent('CALL_INCOMING'); // it did not have to register again
    await alice.hangup();
  });
});

describe('who may register and call', () => {
  test('[BASE-50] a transport that the account does not allow is refused', async ({ pbx, phones }) => {
    const id = await pbx.idOf('account', 'username', pbx.account('104').username);
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { transport_tcp: false } }]);
    await expect(phones.start('104', { transport: 'tcp' })).rejects.toThrow();
    await phones.start('104', { transport: 'udp' });
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { transport_tcp: null } }]);
  });

  test('[BASE-45] a source outside the ACL is refused', async ({ pbx, phones }) => {
    const id = await pbx.idOf('account', 'username', pbx.account('104').username);
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { acl_source_ip: ['192.0.2.0/24'] } }]);
    await expect(phones.start('104')).rejects.toThrow();
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { acl_source_ip: ['127.0.0.0/8'] } }]);
    await phones.start('104');
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { acl_source_ip: null } }]);
  });

  test('[BASE-44] an INVITE from another port than the registration is refused', async ({ pbx, phones }) => {
    await phones.start('101');
    const stranger = await phones.start('101', { register: false });
    await stranger.dial('102');
    const closed = await stranger.waitEvent('CALL_CLOSED');
    expect(closed.param).toContain('403');

    const id = await pbx.idOf('account', 'username', pbx.account('101').username);
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { registration_check: false } }]);
    await phones.start('102', { autoAnswer: true });
    stranger.forget();
    await stranger.dial('102');
    await stranger.waitEvent('CALL_ESTABLISHED');
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { registration_check: null } }]);
  });

  test('a disabled account can do nothing', async ({ pbx, phones }) => {
    const id = await pbx.idOf('account', 'username', pbx.account('105').username);
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { enabled: false } }]);
    await expect(phones.start('105')).rejects.toThrow();
    await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body: { enabled: true } }]);
    await phones.start('105');
  });
});
