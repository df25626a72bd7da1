// sipp's scenarios through the running product, over every transport that sipp speaks (issue: foundation, point 9).
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect } from 'vitest';

import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone } from './lib/miniphone.js';
import { freePorts } from './lib/ports.js';
import type { Account, Pbx } from './lib/pbx.js';
import { status } from './lib/sipmessage.js';
import { Sipp } from './lib/sipp.js';

// Debian's sipp speaks no TLS; transports.test.ts and calls.test.ts do.
type Way = 'udp' | 'tcp';
const sippWay = { udp: 'u1', tcp: 't1' } as const;

const scenario = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../sipp/${name}.xml`, import.meta.url)), 'utf8');

/** The scenario's caller becomes an account and registers first, on the connection it calls from. */
function asCaller(name: string, account: Account): string {
  const register = (cseq: number, more: string): string => `
  <send retrans="500"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:${account.username}@[remote_ip]>;tag=[pid]R[call_number]
To: <sip:${account.username}@[remote_ip]>
Call-ID: reg///[call_id]
CSeq: ${cseq} REGISTER
Contact: <sip:${account.username}@[local_ip]:[local_port];transport=[transport]>
Expires: 300
${more}Content-Length: 0

]]></send>`;
  const first =
    `${register(1, '')}\n<recv response="401" auth="true"/>` +
    `${register(2, `[authentication username=${account.username} password=${account.secret}]\n`)}\n<recv response="200"/>\n`;
  return scenario(name)
    .replace(/(<scenario[^>]*>)/, `$1${first}`)
    .replaceAll('sip:sipp@[local_ip]', `sip:${account.username}@[local_ip]`);
}

let called: Sipp | undefined;

/** sipp waits for calls; its address was registered by somebody else, as a provisioned phone's. */
async function callee(
  pbx: Pbx, extension: string, name: string, way: Way, change = (text: string): string => text,
): Promise<Sipp> {
  const port = await freePorts(1);
  const account = pbx.account(extension);
  const registrar = await MiniPhone.open(account.username, account.secret, pbx.facts.sip.udp, {
    contact: `<sip:${account.username}@127.0.0.1:${port}${way === 'udp' ? '' : `;transport=${way}`}>`,
  });
  expect(await registrar.register()).toBe(200);
  await registrar.close();
  called = await Sipp.start({ scenario: change(scenario(name)), port, transport: sippWay[way] });
  return called;
}

async function play(pbx: Pbx, name: string, way: Way): Promise<void> {
  const sipp = await Sipp.start({
    scenario: asCaller(name, pbx.account('101')), target: pbx.facts.sip[way], transport: sippWay[way],
    args: ['-s', '102'],
  });
  await sipp.success(30_000);
}

afterEach(async () => {
  await called?.stop();
  called = undefined;
});
afterAll(stopPbx);

async function trustRegistered(pbx: Pbx): Promise<void> {
  await pbx.configure([{ path: '/api/pbx/v2/sipSettings', body: { invite_auth: 'registered_source' } }]);
}

const pairs: [string, string, string][] = [
  ['PRACK and a reliable 183 on both legs (RFC 3262)', 'uac_prack', 'uas_prack'],
  ['hold and back by UPDATE (RFC 3311)', 'uac_update', 'uas_answer'],
  ['a session timer that the caller refreshes (RFC 4028)', 'uac_session_timer', 'uas_answer'],
  ['session timers that both phones refresh themselves (RFC 4028)', 'uac_session_timer', 'uas_session_timer'],
  ['an INVITE without offer (RFC 3261 section 13.2.1)', 'uac_delayed_offer', 'uas_answer'],
  ['a re-INVITE with another codec', 'uac_reinvite', 'uas_answer'],
  ['CANCEL while it rings', 'uac_cancel', 'uas_cancel'],
  ['486 with its cause (RFC 3326)', 'uac_busy', 'uas_busy'],
];

for (const way of ['udp', 'tcp'] as const) {
  describe(`sipp over ${way}`, () => {
    for (const [text, caller, other] of pairs) {
      test(text, async ({ pbx }) => {
        await trustRegistered(pbx);
        const sipp = await callee(pbx, '102', other, way);
        await play(pbx, caller, way);
        await sipp.success(10_000);
        called = undefined;
        await pbx.settled();
      });
    }

    test('a session interval under the minimum: 422 with Min-SE', async ({ pbx }) => {
      await trustRegistered(pbx);
      await play(pbx, 'uac_422', way);
    });

    test('[TEL-46] a phone that answers 302 sends the call on, as the forward set on it says', async ({ pbx }) => {
      const before = (await pbx.cdrs(0)).length;
      const sipp = await callee(pbx, '103', 'uas_302', way, (text) => text.replace('<sip:102@', '<sip:104@'));
      const far = await MiniPhone.open(pbx.account('104').username, pbx.account('104').secret, pbx.facts.sip.udp);
      const { username, secret } = pbx.account('101');
      const caller = await MiniPhone.open(username, secret, pbx.facts.sip.udp);
      try {
        expect(await far.register()).toBe(200);
        expect(await caller.register()).toBe(200);
        const call = await caller.call('103');
        expect(call.status).toBe(200);
        expect(call.provisional.map(status)).toContain(181);
        await caller.hangup(call);
        expect(await far.register(0)).toBe(200);
      } finally {
        await caller.close();
        await far.close();
      }
      await sipp.success(10_000);
      called = undefined;
      const rows = await pbx.cdrs(before + 1);
      expect(rows).toHaveLength(before + 1);
      expect(rows[0]).toMatchObject({ status: 'OK', called: '103', answered_by: '104' });
    });
  });
}
