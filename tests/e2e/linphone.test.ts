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
