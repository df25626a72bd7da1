/* The dashboard document is loose (PUB-03): a value is shown when it is there. */

type Facts = Readonly<Record<string, unknown>>;

export function pickNumber(facts: Facts, names: readonly string[]): number | null {
  for (const name of names) {
    const value = facts[name];
    if (typeof value === 'number' && Number.isFinite(value)) return value;
  }
  return null;
}

export function pickText(facts: Facts, names: readonly string[]): string | null {
  for (const name of names) {
    const value = facts[name];
    if (typeof value === 'string' && value !== '') return value;
  }
  return null;
}

export interface Fact {
  readonly key: string;
  readonly value: string;
}

/** Plain values of the document, one level deep ("disk.used" under its own name), in its order. */
export function flattenFacts(facts: Facts): Fact[] {
  const plain = (key: string, value: unknown): Fact[] =>
    typeof value === 'string' || typeof value === 'number'
      ? [{ key, value: String(value) }]
      : [];
  return Object.entries(facts).flatMap(([key, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([inner, v]) => plain(`${key}_${inner}`, v))
      : plain(key, value),
  );
}
