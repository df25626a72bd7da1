// Takes a picture of every page, in both languages and both appearances: node tools/look.mjs [address user password]
// Without an address it uses the mock server. Pictures go to .look/.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { startMock } from './mock-server.mjs';

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const [address, user = 'admin', password = 'right'] = process.argv.slice(2);
const out = new URL('../.look/', import.meta.url).pathname;
mkdirSync(out, { recursive: true });

const mock = address ? null : await startMock();
const base = address ?? mock.url;
const profile = mkdtempSync(join(tmpdir(), 'aoide-look-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: flags, ignoreHTTPSErrors: true,
  viewport: { width: 1440, height: 900 }, locale: 'it-IT',
});
const page = await context.newPage();
const complaints = [];
page.on('console', (m) => ['error', 'warning'].includes(m.type()) && complaints.push(`${m.type()}: ${m.text()}`));
page.on('pageerror', (e) => complaints.push(`exception: ${e.message}`));

const shoot = async (name, fullPage = true) => {
  await page.waitForLoadState('networkidle').catch(() => undefined);
  await page.screenshot({ path: join(out, `${name}.png`), fullPage });
};
const visit = async (path, name, fullPage) => {
  await page.goto(base + path);
  await page.waitForSelector('h1');
  await page.waitForTimeout(500);
  await shoot(name, fullPage);
};

try {
  await page.goto(`${base}/config/extension`);
  await page.waitForSelector('form');
  await shoot('01-login-it');
  await page.getByLabel('Nome utente').fill(user);
  await page.getByRole('textbox', { name: 'Password' }).fill('wrong');
  await page.getByRole('button', { name: 'Accedi' }).click();
  await page.waitForSelector('[role=alert]');
  await shoot('02-login-wrong');
  await page.getByRole('textbox', { name: 'Password' }).fill(password);
  await page.getByRole('button', { name: 'Accedi' }).click();
  await page.waitForURL('**/config/extension');
  await page.waitForSelector('tbody td');
  await page.waitForTimeout(500);
  await shoot('03-extensions-it');
  const first = await page.locator('tbody a').first().getAttribute('href');
  await visit('/', '04-dashboard-it');
  await visit(first, '05-extension-it');
  await visit('/config/extension/new', '06-extension-new-it');
  await page.getByRole('button', { name: 'Salva' }).click();
  await page.waitForTimeout(500);
  await shoot('07-extension-missing-it', false);
  for (const name of ['account', 'extensionTemplate', 'accountTemplate', 'user', 'role', 'tenant', 'sipSettings', 'routingClass', 'pickupGroup'])
    await visit(`/config/${name}`, `10-${name}-it`);
  for (const name of ['account', 'role', 'user', 'accountTemplate']) {
    await page.goto(`${base}/config/${name}`);
    await page.waitForSelector('tbody a');
    await visit(await page.locator('tbody a').first().getAttribute('href'), `11-${name}-form-it`);
  }
  await visit('/registrations', '20-registrations-it');
  await visit('/calls', '21-calls-it');
  const leg = page.locator('tbody button[aria-expanded]').first();
  if (await leg.count()) {
    await leg.click();
    await shoot('22-calls-legs-it');
  }
  await visit('/cdr', '23-cdr-it');
  const path = page.locator('tbody button[aria-expanded]').first();
  if (await path.count()) {
    await path.click();
    await shoot('24-cdr-path-it');
  }
  await visit('/password', '25-password-it');
  await visit('/nowhere', '26-nowhere-it');

  await page.getByRole('button', { name: /^Utente/ }).click();
  await page.getByRole('menuitem', { name: 'English' }).click();
  await page.waitForTimeout(300);
  await visit(first, '30-extension-en');
  await page.getByRole('button', { name: 'Dark appearance' }).click();
  await visit('/', '31-dashboard-dark-en');
  await visit(first, '32-extension-dark-en');
  await visit('/config/extension', '33-extensions-dark-en');
  await visit('/calls', '34-calls-dark-en');
  await page.setViewportSize({ width: 820, height: 1100 });
  await visit('/config/extension', '40-extensions-tablet', false);
  await visit(first, '41-extension-tablet');
  await page.getByRole('button', { name: 'Open the menu' }).click();
  await page.waitForTimeout(400);
  await shoot('42-menu-tablet', false);
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
  mock?.stop();
}
for (const line of new Set(complaints)) console.log(line);
