import { createHash, randomBytes } from 'node:crypto';
import { Agent, request as httpsRequest } from 'node:https';

import { until } from './wait.js';

const agent = new Agent({ keepAlive: true, rejectUnauthorized: false, maxSockets: 8 });

export type Reply = { status: number; headers: Record<string, string>; text: string; bytes: Buffer; json: unknown };
export type Credentials = { username: string; domain: string; password: string };

export type CallOptions = {
  body?: unknown;
  headers?: Record<string, string>;
  accept?: string;
  type?: string;
};

export function sendHttps(url: string, method: string, options: CallOptions = {}): Promise<Reply> {
  const body =
    options.body === undefined || typeof options.body === 'string' || Buffer.isBuffer(options.body)
      ? options.body
      : JSON.stringify(options.body);
  const headers: Record<string, string> = {
    Accept: options.accept ?? 'application/json',
    ...options.headers,
  };
  if (body !== undefined) {
    headers['Content-Type'] = options.type ?? 'application/json';
    headers['Content-Length'] = String(Buffer.byteLength(body));
  }
  return new Promise((resolve, reject) => {
    const req = httpsRequest(url, { method, headers, agent }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () => {
        const bytes = Buffer.concat(chunks);
        const text = bytes.toString('utf8');
        let json: unknown;
        try {
          json = JSON.parse(text);
        } catch {
          json = undefined;
        }
        const flat: Record<string, string> = {};
        for (const [name, value] of Object.entries(res.headers)) flat[name] = String(value);
        resolve({ status: res.statusCode ?? 0, headers: flat, text, bytes, json });
      });
    });
    req.setTimeout(20_000, () => req.destroy(new Error(`no answer to ${method} ${url}`)));
    req.on('error', (error: NodeJS.ErrnoException) => {
      // A kept connection was closed while we wrote to it: asked again on another, as every client does (RFC 9112 section 9.3.1).
      if (req.reusedSocket && error.code === 'ECONNRESET' && method !== 'POST') sendHttps(url, method, options).then(resolve, reject);
      else reject(error);
    });
    if (body !== undefined) req.write(body);
    req.end();
  });
}

const sha256 = (text: string): ReturnType<typeof createHash> => createHash('sha256').update(text, 'utf8');

/** The header of API-02..06 for one request. */
export function xAuthenticate(
  credentials: Credentials,
  salt: string,
  overrides: { nonce?: string; created?: string } = {},
): string {
  const digestPassword = sha256(`${credentials.password}{${salt}}`).digest('hex');
  const nonce = overrides.nonce ?? randomBytes(16).toString('hex');
  const created = overrides.created ?? new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  const digest = sha256(
    nonce + digestPassword + credentials.username + credentials.domain + created,
  ).digest('base64');
  return (
    `RestApiUsernameToken Username="${credentials.username}", Domain="${credentials.domain}", ` +
    `Digest="${digest}", Nonce="${nonce}", Created="${created}"`
  );
}

/** The salt of a domain; asked again when too many were asked for in this second. */
export async function fetchSalt(base: string, domain: string): Promise<string> {
  return until(`the salt of ${domain}`, async () => {
    const reply = await sendHttps(`${base}/rest/salt/${domain || 'pbxAdmin'}`, 'GET');
    if (reply.status !== 200 && reply.status !== 429) throw new Error(`${reply.status} ${reply.text}`);
    return reply.status === 200 && (reply.json as { salt: string }).salt;
  }, 10_000, 200);
}

/** A client as integrators write them: salt once, a fresh header for every request. */
export class RestClient {
  private salt: string | undefined;

  constructor(
    readonly base: string,
    readonly credentials: Credentials,
  ) {}

  async authHeader(overrides: { nonce?: string; created?: string } = {}): Promise<string> {
    if (!this.salt) {
      this.salt = await fetchSalt(this.base, this.credentials.domain);
    }
    return xAuthenticate(this.credentials, this.salt, overrides);
  }

  async call(method: string, path: string, options: CallOptions = {}): Promise<Reply> {
    const header = await this.authHeader();
    return sendHttps(this.base + path, method, {
      ...options,
      headers: { 'X-authenticate': header, ...options.headers },
    });
  }

  /** As call, and the status must be a success. */
  async ok(method: string, path: string, body?: unknown): Promise<Reply> {
    const reply = await this.call(method, path, body === undefined ? {} : { body });
    if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
    return reply;
  }
}
