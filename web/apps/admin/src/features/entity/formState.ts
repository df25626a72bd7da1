import { plainText, rowOverrides, sameJson, type Entity, type Field, type FieldProblem, type Json, type JsonObject, type Row } from '@aoide/api';

/*
 * What a form holds. Pure, so that the page and the tests use the same thing.
 *
 * values     what the user sees and edits; null where nothing is set
 * overrides  inheritable fields set on the object itself (BASE-32); the others show the template's value
 * secrets    are in values only once typed: the server does not send them
 */
export interface FormState {
  readonly values: JsonObject;
  readonly overrides: ReadonlySet<string>;
}

const unsent: readonly Field['type'][] = ['secret', 'verifier'];

/** Type-correct start of a field in a new object. */
export function initialValue(field: Field): Json {
  /* "@Default" names a row of the referenced entity; the page looks it up. */
  if (typeof field.default === 'string' && field.default.startsWith('@')) return null;
  if (field.default !== null) return field.default;
  switch (field.type) {
    case 'bool':
      return false;
    case 'enum_list':
    case 'net_list':
    case 'ref_list':
    case 'list':
      return [];
    case 'object':
      return field.virtual ? null : initialObject(field.fields);
    default:
      return null;
  }
}

export function initialObject(fields: readonly Field[]): JsonObject {
  return Object.fromEntries(fields.map((field) => [field.name, initialValue(field)]));
}

/** The form of a new object. */
export function newForm(entity: Entity): FormState {
  const fields = entity.fields.filter((field) => !unsent.includes(field.type));
  return { values: initialObject(fields), overrides: new Set() };
}

/** The form of an object as the server gave it. */
export function formOf(entity: Entity, row: Row): FormState {
  const values: JsonObject = {};
  for (const field of entity.fields) {
    if (unsent.includes(field.type)) continue;
    const value = row[field.name];
    values[field.name] = value === undefined ? (field.virtual ? initialValue(field) : null) : value;
  }
  return { values, overrides: new Set(rowOverrides(row)) };
}

export function isInheriting(entity: Entity, state: FormState, field: Field): boolean {
  return field.inherit && hasTemplate(entity, state) && !state.overrides.has(field.name);
}

export function hasTemplate(entity: Entity, state: FormState): boolean {
  return entity.templateField !== null && typeof state.values[entity.templateField] === 'number';
}

/** What the field shows: its own value, or the template's while it is not overridden. */
export function shownValue(entity: Entity, state: FormState, field: Field, template: Row | null): Json {
  if (isInheriting(entity, state, field) && template) return template[field.name] ?? null;
  return state.values[field.name] ?? null;
}

export function withValue(state: FormState, name: string, value: Json): FormState {
  return { ...state, values: { ...state.values, [name]: value } };
}

/** Ticks or clears "override"; a fresh override starts from the template's value. */
export function withOverride(state: FormState, field: Field, on: boolean, template: Row | null): FormState {
  const overrides = new Set(state.overrides);
  if (!on) {
    overrides.delete(field.name);
    return { ...state, overrides };
  }
  overrides.add(field.name);
  const value = template?.[field.name];
  return value === undefined ? { ...state, overrides } : { ...withValue(state, field.name, value), overrides };
}

/* "null", the text, is how the document says "nothing set". */
function conditionText(value: Json | undefined): string {
  return plainText(value) || 'null';
}

/** A field is shown when its condition holds; values compare by their text, so "true" is true. */
export function isVisible(field: Field, values: Readonly<Record<string, Json>>): boolean {
  const condition = field.visibleIf;
  if (!condition) return true;
  return conditionText(values[condition.field]) === conditionText(condition.value);
}

/** Names of top-level fields that differ; a form with none has nothing to lose. */
export function changedFields(entity: Entity, before: FormState, now: FormState): string[] {
  return entity.fields
    .filter((field) => {
      if (field.readonly) return false;
      if (field.inherit && before.overrides.has(field.name) !== now.overrides.has(field.name)) return true;
      if (isInheriting(entity, now, field)) return false;
      return !sameJson(before.values[field.name], now.values[field.name]);
    })
    .map((field) => field.name);
}

function overridesOf(entity: Entity, state: FormState): Json[] {
  return entity.fields.filter((f) => f.inherit && state.overrides.has(f.name)).map((f) => f.name);
}

/** Body of the PATCH: what changed, and which fields are overridden now. */
export function patchBody(entity: Entity, before: FormState, now: FormState): JsonObject {
  const body: JsonObject = {};
  for (const name of changedFields(entity, before, now)) {
    const field = entity.fields.find((f) => f.name === name);
    if (!field || isInheriting(entity, now, field)) continue;
    if (field.immutable) continue;
    body[name] = now.values[name] ?? null;
  }
  if (hasTemplate(entity, now)) body['overrides'] = overridesOf(entity, now);
  return body;
}

/** Body of the POST: everything set, without what comes from the template or was not touched. */
export function createBody(entity: Entity, state: FormState): JsonObject {
  const body: JsonObject = {};
  for (const field of entity.fields) {
    const value = state.values[field.name];
    if (field.readonly || value === undefined || isInheriting(entity, state, field)) continue;
    if (field.virtual && (value === null || value === false || (Array.isArray(value) && value.length === 0))) continue;
    if (value === null && unsent.includes(field.type)) continue;
    if (!isVisible(field, state.values)) continue;
    body[field.name] = value;
  }
  if (hasTemplate(entity, state)) body['overrides'] = overridesOf(entity, state);
  return body;
}

/** Required fields that are empty, so that the user need not wait for the server to say so. */
export function missingFields(entity: Entity, state: FormState, isNew: boolean): string[] {
  return entity.fields
    .filter((field) => {
      if (!field.required || field.readonly || isInheriting(entity, state, field)) return false;
      if (!isVisible(field, state.values)) return false;
      const value = state.values[field.name];
      if (unsent.includes(field.type) && !isNew && value === undefined) return false;
      return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
    })
    .map((field) => field.name);
}

/* ------------------------------------------------------------------ problems of the server */

/** One spelling for paths: "lines[0].name" is "lines.0.name". */
export function normalPath(path: string): string {
  return path.replace(/\[(\d+)\]/g, '.$1').replace(/^\./, '');
}

export function problemsByPath(problems: readonly FieldProblem[]): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (const problem of problems) {
    const path = normalPath(problem.field);
    const earlier = map.get(path);
    map.set(path, earlier ? `${earlier} ${problem.message}` : problem.message || problem.code);
  }
  return map;
}

/** Problems whose field the form does not draw; they are shown over the form. */
export function homelessProblems(
  problems: ReadonlyMap<string, string>,
  drawn: (path: string) => boolean,
): string[] {
  return [...problems].filter(([path]) => !drawn(path)).map(([path, text]) => (path ? `${path}: ${text}` : text));
}

/** Every path below `fields` in the order of the form, for the first problem and for "is it drawn". */
export function pathExists(fields: readonly Field[], path: string): boolean {
  let level = fields;
  const parts = path.split('.');
  for (let i = 0; i < parts.length; i++) {
    const field = level.find((f) => f.name === parts[i]);
    if (!field) return false;
    if (field.type === 'list' && /^\d+$/.test(parts[i + 1] ?? '')) i += 1;
    if (field.fields.length === 0) return true;
    level = field.fields;
  }
  return path !== '';
}
