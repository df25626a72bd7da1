// sipp's scenarios through the running product, over every transport that sipp speaks (issue: foundation, point 9).
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';

import { splitHostPort } from './lib/channel.js';
import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone } from './lib/miniphone.js';
import { freePorts } from './lib/ports.js';
import type { Account, Pbx } from './lib/pbx.js';
import { Sipp, type SippOptions } from './lib/sipp.js';
import { status } from './lib/sipmessage.js';

type Way = 'udp' | 'tcp' | 'tls';
const sippWay: Record<Way, SippOptions['transport']> = { udp: 'u1', tcp: 't1', tls: 'l1' };

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
async function callee(pbx: Pbx, extension: string, name: string, way: Way): Promise<Sipp> {
  const port = await freePorts(1);
  const account = pbx.account(extension);
  const registrar = await MiniPhone.open(account.username, account.secret, pbx.facts.sip.udp, {
    contact: `<sip:${account.username}@127.0.0.1:${port}${way === 'udp' ? '' : `;transport=${way}`}>`,
  });
  expect(await registrar.register()).toBe(200);
  await registrar.close();
  called = await Sipp.start({ scenario: scenario(name), port, transport: sippWay[way]!, args: tlsFiles(pbx, way) });
  return called;
}

/** sipp wants a certificate also as a caller. */
const tlsFiles = (pbx: Pbx, way: Way): string[] =>
  way === 'tls' ? ['-tls_cert', `${pbx.dataDir}/tls/server.pem`, '-tls_key', `${pbx.dataDir}/tls/server.pem`] : [];

async function play(pbx: Pbx, name: string, way: Way, extension = '101', number = '102'): Promise<void> {
  const sipp = await Sipp.start({
    scenario: asCaller(name, pbx.account(extension)), target: pbx.facts.sip[way], transport: sippWay[way]!,
    args: ['-s', number, ...tlsFiles(pbx, way)],
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
  ['an INVITE without offer (RFC 3261 section 13.2.1)', 'uac_delayed_offer', 'uas_answer'],
  ['a re-INVITE with another codec', 'uac_reinvite', 'uas_answer'],
  ['CANCEL while it rings', 'uac_cancel', 'uas_cancel'],
  ['486 with its cause (RFC 3326)', 'uac_busy', 'uas_busy'],
];

for (const way of ['udp', 'tcp', 'tls'] as const) {
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
  });
}
