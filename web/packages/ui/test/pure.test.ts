import { expect, test } from 'vitest';
import { moved, passwordStrength, randomSecret } from '../src';

test('moving an item keeps all items', () => {
  expect(moved(['a', 'b', 'c'], 2, -1)).toEqual(['a', 'c', 'b']);
  expect(moved(['a', 'b', 'c'], 0, 1)).toEqual(['b', 'a', 'c']);
  expect(moved(['a', 'b', 'c'], 0, -1)).toEqual(['a', 'b', 'c']);
  expect(moved(['a', 'b', 'c'], 2, 1)).toEqual(['a', 'b', 'c']);
  expect(moved([], 0, 1)).toEqual([]);
});

test('the strength of a secret grows with what must be guessed', () => {
  expect(passwordStrength('')).toBe(0);
  expect(passwordStrength('1234')).toBe(0);
  expect(passwordStrength('abcdefghijklmnop')).toBe(0);
  expect(passwordStrength('aaaaaaaaaaaaaaaaaaaa')).toBe(0);
  expect(passwordStrength('Kp7uQ2x')).toBe(1);
  expect(passwordStrength('Kp7uQ2xNw9')).toBe(2);
  expect(passwordStrength('Kp7uQ2xNw9-r')).toBe(3);
  expect(passwordStrength('Kp7uQ2xNw9-rTz4+b')).toBe(4);
});

test('generated secrets are long, readable, strong and different', () => {
  const secrets = Array.from({ length: 200 }, () => randomSecret());
  expect(new Set(secrets).size).toBe(200);
  for (const secret of secrets) {
    expect(secret).toMatch(/^[a-zA-Z2-9]{20}$/);
    expect(secret).not.toMatch(/[lIO01]/);
    expect(passwordStrength(secret)).toBe(4);
  }
});
