// The pages in a real browser against the running product, with real phones.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { items, onePbx, row, V2 } from './lib/api.js';
import { Baresip } from './lib/baresip.js';
import { Browser, wwwDir } from './lib/browser.js';
import { until } from './lib/wait.js';

const pbx = onePbx(['--web-rate', '0', '--www', wwwDir]);
let browser: Browser;
const page = () => browser.page;
const phones: Baresip[] = [];

async function phone(extension: string, autoAnswer = false): Promise<Baresip> {
  const account = pbx().account(extension);
  const started = await Baresip.start({ username: account.username, secret: account.secret, server: pbx().facts.sip.udp, autoAnswer });
  phones.push(started);
  return started;
}

beforeAll(async () => {
  browser = await Browser.open(pbx().rest.base);
});
afterEach(async () => {
  for (const one of phones.splice(0)) await one.close();
});
afterAll(async () => {
  await browser?.close();
});

describe('log in', () => {
  test('both languages; a wrong password is told and leaves nothing open', async () => {
    await browser.goto('/config/extension');
    await page().getByRole('button', { name: 'Log in' }).waitFor();
    expect(await browser.accessibilityFaults()).toEqual([]);
    await page().getByText('Italiano').click();
    await page().getByRole('button', { name: 'Accedi' }).waitFor();
    await page().getByText('English').click();
    await page().getByLabel('User name').fill('admin@default');
    await page().getByRole('textbox', { name: 'Password' }).fill('wrong');
    await page().getByRole('button', { name: 'Log in' }).click();
    await page().getByText('User name or password not valid.').waitFor();
    expect(new URL(page().url()).pathname).toBe('/login');
    expect(await browser.context.cookies()).toEqual([]);
  });

  test('the right password leads to the page that was asked for; the cookie is out of reach of scripts', async () => {
    await page().getByRole('textbox', { name: 'Password' }).fill(pbx().facts.admin.password);
    await page().getByRole('button', { name: 'Log in' }).click();
    await page().getByRole('heading', { name: 'Extensions', level: 1 }).waitFor();
    expect(new URL(page().url()).pathname).toBe('/config/extension');
    const [cookie] = await browser.context.cookies();
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: 'Strict' });
    expect(await page().evaluate(() => document.cookie)).toBe('');
  });
});

test('the documentation of the API is no wider than a phone, with everything unfolded', async () => {
  await page().setViewportSize({ width: 360, height: 740 });
  await browser.goto('/api/doc');
  const width = await page().evaluate(() => {
    for (const one of document.querySelectorAll('details')) one.open = true;
    return { page: document.documentElement.scrollWidth, screen: document.documentElement.clientWidth };
  });
  expect(width.page).toBeLessThanOrEqual(width.screen);
  await page().setViewportSize({ width: 1280, height: 800 });
});

