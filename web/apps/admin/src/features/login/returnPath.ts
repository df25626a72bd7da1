/** Where to go after the log-in: only a path of this program, never an address from elsewhere. */
export function returnPath(state: unknown): string {
  const from = member(state, 'from');
  return typeof from === 'string' && /^\/(?![/\\])/.test(from) && !from.startsWith('/login') ? from : '/';
}

export function wasExpired(state: unknown): boolean {
  return member(state, 'expired') === true;
}

function member(state: unknown, key: 'from' | 'expired'): unknown {
  if (typeof state !== 'object' || state === null || !(key in state)) return undefined;
  return Object.getOwnPropertyDescriptor(state, key)?.value;
}
