import * as v from 'valibot';
import type { Json } from './json';
import { ApiError, apiError } from './problem';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly json?: Json;
  readonly text?: { readonly type: string; readonly body: string };
  readonly ifMatch?: string | null;
  readonly signal?: AbortSignal;
}

export interface UploadOptions {
  readonly query?: RequestOptions['query'];
  readonly onProgress?: (share: number) => void;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly body: unknown;
  readonly etag: string | null;
}

export interface HttpOptions {
  /** Called when the server says that there is no session (any more). Not for the log-in itself. */
  readonly onUnauthorized: () => void;
  readonly fetch?: typeof fetch;
}

/** The one place that talks HTTP: CSRF header, language, problem documents, lost sessions. */
export class Http {
  /** Token of the session object; sent with everything that changes something. */
  csrf: string | null = null;
  language = 'it';
  private readonly options: HttpOptions;

  constructor(options: HttpOptions) {
    this.options = options;
  }

  async request(method: Method, path: string, options: RequestOptions = {}): Promise<Answer> {
    const headers = new Headers({
      Accept: 'application/json, application/problem+json',
      'Accept-Language': this.language,
    });
    let body: string | undefined;
    if (options.json !== undefined) {
      headers.set('Content-Type', 'application/json');
      body = JSON.stringify(options.json);
    } else if (options.text) {
      headers.set('Content-Type', options.text.type);
      body = options.text.body;
    }
    if (method !== 'GET' && this.csrf) headers.set('X-CSRF-Token', this.csrf);
    if (options.ifMatch) headers.set('If-Match', options.ifMatch);

    const doFetch = this.options.fetch ?? fetch;
    let response: Response;
    let text: string;
    try {
      response = await doFetch(withQuery(path, options.query), {
        method,
        headers,
        credentials: 'same-origin',
        cache: 'no-store',
        ...(body === undefined ? {} : { body }),
        ...(options.signal ? { signal: options.signal } : {}),
      });
      text = await response.text();
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new ApiError(0, 'unreachable', '');
    }

    const parsed = parseJson(text);
    if (!response.ok) {
      const isLogin = method === 'POST' && path.endsWith('/session');
      if (response.status === 401 && !isLogin) this.options.onUnauthorized();
      throw apiError(response.status, parsed, response.headers.get('Retry-After'));
    }
    return { body: parsed, etag: response.headers.get('ETag') };
  }

  /** Sends a file or a form with files, and tells how much of it has gone (0..1). */
  upload(method: 'POST' | 'PUT', path: string, body: FormData | Blob, options: UploadOptions = {}): Promise<unknown> {
    /* fetch() cannot tell how far it is. */
    const request = new XMLHttpRequest();
    const done = new Promise<unknown>((resolve, reject) => {
      request.onload = () => {
        const parsed = parseJson(request.responseText);
        if (request.status >= 200 && request.status < 300) {
          resolve(parsed);
          return;
        }
        if (request.status === 401) this.options.onUnauthorized();
        reject(apiError(request.status, parsed, request.getResponseHeader('Retry-After')));
      };
      request.onerror = () => reject(new ApiError(0, 'unreachable', ''));
      request.onabort = () => reject(new DOMException('aborted', 'AbortError'));
    });
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) options.onProgress?.(event.loaded / event.total);
    };
    request.open(method, withQuery(path, options.query));
    request.setRequestHeader('Accept', 'application/json, application/problem+json');
    request.setRequestHeader('Accept-Language', this.language);
    if (this.csrf) request.setRequestHeader('X-CSRF-Token', this.csrf);
    options.signal?.addEventListener('abort', () => request.abort());
    request.send(body);
    return done;
  }

  /** A file in the given type. */
  async download(path: string, accept: string): Promise<Blob> {
    const doFetch = this.options.fetch ?? fetch;
    const headers = new Headers({ Accept: accept, 'Accept-Language': this.language });
    const response = await doFetch(path, { headers, credentials: 'same-origin', cache: 'no-store' }).catch(() => {
      throw new ApiError(0, 'unreachable', '');
    });
    if (response.ok) return response.blob();
    if (response.status === 401) this.options.onUnauthorized();
    throw apiError(response.status, parseJson(await response.text()), response.headers.get('Retry-After'));
  }

  /** The answer's body, checked; an answer that breaks the contract is an error, not a surprise later. */
  async get<S extends v.GenericSchema>(
    schema: S,
    path: string,
    options: RequestOptions = {},
  ): Promise<v.InferOutput<S>> {
    const { body } = await this.request('GET', path, options);
    return check(schema, body, path);
  }
}

export function check<S extends v.GenericSchema>(
  schema: S,
  body: unknown,
  where: string,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, body);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  const at = v.getDotPath(issue) ?? '';
  throw new ApiError(-1, 'contract', `${where}: ${at} ${issue.message}`);
}

export function withQuery(path: string, query: RequestOptions['query']): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== '') params.set(key, String(value));
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

function parseJson(text: string): unknown {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
