// A real Chromium with a fresh profile, and what the pages have in common.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type BrowserContext, type Page } from 'playwright-core';

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The built pages; the PBX gets them with --www. */
export const wwwDir = fileURLToPath(new URL('../../../web/apps/admin/dist', import.meta.url));

export class Browser {
  /** Errors that the page wrote into the console or threw. */
  readonly complaints: string[] = [];

  private constructor(
    readonly base: string,
    private readonly profile: string,
    readonly context: BrowserContext,
    readonly page: Page,
  ) {
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      // A refused request is what several tests ask for; the browser reports each of them.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) this.complaints.push(message.text());
    });
  }

  static async open(base: string, locale: 'en-GB' | 'it-IT' = 'en-GB'): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'aoide-chromium-'));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', headless: true, args: flags, locale,
      ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 }, colorScheme: 'light',
    });
    context.setDefaultTimeout(15_000);
    return new Browser(base, profile, context, context.pages()[0] ?? (await context.newPage()));
  }

  async goto(path: string): Promise<void> {
    await this.page.goto(this.base + path);
  }

  async login(username: string, password: string): Promise<void> {
    await this.goto('/');
    await this.page.locator('input[autocomplete=username]').fill(username);
    await this.page.locator('input[autocomplete=current-password]').fill(password);
    await this.page.locator('button[type=submit]').click();
    await this.page.locator('main#main h1').waitFor();
  }

  /** Serious and critical findings of axe on the page as it is. */
  async accessibilityFaults(): Promise<string[]> {
    // Playwright's evaluate is not subject to the page's Content-Security-Policy, a script element would be.
    await this.page.evaluate(axeSource);
    const found = await this.page.evaluate(async () => {
      type Axe = { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
      return (await (globalThis as unknown as { axe: Axe }).axe.run()).violations;
    });
    return found.filter((one) => one.impact === 'serious' || one.impact === 'critical')
      .map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`);
  }

  async close(): Promise<void> {
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true });
  }
}