describe('lists and forms', () => {
  test('every entity of the schema document has a list and a form', async () => {
    const schema = (await pbx().rest.ok('GET', `${V2}/schema`)).json as
      { entities: { name: string; rest: string; singleton: boolean; label: { en: string }; label_one: { en: string } }[] };
    for (const entity of schema.entities) {
      await browser.goto(`/config/${entity.rest}`);
      await page().locator('main#main h1').waitFor();
      if (entity.singleton) {
        await page().getByRole('button', { name: 'Save' }).first().waitFor();
        continue;
      }
      await expect.poll(() => page().locator('main#main h1').innerText(), { message: entity.rest }).toContain(entity.label.en);
      await page().locator('table').first().waitFor();
      await browser.goto(`/config/${entity.rest}/new`);
      await page().getByRole('button', { name: 'Save' }).first().waitFor();
    }
    expect(schema.entities.length).toBeGreaterThanOrEqual(10);
  }, 90_000);

  test('list and form have no serious fault for who uses a screen reader', async () => {
    await browser.goto('/config/extension');
    await page().getByRole('link', { name: '101' }).first().waitFor();
    expect(await browser.accessibilityFaults()).toEqual([]);
    await browser.goto(`/config/extension/${await pbx().idOf('extension', 'number', '101')}`);
    await page().getByLabel('First name').waitFor();
    expect(await browser.accessibilityFaults()).toEqual([]);
    for (const path of ['/', '/calls', '/registrations', '/cdr']) {
      await browser.goto(path);
      await page().locator('main#main h1').waitFor();
      await page().waitForLoadState('networkidle');
      expect(await browser.accessibilityFaults(), path).toEqual([]);
    }
  }, 90_000);

  test('the whole interface in Italian and back', async () => {
    await browser.goto('/config/extension');
    await page().getByRole('button', { name: /^User/ }).click();
    await page().getByRole('menuitem', { name: 'Italiano' }).click();
    await page().getByRole('heading', { name: 'Interni', level: 1 }).waitFor();
    await page().getByRole('button', { name: /^Utente/ }).click();
    await page().getByRole('menuitem', { name: 'English' }).click();
    await page().getByRole('heading', { name: 'Extensions', level: 1 }).waitFor();
  });

  test('what is wrong is said at the field', async () => {
    await browser.goto('/config/extension/new');
    await page().getByRole('textbox', { name: 'Extension' }).first().fill('101');
    await page().getByRole('button', { name: 'Save' }).first().click();
    const field = page().locator('[data-field=number]');
    await field.getByText(/exists already/).waitFor();
    expect(await field.locator('input').getAttribute('aria-invalid')).toBe('true');
  });

  test('an extension and its account are made in the page, applied, and a phone registers with them', async () => {
    await browser.goto('/config/extension/new');
    await page().locator('[data-field=number] input').fill('140');
    await page().locator('[data-field=first_name] input').fill('Made');
    await page().locator('[data-field=last_name] input').fill('Inpage');
    await page().getByRole('button', { name: 'Save' }).first().click();
    await until('the extension', async () => items(await pbx().rest.ok('GET', `${V2}/extension?number=140`)).length === 1);
    const extension = await pbx().idOf('extension', 'number', '140');

    await browser.goto('/config/account/new');
    await page().locator('[data-field=username] input').fill('140');
    await page().locator('[data-field=password] input').fill('Secret-of-140-here');
    await page().locator('[data-field=extension] input').first().click();
    await page().locator('[data-field=extension] input').first().fill('140');
    await page().getByRole('option', { name: /140/ }).first().click();
    await page().getByRole('button', { name: 'Save' }).first().click();
    await until('the account', async () => items(await pbx().rest.ok('GET', `${V2}/account?username=140`))[0]?.['extension'] === extension);

    await page().getByRole('button', { name: 'Apply' }).click();
    await until('in force', async () =>
      ((await pbx().rest.ok('GET', `${V2}/configuration/revision`)).json as { pending: number }).pending === 0);
    const registered = await Baresip.start({ username: '140', secret: 'Secret-of-140-here', server: pbx().facts.sip.udp });
    phones.push(registered);
    await browser.goto('/registrations');
    await page().getByRole('cell', { name: '140' }).first().waitFor();
  });

  test('[BASE-32] the tick box overrides one value of the template, and gives it back', async () => {
    const id = await pbx().idOf('extension', 'number', '102');
    await browser.goto(`/config/extension/${id}`);
    const field = page().locator('[data-field=busy_level]');
    await field.waitFor();
    const input = field.locator('input:not([type=checkbox])').first();
    expect(await input.isDisabled()).toBe(true);
    await field.getByRole('checkbox').check();
    await input.fill('3');
    await page().getByRole('button', { name: 'Save' }).first().click();
    await until('saved', async () => row(await pbx().rest.ok('GET', `${V2}/extension/${id}`))['busy_level'] === 3);
    expect(row(await pbx().rest.ok('GET', `${V2}/extension/${id}`))['overrides']).toEqual(['busy_level']);
    await browser.goto(`/config/extension/${id}`);
    await field.getByRole('checkbox').uncheck();
    await page().getByRole('button', { name: 'Save' }).first().click();
    await until('given back', async () => (row(await pbx().rest.ok('GET', `${V2}/extension/${id}`))['overrides'] as unknown[]).length === 0);
  });

  test('what is in use is not deleted, and the page says who uses it', async () => {
    const group = row(await pbx().rest.ok('POST', `${V2}/routingClass`, { name: 'In use' })).id;
    await pbx().rest.ok('PATCH', `${V2}/extension/${await pbx().idOf('extension', 'number', '103')}`, { routing_class_standard: group });
    await browser.goto(`/config/routingClass/${group}`);
    await page().getByRole('button', { name: 'Delete' }).first().click();
    await page().getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page().getByRole('dialog').getByText(/103/).first().waitFor();
    expect((await pbx().rest.call('GET', `${V2}/routingClass/${group}`)).status).toBe(200);
  });

  test('a CSV file is previewed: the wrong row is named and nothing is written', async () => {
    const file = join(pbx().dataDir, 'import.csv');
    writeFileSync(file, 'number,first_name\n180,Good\nabc,Bad\n');
    await browser.goto('/config/extension');
    await page().getByRole('button', { name: 'Export, import' }).click();
    await page().getByRole('menuitem', { name: 'Import CSV…' }).click();
    await page().locator('input[type=file]').setInputFiles(file);
    await page().getByText('2 rows: 1 new, 0 changed, 1 with errors.').waitFor();
    await page().getByRole('dialog').getByRole('cell', { name: 'number', exact: true }).waitFor();
    expect((await pbx().rest.call('GET', '/rest/extension/180')).status).toBe(404);
    await page().getByRole('button', { name: 'Import the valid row only' }).click();
    await until('imported', async () => (await pbx().rest.call('GET', '/rest/extension/180')).status === 200);
  });
});

