// Small phones of the demo extensions, and the settings of their accounts.
import { expect } from 'vitest';

import { MiniPhone, type MiniOptions } from './miniphone.js';
import type { Pbx } from './pbx.js';

const open: MiniPhone[] = [];

/** A registered phone of an extension. Files that use it have `afterEach(() => closePhones())`. */
export async function phone(pbx: Pbx, extension: string, options: MiniOptions = {}): Promise<MiniPhone> {
  const { username, secret } = pbx.account(extension);
  const made = await MiniPhone.open(username, secret, pbx.facts.sip[options.transport ?? 'udp'] ?? '', options);
  open.push(made);
  expect(await made.register()).toBe(200);
  return made;
}

/** The phone is gone in this moment, without a word. */
export async function closePhone(one: MiniPhone): Promise<void> {
  open.splice(open.indexOf(one), 1);
  await one.close();
}

/** Ends what calls a test has left, then the phones. */
export async function closePhones({ unregister = false } = {}): Promise<void> {
  for (const one of open.splice(0)) {
    for (const call of one.calls) if (call.isUp && call.peerTarget) await one.hangup(call).catch(() => 0);
    if (unregister) await one.register(0);
    await one.close();
  }
}

/** Sets values of the accounts of extensions, each in one write, applied together. */
export async function withAccounts(pbx: Pbx, values: Record<string, Record<string, unknown>>): Promise<void> {
  const changes = [];
  for (const [extension, body] of Object.entries(values)) {
    const id = await pbx.idOf('account', 'username', pbx.account(extension).username);
    changes.push({ path: `/api/pbx/v2/account/${id}`, body });
  }
  await pbx.configure(changes);
}

export async function withAccount(pbx: Pbx, extension: string, body: Record<string, unknown>): Promise<void> {
  await withAccounts(pbx, { [extension]: body });
}
