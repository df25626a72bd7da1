/** The list with one item moved up or down; unchanged at the ends. */
export function moved<T>(list: readonly T[], index: number, by: -1 | 1): T[] {
  const copy = [...list];
  const item = copy[index];
  if (item === undefined || index + by < 0 || index + by >= list.length) return copy;
  copy.splice(index, 1);
  copy.splice(index + by, 0, item);
  return copy;
}
