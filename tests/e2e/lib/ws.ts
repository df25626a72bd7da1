// A reader of /ws, as a browser or a program opens it.
import WebSocket from 'ws';

import { until } from './wait.js';

export type WsEvent = { type: string; topic?: string; data?: Record<string, unknown> };

export class EventSocket {
  readonly seen: WsEvent[] = [];
  /** HTTP status of a refused handshake. */
  refused = 0;
  closeCode = 0;
  private readonly socket: WebSocket;

  constructor(base: string, headers: Record<string, string>, origin?: string) {
    this.socket = new WebSocket(`${base.replace(/^http/, 'ws')}/ws`, {
      headers, rejectUnauthorized: false, ...(origin === undefined ? {} : { origin }),
    });
    this.socket.on('message', (data: Buffer) => this.seen.push(JSON.parse(data.toString('utf8')) as WsEvent));
    this.socket.on('unexpected-response', (_request, response) => {
      this.refused = response.statusCode ?? -1;
      this.socket.terminate();
    });
    this.socket.on('close', (code: number) => { this.closeCode = code; });
    this.socket.on('error', () => undefined);
  }

  async subscribe(...topics: string[]): Promise<void> {
    await until('/ws opens', () => this.socket.readyState === WebSocket.OPEN && this.seen.length > 0);
    const answered = (): number => this.seen.filter((event) => event.type === 'subscribed').length;
    const before = answered();
    this.socket.send(JSON.stringify({ type: 'subscribe', topics }));
    await until('the subscription is in force', () => answered() > before);
  }

  topics(): string[] {
    return this.seen.flatMap((event) => (event.type === 'event' && event.topic ? [event.topic] : []));
  }

  event(topic: string): Promise<WsEvent> {
    return until(`event ${topic}`, () => this.seen.find((event) => event.topic === topic));
  }

  /** Close code, or the status of the refused handshake. */
  ended(): Promise<number> {
    return until('the end of /ws', () => this.refused || this.closeCode);
  }

  close(): void {
    this.socket.terminate();
  }
}
