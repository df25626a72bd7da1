// A phone of another maker (issue: foundation, point 8).
import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { Linphone } from './lib/linphone.js';

let linphone: Linphone | undefined;

afterEach(async () => {
  await linphone?.close();
  linphone = undefined;
});
afterAll(stopPbx);

describe('linphone', () => {
  for (const transport of ['udp', 'tcp'] as const) {
    test(`[BASE-29] over ${transport}: registers, calls baresip, both hear the other's tone`, async ({ pbx, phones }) => {
      const { username, secret } = pbx.account('103');
      linphone = await Linphone.start({ username, secret, server: pbx.facts.sip[transport], transport, toneHz: 700 });
      const items = await pbx.ctlJson<{ username: string; transport: string; user_agent?: string }[]>('registrations');
      expect(items.find((item) => item.username === username)?.transport.toLowerCase()).toBe(transport);

      const bob = await phones.start('102', { autoAnswer: true });
      linphone.record();
      linphone.dial('102');
      await bob.waitEvent('CALL_ESTABLISHED');
      await linphone.says(/Call \d+ .*(connected|Media streams established)/i);
      await bob.hears(700);
      await linphone.hears(500);
      linphone.type('terminate');
      await bob.waitEvent('CALL_CLOSED');
    });
  }

  for (const [encryption, toPhone] of [['srtp', 'plain'], ['srtp', 'encrypted'], ['dtls', 'plain']] as const) {
    test(`[PLT-41] linphone with ${encryption}, baresip ${toPhone}: both hear the other's tone`, async ({ pbx, phones }) => {
      const { username, secret } = pbx.account('103');
      const set = async (extension: string, body: Record<string, unknown>): Promise<void> => {
        const id = await pbx.idOf('account', 'username', pbx.account(extension).username);
        await pbx.configure([{ path: `/api/pbx/v2/account/${id}`, body }]);
      };
      await set('103', encryption === 'dtls' ? { transport_type: 'WEBRTC', srtp: 'required' } : { srtp: 'required' });
      await set('102', { srtp: toPhone === 'plain' ? 'off' : 'required' });
      linphone = await Linphone.start({ username, secret, server: pbx.facts.sip.udp, toneHz: 700, encryption });
      const bob = await phones.start('102', {
        autoAnswer: true, ...(toPhone === 'plain' ? {} : { modules: ['srtp.so'], extra: ';mediaenc=srtp-mand' }),
      });
      linphone.record();
      linphone.dial('102');
      await bob.waitEvent('CALL_ESTABLISHED');
      await linphone.says(/Call \d+ .*(connected|Media streams established)/i);
      await bob.hears(700);
      await linphone.hears(500);
      linphone.type('terminate');
      await bob.waitEvent('CALL_CLOSED');
      await set('103', { transport_type: 'SIP', srtp: 'off' });
      await set('102', { srtp: 'off' });
    });
  }

  test('baresip calls linphone, which answers and is hung up on', async ({ pbx, phones }) => {
    const { username, secret } = pbx.account('103');
    linphone = await Linphone.start({ username, secret, server: pbx.facts.sip.udp, toneHz: 700 });
    linphone.record();
    const alice = await phones.start('101');
    await alice.dial('103');
    await linphone.says(/Receiving new incoming call|contacting you/i);
    await alice.waitEvent('CALL_RINGING');
    linphone.type('answer');
    await alice.waitEvent('CALL_ESTABLISHED');
    await alice.hears(700);
    await linphone.hears(400);
    await alice.hangup();
    await linphone.says(/Call \d+ .*(ended|terminated)/i);
  });
});
