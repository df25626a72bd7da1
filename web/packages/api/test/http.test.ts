import { expect, test, vi } from 'vitest';
import { Api, ApiError, sameJson } from '../src';

function apiThat(status: number, body: unknown, headers: Record<string, string> = {}) {
  const onUnauthorized = vi.fn();
  const fetchMock = vi.fn<(url: string, init: RequestInit) => Promise<Response>>(() =>
    Promise.resolve(new Response(body === null ? null : JSON.stringify(body), { status, headers })),
  );
  const api = new Api({ onUnauthorized, fetch: fetchMock as unknown as typeof fetch });
  return { api, onUnauthorized, fetchMock };
}

const session = { username: 'admin', domain: 'default', csrf: 'abc', permissions: { extensions: 'write', odd: 'full' } };

async function errorOf(promise: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await promise.then(() => null, (e: unknown) => e);
  if (!(error instanceof ApiError)) throw new Error('expected an ApiError');
  return error;
}

test('what changes something carries the token of the session; what reads does not', async () => {
  const { api, fetchMock } = apiThat(200, session);
  await api.session.login('admin', 'secret');
  await api.session.setLanguage('en');
  await api.session.current();
  const token = (call: number): string | null => new Headers(fetchMock.mock.calls[call]?.[1].headers).get('X-CSRF-Token');
  expect([token(0), token(1), token(2)]).toEqual([null, 'abc', null]);
});

test('an unknown level of a permission is no right', async () => {
  const { api } = apiThat(200, session);
  expect((await api.session.current())?.permissions).toEqual({ extensions: 'write', odd: 'none' });
});

test('a lost session is reported, a refused log-in is not', async () => {
  const lost = apiThat(401, { title: 'no' });
  expect(await lost.api.session.current()).toBeNull();
  expect(lost.onUnauthorized).toHaveBeenCalledOnce();
  const refused = apiThat(401, { title: 'no' });
  expect((await errorOf(refused.api.session.login('a', 'b'))).status).toBe(401);
  expect(refused.onUnauthorized).not.toHaveBeenCalled();
});

test('[D-227] a problem document becomes an error with its fields', async () => {
  const { api } = apiThat(422, { title: 'Invalid', detail: 'Two fields', errors: [{ field: 'number', code: 'required', message: 'Fill in' }, { field: null }] });
  const error = await errorOf(api.config.revision('tenant'));
  expect(error.message).toBe('Two fields');
  expect(error.errors).toEqual([
    { field: 'number', code: 'required', message: 'Fill in' },
    { field: '', code: '', message: '' },
  ]);
});

test('Retry-After is seconds to wait', async () => {
  const { api } = apiThat(429, {}, { 'Retry-After': '42' });
  expect((await errorOf(api.session.login('a', 'b'))).retryAfterS).toBe(42);
});

test('a page of a proxy is not taken for a problem document', async () => {
  const fetchMock = () => Promise.resolve(new Response('<h1>Bad gateway</h1>', { status: 502 }));
  const api = new Api({ onUnauthorized: () => undefined, fetch: fetchMock });
  const error = await errorOf(api.config.revision('tenant'));
  expect([error.status, error.message]).toEqual([502, 'HTTP 502']);
});

test('an answer that breaks the contract is an error that names the place', async () => {
  const { api } = apiThat(200, { saved: 'seven', applied: 1 });
  const error = await errorOf(api.config.revision('tenant'));
  expect(error.status).toBe(-1);
  expect(error.message).toContain('saved');
});

test('an unreachable server is status 0', async () => {
  const api = new Api({ onUnauthorized: () => undefined, fetch: () => Promise.reject(new TypeError('failed')) });
  expect((await errorOf(api.config.revision('tenant'))).status).toBe(0);
});

test('documents are compared by content', () => {
  expect(sameJson({ a: [1, { b: null }] }, { a: [1, {}] })).toBe(true);
  expect(sameJson([1, 2], [2, 1])).toBe(false);
  expect(sameJson({ a: 1 }, { a: '1' })).toBe(false);
});
