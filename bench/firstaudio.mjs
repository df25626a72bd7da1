// How long who calls a service waits for its voice: from the 200 to the first packet of sound.
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { BenchPbx, sleep } from './lib/pbx.mjs';

const md5 = (text) => createHash('md5').update(text).digest('hex');
const token = () => randomBytes(6).toString('hex');

const bound = () => new Promise((resolve) => {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1', () => resolve(socket));
});

const header = (text, name) => new RegExp(`^${name}: *(.*)$`, 'mi').exec(text)?.[1]?.trim() ?? '';

function authorization(challenge, user, password, method, uri) {
  const part = (name) => new RegExp(`${name}="?([^",]+)"?`, 'i').exec(challenge)?.[1] ?? '';
  const [realm, nonce, cnonce] = [part('realm'), part('nonce'), token()];
  const ha1 = md5(`${user}:${realm}:${password}`);
  const qop = /qop=/.test(challenge);
  const response = qop
    ? md5(`${ha1}:${nonce}:00000001:${cnonce}:auth:${md5(`${method}:${uri}`)}`)
    : md5(`${ha1}:${nonce}:${md5(`${method}:${uri}`)}`);
  return `Digest username="${user}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}", algorithm=MD5` +
    (qop ? `, qop=auth, nc=00000001, cnonce="${cnonce}"` : '');
}

/** Calls are taken from where the account is registered. */
async function register(pbx, account) {
  const sip = await bound();
  const uri = `sip:127.0.0.1:${pbx.port}`;
  const aor = `<sip:${account.username}@127.0.0.1>`;
  const callId = token();
  const send = (cseq, more) => sip.send([
    `REGISTER ${uri} SIP/2.0`, `Via: SIP/2.0/UDP 127.0.0.1:${sip.address().port};branch=z9hG4bK${token()};rport`, 'Max-Forwards: 70',
    `From: ${aor};tag=${callId}`, `To: ${aor}`, `Call-ID: ${callId}`, `CSeq: ${cseq} REGISTER`,
    `Contact: <sip:${account.username}@127.0.0.1:${sip.address().port}>`, 'Expires: 600', ...more, 'Content-Length: 0', '', '',
  ].join('\r\n'), pbx.port, '127.0.0.1');
  await new Promise((resolve, reject) => {
    sip.on('message', (data) => {
      const text = data.toString();
      const status = Number(/^SIP\/2.0 (\d+)/.exec(text)?.[1] ?? 0);
      if (status === 200) resolve();
      else if (status === 401) send(2, [`Authorization: ${authorization(header(text, 'WWW-Authenticate'), account.username, account.secret, 'REGISTER', uri)}`]);
      else if (status > 200) reject(new Error(`${status} to the REGISTER`));
    });
    send(1, []);
  });
  sip.removeAllListeners('message');
  return sip;
}

/** One call to a number; ms from the 200 to the first packet (0: the packet was there before). */
async function oneCall(pbx, sip, account, number) {
  const rtp = await bound();
  const uri = `sip:${number}@127.0.0.1:${pbx.port}`;
  const from = `<sip:${account.username}@127.0.0.1>;tag=${token()}`;
  const callId = token();
  const contact = `<sip:${account.username}@127.0.0.1:${sip.address().port}>`;
  const sdp = ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 'c=IN IP4 127.0.0.1', 't=0 0',
    `m=audio ${rtp.address().port} RTP/AVP 8 101`, 'a=rtpmap:8 PCMA/8000', 'a=rtpmap:101 telephone-event/8000', ''].join('\r\n');
  const send = (method, cseq, to, more = [], body = '') => sip.send([
    `${method} ${uri} SIP/2.0`, `Via: SIP/2.0/UDP 127.0.0.1:${sip.address().port};branch=z9hG4bK${token()};rport`, 'Max-Forwards: 70',
    `From: ${from}`, `To: ${to}`, `Call-ID: ${callId}`, `CSeq: ${cseq} ${method}`, `Contact: ${contact}`, ...more,
    ...(body ? ['Content-Type: application/sdp'] : []), `Content-Length: ${Buffer.byteLength(body)}`, '', body,
  ].join('\r\n'), pbx.port, '127.0.0.1');

  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no sound')), 10_000);
      let answeredAt;
      let heardAt;
      let to = `<${uri}>`;
      const done = () => {
        if (answeredAt === undefined || heardAt === undefined) return;
        clearTimeout(timer);
        send('BYE', 9, to);
        resolve(Math.max(0, heardAt - answeredAt));
      };
      rtp.on('message', (data) => {
        if (heardAt !== undefined || (data[1] & 0x7f) !== 8) return;
        heardAt = performance.now();
        done();
      });
      sip.on('message', (data) => {
        const text = data.toString();
        const status = Number(/^SIP\/2.0 (\d+)/.exec(text)?.[1] ?? 0);
        if (header(text, 'Call-ID') !== callId || !/INVITE/.test(header(text, 'CSeq')) || status < 200) return;
        to = header(text, 'To');
        const cseq = Number(header(text, 'CSeq').split(' ')[0]);
        send('ACK', cseq, to);
        if (status === 401 || status === 407) {
          const name = status === 401 ? 'Authorization' : 'Proxy-Authorization';
          const challenge = header(text, status === 401 ? 'WWW-Authenticate' : 'Proxy-Authenticate');
          to = `<${uri}>`;
          send('INVITE', cseq + 1, to, [`${name}: ${authorization(challenge, account.username, account.secret, 'INVITE', uri)}`], sdp);
        } else if (status === 200) {
          answeredAt ??= performance.now();
          done();
        } else {
          clearTimeout(timer);
          reject(new Error(`${status} to the INVITE`));
        }
      });
      send('INVITE', 1, to, [], sdp);
    });
  } finally {
    await sleep(30);
    sip.removeAllListeners('message');
    rtp.close();
  }
}

/** Calls to the echo service, one after the other; the first one reads the prompt from the disk. */
export async function firstAudio(build, calls) {
  const pbx = await BenchPbx.start(build);
  try {
    const [account] = pbx.facts.accounts;
    const phone = await register(pbx, account);
    const cold = await oneCall(pbx, phone, account, '800');
    const ms = [];
    for (let i = 0; i < calls; i++) ms.push(await oneCall(pbx, phone, account, '800'));
    phone.close();
    ms.sort((a, b) => a - b);
    return { calls, cold_ms: cold, p50_ms: ms[Math.floor(calls / 2)], p95_ms: ms[Math.floor(calls * 0.95)], max_ms: ms[calls - 1] };
  } finally {
    await pbx.stop();
  }
}
