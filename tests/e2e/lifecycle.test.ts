// Start, stop and where the data live (issue: foundation, points 2, 3 and 5).
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createSocket } from 'node:dgram';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

import { Baresip } from './lib/baresip.js';
import { MiniPhone } from './lib/miniphone.js';
import { Pbx, aoideBinary } from './lib/pbx.js';
import { freePorts, rtpRange } from './lib/ports.js';
import { Postgres } from './lib/postgres.js';
import { Proc, run } from './lib/proc.js';
import { until } from './lib/wait.js';

async function two(pbx: Pbx): Promise<[MiniPhone, MiniPhone]> {
  const from = pbx.account('101');
  const to = pbx.account('102');
  const caller = await MiniPhone.open(from.username, from.secret, pbx.facts.sip.udp);
  const callee = await MiniPhone.open(to.username, to.secret, pbx.facts.sip.udp);
  expect(await caller.register()).toBe(200);
  expect(await callee.register()).toBe(200);
  return [caller, callee];
}

describe('stop', () => {
  test('SIGTERM during a call: BYE on both sides, one CDR', async () => {
    const pbx = await Pbx.start();
    const [caller, callee] = await two(pbx);
    try {
      const call = await caller.call('102');
      expect(call.status).toBe(200);
      await pbx.restart('SIGTERM');
      expect(call.endedBy).toBe('bye');
      expect(callee.calls[0]?.endedBy).toBe('bye');
      const rows = await pbx.cdrs(1);
      expect(rows).toHaveLength(1);
      expect(rows[0]).toMatchObject({ status: 'OK', caller: '101', called: '102', answered_by: '102' });
    } finally {
      await caller.close();
      await callee.close();
      await pbx.stop();
    }
  });
});

describe('start', () => {
  for (const kind of ['udp', 'tcp', 'https'] as const) {
    test(`a ${kind} port that somebody else has: the program says which, and does not pretend to be ready`, async () => {
      const dir = mkdtempSync(join(tmpdir(), 'aoide-taken-'));
      const first = await freePorts(6);
      const taken = kind === 'https' ? first + 2 : first;
      const udp = kind === 'udp' ? createSocket('udp4') : undefined;
      const tcp = kind === 'udp' ? undefined : createServer();
      await new Promise<void>((resolve) => {
        udp?.bind({ port: taken, address: '127.0.0.1', exclusive: true }, () => resolve());
        tcp?.listen({ port: taken, host: '127.0.0.1', exclusive: true }, () => resolve());
      });
      const rtp = await rtpRange();
      const proc = new Proc('aoide', aoideBinary, [
        'run', '--demo', '--data', dir, '--listen', '127.0.0.1', '--sip-port', String(first),
        '--https-port', String(first + 2), '--http-port', '0', '--ws-port', '0', '--wss-port', '0',
        '--rtp-ports', `${rtp[0]}-${rtp[1]}`,
      ]);
      try {
        await until('an error that names the port', () =>
          proc.output.split('\n').some((line) => /level=error|aoide:/.test(line) && line.includes(String(taken))), 20_000);
        expect(proc.output).not.toContain('Aoide is ready');
      } finally {
        await proc.stop('SIGTERM', 15_000);
        udp?.close();
        tcp?.close();
        rmSync(dir, { recursive: true, force: true });
      }
    });
  }
});

describe('as a service', () => {
  test.skipIf(!existsSync('/usr/bin/systemd-analyze'))('the systemd of this machine understands every line of the unit', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'aoide-unit-'));
    try {
      const unit = readFileSync(resolve(fileURLToPath(import.meta.url), '../../../deploy/aoide.service'), 'utf8');
      writeFileSync(join(dir, 'aoide.service'), unit.replace('@PREFIX@/bin/aoide', aoideBinary));
      const { output } = await run('systemd-analyze', ['verify', '--man=no', join(dir, 'aoide.service')]);
      // Of the machine's own units it may tell what it likes.
      expect(output.split('\n').filter((line) => line.includes('aoide'))).toEqual([]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe('PostgreSQL', () => {
  test('the whole product on PostgreSQL: register, call, CDR, configuration, restart', async () => {
    const postgres = await Postgres.start();
    try {
      const pbx = await Pbx.start(['--database', postgres.url]);
      const phones: Baresip[] = [];
      try {
        const start = async (extension: string, autoAnswer: boolean): Promise<Baresip> => {
          const { username, secret } = pbx.account(extension);
          const phone = await Baresip.start({
            username, secret, server: pbx.facts.sip.udp, autoAnswer, toneHz: 300 + 100 * Number(extension.slice(-1)),
          });
          phones.push(phone);
          return phone;
        };
        const alice = await start('101', false);
        const bob = await start('102', true);
        await alice.dial('102');
        await alice.waitEvent('CALL_ESTABLISHED');
        await alice.hears(500);
        await bob.hears(400);
        await alice.hangup();
        const rows = await pbx.cdrs(1);
        expect(rows).toHaveLength(1);
        expect(rows[0]).toMatchObject({ status: 'OK', caller: '101', called: '102' });

        const id = await pbx.idOf('extension', 'number', '102');
        await pbx.configure([{ path: `/api/pbx/v2/extension/${id}`, body: { max_concurrent_calls: 3 } }]);
        await pbx.restart('SIGKILL');
        expect(await pbx.cdrs(1)).toHaveLength(1);
        const kept = await pbx.rest.ok('GET', `/api/pbx/v2/extension/${id}`);
        expect(kept.json).toMatchObject({ max_concurrent_calls: 3 });
      } finally {
        for (const phone of phones) await phone.close();
        await pbx.stop();
      }
    } finally {
      await postgres.stop();
    }
  });
});
