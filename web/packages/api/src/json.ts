/** What JSON.parse can give; the only shape that entity objects have before their schema is known. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A plain value as text; objects and lists have none. */
export function plainText(value: Json | undefined): string {
  return typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/** Two values are the same document; key order does not matter, a missing key is null. */
export function sameJson(a: Json | undefined, b: Json | undefined): boolean {
  const pairs: [Json, Json][] = [[a ?? null, b ?? null]];
  for (let pair = pairs.pop(); pair; pair = pairs.pop()) {
    const [x, y] = pair;
    if (x === y) continue;
    if (Array.isArray(x) && Array.isArray(y)) {
      if (x.length !== y.length) return false;
      x.forEach((item, i) => pairs.push([item, y[i] ?? null]));
    } else if (isObject(x) && isObject(y)) {
      for (const key of new Set([...Object.keys(x), ...Object.keys(y)]))
        pairs.push([x[key] ?? null, y[key] ?? null]);
    } else return false;
  }
  return true;
}
