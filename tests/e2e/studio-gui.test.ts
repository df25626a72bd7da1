// The dialog that records an audio file from a phone and plays it on one (PLT-30), in a real browser.
import { afterAll, beforeAll, expect, test } from 'vitest';

import { onePbx } from './lib/api.js';
import { Baresip } from './lib/baresip.js';
import { Browser, wwwDir } from './lib/browser.js';
import { delay } from './lib/wait.js';

const pbx = onePbx(['--web-rate', '0', '--www', wwwDir]);
let browser: Browser;
let phone: Baresip | undefined;
const page = () => browser.page;
const dialog = () => page().getByRole('dialog');
const chooseExtension = async (number: string): Promise<void> => {
  await dialog().getByRole('combobox', { name: 'Extension' }).or(dialog().getByRole('textbox', { name: 'Extension' })).first().click();
  await page().getByRole('option', { name: new RegExp(`^${number}\\b`) }).click();
};

beforeAll(async () => {
  browser = await Browser.open(pbx().rest.base);
  await browser.login(`${pbx().facts.admin.username}@${pbx().facts.admin.domain}`, pbx().facts.admin.password);
});
afterAll(async () => {
  await phone?.close();
  await browser?.close();
});

test('[PLT-30] a phone that is not registered is told; then it records a new file, which it plays', async () => {
  const account = pbx().account('103');
  await browser.goto('/config/audioFile');
  await page().getByRole('button', { name: 'Record a new audio file' }).click();
  await dialog().getByRole('textbox', { name: 'File name' }).fill('from the phone');
  await chooseExtension('103');
  expect(await browser.accessibilityFaults()).toEqual([]);
  await dialog().getByRole('button', { name: 'Record audio' }).click();
  await dialog().getByText('The phone is not registered').waitFor();

  phone = await Baresip.start({ username: account.username, secret: account.secret, server: pbx().facts.sip.udp, toneHz: 600 });
  await dialog().getByRole('button', { name: 'Record audio' }).click();
  await dialog().getByText('The phone rings: answer it.').waitFor();
  await phone.waitEvent('CALL_INCOMING');
  await phone.answer();
  await dialog().getByText('The phone says what to do.').waitFor();
  await dialog().getByText('Recording. Press # or hang up to end.').waitFor();
  await delay(2000);
  await phone.command('sndcode', '#').catch(() => phone?.command('dtmf', '#'));
  await dialog().getByText('Recorded: the file is ready.').waitFor();
  await dialog().getByRole('button', { name: 'Close' }).last().click();
  await page().getByRole('link', { name: 'custom/from the phone', exact: true }).waitFor();
  await phone.waitEvent('CALL_CLOSED');

  phone.forget();
  await page().getByRole('button', { name: 'Play on a phone: custom/from the phone' }).click();
  await chooseExtension('103');
  await dialog().getByRole('button', { name: 'Play', exact: true }).click();
  await phone.waitEvent('CALL_INCOMING');
  await phone.answer();
  await phone.hears(600);
  await dialog().getByText('The file was played.').waitFor();
}, 90_000);
