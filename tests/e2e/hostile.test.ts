// Wrong passwords, weaker digests and broken messages (issue: foundation, points 8 and 10).
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { afterAll, afterEach, describe, expect } from 'vitest';

import { splitHostPort } from './lib/channel.js';
import { stopPbx, test } from './lib/fixtures.js';
import { MiniPhone, type MiniCall, type MiniOptions } from './lib/miniphone.js';
import type { Pbx } from './lib/pbx.js';
import { status } from './lib/sipmessage.js';
import { delay, until } from './lib/wait.js';

const open: MiniPhone[] = [];

async function phone(pbx: Pbx, extension: string, options: MiniOptions & { secret?: string } = {}): Promise<MiniPhone> {
  const { username, secret } = pbx.account(extension);
  const made = await MiniPhone.open(
    username, options.secret ?? secret, pbx.facts.sip[options.transport ?? 'udp'] ?? '', options,
  );
  open.push(made);
  return made;
}

async function talk(pbx: Pbx): Promise<{ caller: MiniPhone; call: MiniCall; other: MiniCall }> {
  const callee = await phone(pbx, '102');
  const caller = await phone(pbx, '101');
  expect(await callee.register()).toBe(200);
  expect(await caller.register()).toBe(200);
  const call = await caller.call('102');
  expect(call.status).toBe(200);
  const other = await until('the call', () => callee.calls[0]);
  call.rtp.start();
  other.rtp.start();
  await until('sound', () => call.rtp.received > 5 && other.rtp.received > 5);
  call.rtp.reset();
  other.rtp.reset();
  return { caller, call, other };
}

const pids = (pbx: Pbx): (number | undefined)[] => ['switch', 'media', 'web', 'jobs'].map((name) => pbx.childPid(name));

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
afterAll(stopPbx);

describe('broken messages while people talk', () => {
  const sdp = (body: string): string => `Content-Type: application/sdp\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const start = 'INVITE sip:102@127.0.0.1 SIP/2.0\r\n';
  const via = 'Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx;rport\r\n';
  const rest = 'From: <sip:101@127.0.0.1>;tag=1\r\nTo: <sip:102@127.0.0.1>\r\nCall-ID: hostile\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n';
  const messages: string[] = [
    '', '\0', '\r\n\r\n', 'INVITE', `${start}`, `${start}\r\n`, `${start}${via}`, `${start}${via}${rest}`,
    `${start}${via}${rest}Content-Length: -1\r\n\r\n`, `${start}${via}${rest}Content-Length: 99999999999\r\n\r\n`,
    `${start}${via}${rest}Content-Length: 500\r\n\r\nshort`,
    `INVITE  sip:102@127.0.0.1  SIP/2.0\r\n${via}${rest}\r\n`, `INVITE sip:102@127.0.0.1 SIP/7.0\r\n${via}${rest}\r\n`,
    `INVITE sip:102@[::::1 SIP/2.0\r\n${via}${rest}\r\n`, `INVITE nobodyKnows:x SIP/2.0\r\n${via}${rest}\r\n`,
    `${start}${via}${via}${rest.replace('CSeq: 1 INVITE', 'CSeq: 99999999999 INVITE')}\r\n`,
    `${start}${via}${rest.replace('CSeq: 1 INVITE', 'CSeq: 1 BYE')}\r\n`,
    `${start}${via}${rest}${rest}\r\n`, `${start}${via}${rest}Contact: <<<>>>\r\nRoute: ,,,\r\n\r\n`,
    `SIP/2.0 200 OK\r\n${via}${rest}\r\n`, 'SIP/2.0 99999 \r\n\r\n', `SIP/2.0 200 OK\r\n\r\n`,
    `${start}${via.repeat(200)}${rest}\r\n`, `${start}${via}${rest}X: ${'a'.repeat(60_000)}\r\n\r\n`,
    `${start}Via: SIP/2.0/UDP \xff\xfe;branch=\r\n${rest}\r\n`, `${'A'.repeat(65_000)}`,
    `${start}${via}${rest}Authorization: Digest username="101", nonce="${'f'.repeat(4000)}", response="\r\n\r\n`,
    `${start}${via}${rest}${sdp('v=0\r\nm=audio 99999999 RTP/AVP 8\r\n')}`,
    `${start}${via}${rest}${sdp(`v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n${'m=audio 1 RTP/AVP 8\r\n'.repeat(300)}`)}`,
  ];

  test('UDP and TCP: the call is not disturbed, no process ends, phones register as before', async ({ pbx }) => {
    const before = pids(pbx);
    const { caller, call, other } = await talk(pbx);
    const { host, port } = splitHostPort(pbx.facts.sip.udp);
    const tcp = splitHostPort(pbx.facts.sip.tcp);

    const socket = createSocket('udp4');
    for (const message of messages) {
      if (message) socket.send(Buffer.from(message, 'latin1').subarray(0, 65_000), port, host);
      // Each also cut in the middle, as a lost fragment leaves it.
      if (message.length > 40) socket.send(Buffer.from(message.slice(0, message.length / 2), 'latin1'), port, host);
      await delay(5);
    }
    for (const message of messages) {
      const stream = connect(tcp.port, tcp.host);
      stream.on('error', () => undefined);
      await new Promise<void>((resolve) => {
        stream.on('connect', () => stream.end(Buffer.from(message, 'latin1'), () => resolve()));
        stream.on('error', () => resolve());
      });
      stream.destroy();
    }
    socket.close();

    // The same bodies from somebody who may call: refused, each with a final answer.
    for (const body of ['v=0', 'garbage', `v=0\r\n${'a=x\r\n'.repeat(9000)}`.slice(0, 6000)]) {
      const reply = await caller.inDialog(call, 'INVITE', body);
      expect(status(reply)).toBeGreaterThanOrEqual(400);
      expect(status(reply)).toBeLessThan(500);
    }

    await until('it is still heard', () => call.rtp.received > 25 && other.rtp.received > 25);
    expect([call.rtp.lost, other.rtp.lost]).toEqual([0, 0]);
    expect(call.isUp && other.isUp).toBe(true);
    expect(pids(pbx)).toEqual(before);
    expect(await caller.hangup(call)).toBe(200);
    const again = await phone(pbx, '103');
    expect(await again.register()).toBe(200);
  });
});