describe('what happens now', () => {
  test('[PLT-22] a call appears while it rings, changes when answered, is hung up from the page and is in the register', async () => {
    await browser.goto('/registrations');
    await page().getByRole('heading', { name: 'Registrations', level: 1 }).waitFor();
    const anna = await phone('101');
    const bruno = await phone('102');
    await page().getByRole('cell', { name: '102' }).first().waitFor(); // without a reload

    await browser.goto('/calls');
    await page().getByText('No call in progress').waitFor();
    await anna.dial('102');
    await page().getByText('ringing').first().waitFor();
    await bruno.answer();
    await page().getByText('answered').first().waitFor();
    const line = page().getByRole('row', { name: /101.*102/ });
    await line.getByRole('button', { name: /Show the legs/ }).click();
    await page().getByRole('cell', { name: /PCM[AU]/ }).first().waitFor();
    await page().getByRole('button', { name: /^Hang up 101/ }).click();
    await page().getByRole('dialog').getByRole('button', { name: 'Hang up' }).click();
    await anna.waitEvent('CALL_CLOSED');
    await bruno.waitEvent('CALL_CLOSED');
    await page().getByText('No call in progress').waitFor();

    await until('the CDR', async () => ((await pbx().rest.ok('GET', '/rest/cdr/summary')).json as unknown[]).length > 0);
    await browser.goto('/cdr');
    await page().getByRole('row', { name: /101.*102/ }).first().waitFor();
    await bruno.close();
    await browser.goto('/registrations');
    await until('the phone is gone from the page', async () => (await page().getByRole('cell', { name: '102' }).count()) === 0);
  });
});

test('log out ends the session on the server too', async () => {
  const [cookie] = await browser.context.cookies();
  await browser.goto('/');
  await page().getByRole('button', { name: /^User/ }).click();
  await page().getByRole('menuitem', { name: 'Log out' }).click();
  await page().getByRole('button', { name: 'Log in' }).waitFor();
  expect(await browser.context.cookies()).toEqual([]);
  await browser.context.addCookies([{ name: cookie?.name ?? '', value: cookie?.value ?? '', url: pbx().rest.base }]);
  await browser.goto('/config/extension');
  await page().getByRole('button', { name: 'Log in' }).waitFor();
});

test('no page threw an error or was stopped by the Content-Security-Policy', () => {
  expect(browser.complaints).toEqual([]);
});
