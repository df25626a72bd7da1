/** 0 very weak … 4 very good. */
export type Strength = 0 | 1 | 2 | 3 | 4;

const classes: readonly (readonly [RegExp, number])[] = [
  [/[a-z]/, 26],
  [/[A-Z]/, 26],
  [/[0-9]/, 10],
  [/[^a-zA-Z0-9]/, 32],
];

/* Bits that a guesser of random characters needs; steps of NIST-like practice for online secrets. */
const steps: readonly number[] = [28, 45, 64, 90];

/**
 * How hard a password is to guess (BASE-43). Repeated characters and runs such as "abcd" or "4321"
 * count once, so that length alone does not look strong.
 */
export function passwordStrength(password: string): Strength {
  const alphabet = classes.reduce((sum, [pattern, size]) => sum + (pattern.test(password) ? size : 0), 0);
  let counted = 0;
  let previousStep: number | null = null;
  for (let i = 0; i < password.length; i++) {
    const step = i === 0 ? null : password.charCodeAt(i) - password.charCodeAt(i - 1);
    const isRun = step !== null && Math.abs(step) <= 1 && step === previousStep;
    if (!isRun) counted += 1;
    previousStep = step;
  }
  const distinct = new Set(password).size;
  const bits = Math.min(counted, distinct * 2) * Math.log2(Math.max(alphabet, 1));
  const level = steps.filter((step) => bits >= step).length;
  return level === 0 ? 0 : level === 1 ? 1 : level === 2 ? 2 : level === 3 ? 3 : 4;
}

const readable = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';

/** A random secret without characters that look alike; typed on phone keypads and read aloud. */
export function randomSecret(length = 20): string {
  let text = '';
  while (text.length < length) {
    const bytes = crypto.getRandomValues(new Uint8Array(length * 2));
    /* Bytes past the last whole multiple would make some characters likelier. */
    const limit = 256 - (256 % readable.length);
    for (const byte of bytes) if (byte < limit && text.length < length) text += readable.charAt(byte % readable.length);
  }
  return text;
}
