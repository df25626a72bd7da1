import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

function tcpFree(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      const got = typeof address === 'object' && address ? address.port : 0;
      server.close(() => resolve(got));
    });
  });
}

function udpFree(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => {
      const got = socket.address().port;
      socket.close(() => resolve(got));
    });
  });
}

/**
 * First of `count` consecutive ports that are free for UDP and TCP right now. Above the ports that the kernel gives
 * to whoever asks for any (up to 60,999), and apart from those of the unit tests: who binds it next is who asked here.
 */
export async function freePorts(count = 1): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const first = 61_000 + Math.floor(Math.random() * (65_000 - 61_000 - count));
    try {
      for (let i = 0; i < count; i++) {
        await tcpFree(first + i);
        await udpFree(first + i);
      }
      return first;
    } catch {
      // taken: try others
    }
  }
  throw new Error(`no ${count} free ports`);
}

/**
 * A range for RTP that is free now: even start, below the kernel's own ephemeral ports. 100 calls need 400 ports, and some
 * ranges have up to a dozen that are not used because browsers refuse them.
 */
export async function rtpRange(size = 500): Promise<[number, number]> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const first = 2_100 + 2 * Math.floor(Math.random() * ((21_600 - 2_100 - size) / 2));
    try {
      for (let port = first; port < first + size; port++) await udpFree(port);
      return [first, first + size - 1];
    } catch {
      // another PBX is there
    }
  }
  throw new Error(`no ${size} free ports for RTP`);
}
