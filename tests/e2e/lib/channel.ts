// How SIP text travels: datagrams, streams framed by Content-Length (RFC 3261 section 18.3), WebSockets (RFC 7118).
import { createSocket } from 'node:dgram';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { WebSocket } from 'ws';

export type Transport = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';

export type Channel = {
  readonly transport: Transport;
  /** What Via and Contact say of us; a browser does not know its address. */
  readonly host: string;
  readonly port: number;
  /** Of a WebSocket: the port it comes from. */
  readonly localPort?: number;
  isOpen: boolean;
  take: (text: string) => void;
  send(data: string | Buffer): void;
  close(): void;
};

export function splitHostPort(text: string): { host: string; port: number } {
  const found = /^\[?([^\]]*?)\]?:(\d+)$/.exec(text);
  if (!found) throw new Error(`not host:port: ${text}`);
  return { host: found[1] ?? '', port: Number(found[2]) };
}

export const hostInUri = (host: string): string => (host.includes(':') ? `[${host}]` : host);

function openUdp(server: string, bindPort: number): Promise<Channel> {
  const to = splitHostPort(server);
  const isV6 = to.host.includes(':');
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: isV6 ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
    socket.once('error', reject);
    socket.bind(bindPort, isV6 ? '::1' : '127.0.0.1', () => {
      const channel: Channel = {
        transport: 'udp', host: socket.address().address, port: socket.address().port, isOpen: true,
        take: () => undefined,
        send: (data) => socket.send(data, to.port, to.host),
        close: () => {
          channel.isOpen = false;
          socket.close();
        },
      };
      socket.on('message', (data) => channel.take(data.toString('utf8')));
      resolve(channel);
    });
  });
}

function openStream(server: string, transport: 'tcp' | 'tls'): Promise<Channel> {
  const to = splitHostPort(server);
  return new Promise((resolve, reject) => {
    const ready = (socket: Socket): void => {
      let buffer = Buffer.alloc(0);
      const channel: Channel = {
        transport, host: socket.localAddress ?? '127.0.0.1', port: socket.localPort ?? 0, isOpen: true,
        take: () => undefined,
        send: (data) => void socket.write(data),
        close: () => socket.destroy(),
      };
      socket.on('error', () => undefined);
      socket.on('close', () => (channel.isOpen = false));
      socket.on('data', (data: Buffer) => {
        buffer = Buffer.concat([buffer, data]);
        for (;;) {
          while (buffer.length >= 2 && buffer[0] === 13 && buffer[1] === 10) buffer = buffer.subarray(2);
          const end = buffer.indexOf('\r\n\r\n');
          if (end < 0) return;
          const length = Number(/\r\nContent-Length:\s*(\d+)/i.exec(buffer.toString('latin1', 0, end + 2))?.[1] ?? 0);
          if (buffer.length < end + 4 + length) return;
          const text = buffer.toString('utf8', 0, end + 4 + length);
          buffer = buffer.subarray(end + 4 + length);
          channel.take(text);
        }
      });
      resolve(channel);
    };
    const socket =
      transport === 'tcp'
        ? connectTcp(to.port, to.host, () => ready(socket))
        : connectTls({ port: to.port, host: to.host, rejectUnauthorized: false }, () => ready(socket));
    socket.once('error', reject);
  });
}

function openWebSocket(server: string, transport: 'ws' | 'wss', path: string, localAddress?: string): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${transport}://${server}${path}`, 'sip', {
      rejectUnauthorized: false, ...(localAddress ? { localAddress } : {}),
    });
    socket.once('error', reject);
    socket.once('open', () => {
      const channel: Channel = {
        transport, host: `${Math.random().toString(36).slice(2, 12)}.invalid`, port: 0, isOpen: true,
        localPort: (socket as unknown as { _socket?: Socket })._socket?.localPort ?? 0,
        take: () => undefined,
        send: (data) => socket.send(data),
        close: () => socket.terminate(),
      };
      socket.on('error', () => undefined);
      socket.on('close', () => (channel.isOpen = false));
      socket.on('message', (data: Buffer) => channel.take(data.toString('utf8')));
      resolve(channel);
    });
  });
}

export function openChannel(transport: Transport, server: string, bindPort = 0, path = '/', localAddress?: string): Promise<Channel> {
  if (transport === 'udp') return openUdp(server, bindPort);
  if (transport === 'tcp' || transport === 'tls') return openStream(server, transport);
  return openWebSocket(server, transport, path, localAddress);
}
