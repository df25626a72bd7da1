import * as v from 'valibot';

/** An event of the session's tenant, as `/ws` delivers it. `data` is checked by who uses it. */
export interface LiveEvent {
  readonly topic: string;
  readonly data: unknown;
}

const message = v.variant('type', [
  v.looseObject({ type: v.literal('hello') }),
  v.looseObject({ type: v.literal('subscribed') }),
  v.looseObject({ type: v.literal('lagged') }),
  v.looseObject({ type: v.literal('event'), topic: v.string(), data: v.unknown() }),
]);

export type ConnectionState = 'connecting' | 'open' | 'waiting';

export interface EventHandlers {
  readonly onEvent: (event: LiveEvent) => void;
  /** The state that was shown may have missed something: fetch it again. Also after each connect. */
  readonly onResync: () => void;
  readonly onState: (state: ConnectionState) => void;
}

export const firstDelayMs = 500;
export const longestDelayMs = 30_000;

/** Back-off before connection attempt `attempt` (0 = first retry); `random` in 0..1 spreads browsers. */
export function retryDelayMs(attempt: number, random: number): number {
  const full = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(attempt, 16));
  return Math.round(full * (0.5 + random / 2));
}

/** What the event stream needs of a WebSocket; a test gives its own. */
export interface Socket {
  onopen: (() => void) | null;
  onclose: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  send(text: string): void;
  close(): void;
}

export function browserSocket(): Socket {
  const scheme = location.protocol === 'http:' ? 'ws' : 'wss';
  const ws = new WebSocket(`${scheme}://${location.host}/ws`);
  const socket: Socket = {
    onopen: null,
    onclose: null,
    onmessage: null,
    send: (text) => ws.send(text),
    close: () => ws.close(),
  };
  ws.onopen = () => socket.onopen?.();
  ws.onclose = () => socket.onclose?.();
  ws.onmessage = (event: MessageEvent<unknown>) => socket.onmessage?.({ data: event.data });
  return socket;
}

/**
 * Subscribes to topics and stays connected: after a loss it tries again with growing delays and says
 * onResync as soon as events flow again. Returns the function that ends it.
 */
export function openEvents(
  topics: readonly string[],
  handlers: EventHandlers,
  connect: () => Socket = browserSocket,
): () => void {
  let socket: Socket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let attempt = 0;
  let ended = false;

  const start = (): void => {
    handlers.onState('connecting');
    const current = connect();
    socket = current;
    current.onopen = () => current.send(JSON.stringify({ type: 'subscribe', topics }));
    current.onmessage = ({ data }) => {
      const parsed = v.safeParse(message, parse(data));
      if (!parsed.success) return;
      switch (parsed.output.type) {
        case 'hello':
          attempt = 0;
          handlers.onState('open');
          break;
        case 'subscribed': // only from here on is nothing missed: what was fetched before may be old
        case 'lagged':
          handlers.onResync();
          break;
        case 'event':
          handlers.onEvent({ topic: parsed.output.topic, data: parsed.output.data });
          break;
      }
    };
    current.onclose = () => {
      if (ended) return;
      handlers.onState('waiting');
      timer = setTimeout(start, retryDelayMs(attempt, Math.random()));
      attempt += 1;
    };
  };

  start();
  return () => {
    ended = true;
    clearTimeout(timer);
    socket?.close();
  };
}

function parse(data: unknown): unknown {
  if (typeof data !== 'string') return null;
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}

/** The data of an event if it is what its topic promises. */
export function parseEventData<S extends v.GenericSchema>(schema: S, data: unknown): v.InferOutput<S> | null {
  const parsed = v.safeParse(schema, data);
  return parsed.success ? parsed.output : null;
}
