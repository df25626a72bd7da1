import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { longestDelayMs, openEvents, retryDelayMs, type Socket } from '../src';

class FakeSocket implements Socket {
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  sent: string[] = [];
  closed = false;
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.closed = true;
  }
  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

function setUp(): { sockets: FakeSocket[]; log: string[]; end: () => void } {
  const sockets: FakeSocket[] = [];
  const log: string[] = [];
  const end = openEvents(
    ['call.*'],
    {
      onEvent: (event) => log.push(event.topic),
      onResync: () => log.push('resync'),
      onState: (state) => log.push(state),
    },
    () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
  );
  return { sockets, log, end };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('subscribes, fetches the state when events flow, and hands events on', () => {
  const { sockets, log } = setUp();
  sockets[0]?.onopen?.();
  expect(sockets[0]?.sent).toEqual(['{"type":"subscribe","topics":["call.*"]}']);
  sockets[0]?.say({ type: 'hello' });
  sockets[0]?.say({ type: 'subscribed' });
  sockets[0]?.say({ type: 'event', topic: 'call.ringing', data: {} });
  expect(log).toEqual(['connecting', 'open', 'resync', 'call.ringing']);
});

test('dropped events mean that the state is fetched again', () => {
  const { sockets, log } = setUp();
  sockets[0]?.say({ type: 'lagged' });
  expect(log).toEqual(['connecting', 'resync']);
});

test('what is no message of the contract is ignored', () => {
  const { sockets, log } = setUp();
  for (const data of ['', '{', '[]', '{"type":"event"}', '{"type":"event","topic":1}', new ArrayBuffer(4)])
    sockets[0]?.onmessage?.({ data });
  expect(log).toEqual(['connecting']);
});

test('a lost connection is tried again, later each time, and soon again after a success', () => {
  vi.spyOn(Math, 'random').mockReturnValue(1);
  const { sockets, log } = setUp();
  sockets[0]?.onclose?.();
  vi.advanceTimersByTime(499);
  expect(sockets).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(sockets).toHaveLength(2);
  sockets[1]?.onclose?.();
  vi.advanceTimersByTime(999);
  expect(sockets).toHaveLength(2);
  vi.advanceTimersByTime(1);
  sockets[2]?.say({ type: 'hello' });
  sockets[2]?.say({ type: 'subscribed' });
  sockets[2]?.onclose?.();
  vi.advanceTimersByTime(500);
  expect(sockets).toHaveLength(4);
  expect(log.filter((entry) => entry === 'resync')).toHaveLength(1);
});

test('the end closes the connection and nothing comes after it', () => {
  const { sockets, end } = setUp();
  end();
  expect(sockets[0]?.closed).toBe(true);
  sockets[0]?.onclose?.();
  vi.advanceTimersByTime(longestDelayMs * 2);
  expect(sockets).toHaveLength(1);
});

test('the delay grows to a limit and differs between browsers', () => {
  expect(retryDelayMs(0, 1)).toBe(500);
  expect(retryDelayMs(3, 1)).toBe(4000);
  expect(retryDelayMs(3, 0)).toBe(2000);
  expect(retryDelayMs(1000, 1)).toBe(longestDelayMs);
});
