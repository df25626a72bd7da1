export type SipMessage = {
  text: string;
  start: string;
  headers: Map<string, string[]>;
  body: string;
};

export function parseSip(text: string): SipMessage {
  const end = text.indexOf('\r\n\r\n');
  const head = end < 0 ? text : text.slice(0, end);
  const lines = head.split('\r\n');
  const headers = new Map<string, string[]>();
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim().toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return { text, start: lines[0] ?? '', headers, body: end < 0 ? '' : text.slice(end + 4) };
}

export const header = (message: SipMessage, name: string): string => message.headers.get(name)?.[0] ?? '';
export const status = (message: SipMessage): number => Number(/^SIP\/2\.0 (\d+)/.exec(message.start)?.[1] ?? 0);
export const method = (message: SipMessage): string =>
  message.start.startsWith('SIP/2.0') ? '' : (message.start.split(' ')[0] ?? '');
export const tagOf = (value: string): string => /;tag=([^;]+)/.exec(value)?.[1] ?? '';
export const contactUri = (message: SipMessage): string =>
  /<([^>]+)>/.exec(header(message, 'contact'))?.[1] ?? header(message, 'contact');
