// Takes the pictures of the README from the running product: `npm run screenshots` (after the pages are built).
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

import { Baresip } from './lib/baresip.js';
import { Browser, wwwDir } from './lib/browser.js';
import { Pbx } from './lib/pbx.js';
import { delay } from './lib/wait.js';

const out = fileURLToPath(new URL('../../docs/screenshots', import.meta.url));

const pbx = await Pbx.start(['--www', wwwDir]);
const phones: Baresip[] = [];
const browser = await Browser.open(pbx.rest.base);

async function phone(extension: string, autoAnswer = false): Promise<Baresip> {
  const { username, secret } = pbx.account(extension);
  const one = await Baresip.start({ username, secret, server: pbx.facts.sip.udp, autoAnswer });
  phones.push(one);
  return one;
}

async function picture(path: string, name: string): Promise<void> {
  await browser.goto(path);
  await browser.page.locator('main#main h1').waitFor();
  await browser.page.waitForLoadState('networkidle').catch(() => undefined);
  await delay(700); // what moves into place has arrived
  await browser.page.screenshot({ path: join(out, `${name}.png`) });
}

try {
  const [anna, , carla] = [await phone('101'), await phone('102', true), await phone('103')];
  await phone('104');
  for (const number of ['102', '105', '999']) {
    anna.forget();
    await anna.dial(number);
    await anna.waitEvent(number === '102' ? 'CALL_ESTABLISHED' : 'CALL_CLOSED');
    await delay(1500);
    if (number === '102') await anna.hangup();
    await delay(500);
  }
  await pbx.cdrs(3);
  anna.forget();
  await anna.dial('102');
  await anna.waitEvent('CALL_ESTABLISHED');
  await carla.dial('104');
  await carla.waitEvent('CALL_RINGING');

  await browser.login(`${pbx.facts.admin.username}@${pbx.facts.admin.domain}`, pbx.facts.admin.password);
  await picture('/', 'dashboard');
  await picture('/config/extension', 'extensions');
  await picture(`/config/extension/${await pbx.idOf('extension', 'number', '101')}`, 'extension-form');
  await picture('/calls', 'active-calls');
  await picture('/cdr', 'call-register');
} finally {
  await browser.close();
  for (const one of phones) await one.close();
  await pbx.stop();
}
