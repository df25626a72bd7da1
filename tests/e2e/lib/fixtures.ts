import { test as base } from 'vitest';

import { Baresip, type PhoneOptions } from './baresip.js';
import { Pbx } from './pbx.js';

export type Phones = {
  /** A registered phone of one demo extension. */
  start(extension: string, options?: Partial<PhoneOptions>): Promise<Baresip>;
};

type Fixtures = { pbx: Pbx; phones: Phones };

let shared: Promise<Pbx> | undefined;

/**
 * `pbx` is one running product per test file (tests that kill or reconfigure it start their own);
 * `phones` ends its phones with the test.
 */
export const test = base.extend<Fixtures>({
  // eslint-disable-next-line no-empty-pattern
  pbx: async ({}, use) => {
    shared ??= Pbx.start();
    await use(await shared);
  },
  phones: async ({ pbx }, use) => {
    const started: Baresip[] = [];
    await use({
      async start(extension, options = {}) {
        const account = pbx.account(extension);
        const transport = options.transport ?? 'udp';
        const phone = await Baresip.start({
          username: account.username,
          secret: account.secret,
          server: pbx.facts.sip[transport],
          toneHz: 300 + 100 * Number(extension.slice(-1)),
          ...options,
        });
        started.push(phone);
        return phone;
      },
    });
    for (const phone of started) await phone.close();
  },
});

/** Call in afterAll of every file that uses `pbx`. */
export async function stopPbx(): Promise<void> {
  const pbx = shared ? await shared.catch(() => undefined) : undefined;
  shared = undefined;
  await pbx?.stop();
}
