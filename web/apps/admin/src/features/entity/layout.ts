import type { Entity, Field, Group, Label } from '@aoide/api';

/** A section of the form: fields one below the other, or a grid of groups with the same fields. */
export type Section =
  | { readonly kind: 'fields'; readonly key: string; readonly label: Label | null; readonly fields: readonly Field[] }
  | { readonly kind: 'grid'; readonly key: string; readonly columns: readonly Group[]; readonly rows: readonly GridRow[] };

/** One row of a grid: the same field of each column. */
export interface GridRow {
  readonly label: Label;
  readonly cells: readonly Field[];
}

/* "overflow_internal", "overflow_external", "overflow_transfer": one stem, one word each. */
function stem(key: string): string | null {
  const at = key.lastIndexOf('_');
  return at > 0 ? key.slice(0, at) : null;
}

/** The field's name with the column's word taken out: what makes it the same in every column. */
function shape(field: Field, group: Group): string {
  const word = group.key.slice(group.key.lastIndexOf('_') + 1);
  return field.name.split('_').map((part) => (part === word ? '*' : part)).join('_');
}

/** Groups that differ only by one word are one grid, such as origins and causes of overflow (BASE-42). */
function gridOf(groups: readonly Group[], fieldsOf: (key: string) => readonly Field[]): GridRow[] | null {
  const [first, ...others] = groups;
  if (!first || others.length === 0) return null;
  const rows: GridRow[] = [];
  for (const field of fieldsOf(first.key)) {
    const wanted = shape(field, first);
    const cells: Field[] = [field];
    for (const group of others) {
      const cell = fieldsOf(group.key).find((f) => shape(f, group) === wanted && f.type === field.type);
      if (!cell) return null;
      cells.push(cell);
    }
    rows.push({ label: field.label, cells });
  }
  const same = others.every((group) => fieldsOf(group.key).length === rows.length);
  return same && rows.length > 0 ? rows : null;
}

/* What a part of the page below the form shows and changes. */
const shownElsewhere: Readonly<Record<string, readonly string[]>> = {
  audio_file: [
    'path', 'builtin', 'version', 'state', 'playable', 'reason', 'duration_ms', 'size_bytes', 'rate_hz', 'source_name',
    'source_format', 'content_at',
  ],
  moh_class: ['files', 'preset', 'version', 'system_music'],
  language: ['custom', 'version', 'replaced'],
};

/** Fields that a form draws. */
function drawnFields(entity: Entity): readonly Field[] {
  const hidden = shownElsewhere[entity.name] ?? [];
  return entity.fields.filter((f) => !hidden.includes(f.name));
}

/** The sections of an entity's form in the order of its groups; fields without a group come first. */
export function sectionsOf(entity: Entity): Section[] {
  const known = new Set(entity.groups.map((group) => group.key));
  const fields = drawnFields(entity);
  const fieldsOf = (key: string): readonly Field[] => fields.filter((f) => f.group === key);
  const sections: Section[] = [];

  const loose = fields.filter((f) => f.group === null || !known.has(f.group));
  if (loose.length > 0) sections.push({ kind: 'fields', key: '', label: null, fields: loose });

  for (let i = 0; i < entity.groups.length; i++) {
    const group = entity.groups[i];
    if (!group) continue;
    const base = stem(group.key);
    let end = i + 1;
    while (base !== null && end < entity.groups.length && stem(entity.groups[end]?.key ?? '') === base) end += 1;
    const run = entity.groups.slice(i, end);
    const rows = run.length > 1 ? gridOf(run, fieldsOf) : null;
    if (rows && base !== null) {
      sections.push({ kind: 'grid', key: base, columns: run, rows });
      i = end - 1;
      continue;
    }
    const own = fieldsOf(group.key);
    if (own.length > 0) sections.push({ kind: 'fields', key: group.key, label: group.label, fields: own });
  }
  return sections;
}

/** All fields of an object are choices out of the same list: drawn as a table with one column per choice. */
export function isChoiceTable(field: Field): boolean {
  const [first] = field.fields;
  if (!first || field.fields.length < 4) return false;
  const key = first.values.map((v) => v.value).join();
  return field.fields.every((f) => f.type === 'enum' && f.values.map((v) => v.value).join() === key);
}