describe('digest', () => {
  test('SHA-256 is offered and taken; afterwards MD5 of the same phone is refused as a downgrade', async ({ pbx }) => {
    const strong = await phone(pbx, '104', { algorithm: 'SHA-256', userAgent: 'Strong/1.0' });
    expect(await strong.register()).toBe(200);
    expect((await strong.call('999')).status).toBe(404); // INVITE with SHA-256 as well
    const challenge = strong.seen.find((m) => status(m) === 401);
    expect(challenge && MiniPhone.challenged(challenge)).toContain('SHA-256');

    const weak = await phone(pbx, '104', { algorithm: 'MD5', userAgent: 'Strong/1.0' });
    const answer = await weak.register().catch((error: unknown) => String(error));
    expect(String(answer)).toMatch(/403|no MD5 challenge/);
    // Another phone of the account that only knows MD5 is not the one that was stronger.
    const old = await phone(pbx, '104', { algorithm: 'MD5', userAgent: 'Old/0.1' });
    expect(await old.register()).toBe(200);
  });
});

describe('wrong passwords', () => {
  test('after ten in a minute the name is refused unheard from there; others at the address go on', async ({ pbx }) => {
    const bad = await phone(pbx, '105', { secret: 'guess' });
    for (let i = 0; i < 10; i++) expect(await bad.register()).toBe(403);
    await until('the events', () => /sip\.banned/.test(pbx.output));
    expect(pbx.output.match(/sip\.auth_failed/g)?.length).toBeGreaterThanOrEqual(10);

    // Now not even a challenge, and the right password does not help for a while.
    const right = await phone(pbx, '105');
    expect(await right.register()).toBe(403);
    expect(right.seen.some((m) => status(m) === 401)).toBe(false);
    const { switch: now } = await pbx.ctlJson<{ switch: { edge: { auth_failed: number; rate_limited: number } } }>('status');
    expect(now.edge.rate_limited).toBeGreaterThan(0);

    const good = await phone(pbx, '103');
    expect(await good.register()).toBe(200);
    expect((await good.call('999')).status).toBe(404);
  });
});
