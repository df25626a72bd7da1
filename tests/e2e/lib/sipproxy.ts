// A stateless SIP proxy over UDP between a phone and the PBX, which stays in the way of their dialogs.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

export class SipProxy {
  /** First lines of the requests that went through. */
  readonly requests: string[] = [];

  private constructor(private readonly socket: Socket, readonly port: number, private readonly pbxPort: number) {
    socket.on('message', (data, from) => this.take(data.toString(), from.port));
  }

  /** What is addressed to it goes on to the PBX (host:port). */
  static async start(pbx: string): Promise<SipProxy> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new SipProxy(socket, socket.address().port, Number(pbx.split(':').pop()));
  }

  private take(text: string, fromPort: number): void {
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) return;
    let lines = text.slice(0, end).split('\r\n');
    const rest = text.slice(end);
    if (lines[0]?.startsWith('SIP/2.0')) {
      lines.splice(lines.findIndex((line) => line.startsWith('Via:')), 1); // ours
      this.send(lines.join('\r\n') + rest, this.portOf(lines.find((line) => line.startsWith('Via:')) ?? ''));
      return;
    }
    this.requests.push(lines[0] ?? '');
    const route = lines.findIndex((line) => line.startsWith('Route:'));
    if (route >= 0) lines.splice(route, 1);
    const branch = /branch=([^;\r\n]+)/.exec(lines.find((line) => line.startsWith('Via:')) ?? '')?.[1];
    const at = lines.findIndex((line) => line.startsWith('Via:'));
    lines[at] = `${lines[at]?.replace(/;rport(?!=)/, '')};rport=${fromPort}`;
    lines = [lines[0] ?? '', `Via: SIP/2.0/UDP 127.0.0.1:${this.port};branch=${branch}p`,
      `Record-Route: <sip:127.0.0.1:${this.port};lr>`, ...lines.slice(1)];
    const next = lines.find((line) => line.startsWith('Route:')) ?? lines[0] ?? '';
    const port = Number(/sip:[^\s>]*:(\d+)/.exec(next)?.[1]);
    this.send(lines.join('\r\n') + rest, port === this.port ? this.pbxPort : port);
  }

  private portOf(via: string): number {
    return Number(/rport=(\d+)/.exec(via)?.[1] ?? /127\.0\.0\.1:(\d+)/.exec(via)?.[1]);
  }

  private send(text: string, port: number): void {
    if (port) this.socket.send(text, port, '127.0.0.1');
  }

  async stop(): Promise<void> {
    this.socket.close();
    await once(this.socket, 'close');
  }
}
