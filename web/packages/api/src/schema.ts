import * as v from 'valibot';
import type { Json } from './json';

/* The schema document (docs/schema-document.md): every entity as the registry describes it. */

const label = v.object({ it: v.nullish(v.string(), ''), en: v.nullish(v.string(), '') });
export type Label = v.InferOutput<typeof label>;

export const fieldTypes = [
  'bool', 'int', 'text', 'digits', 'phone', 'email', 'host', 'enum', 'enum_list', 'net_list', 'secret',
  'verifier', 'ref', 'ref_list', 'dest', 'list', 'object', 'uuid', 'time',
] as const;
export type FieldType = (typeof fieldTypes)[number];

export interface EnumValue {
  readonly value: string;
  readonly label: Label;
}

export interface Condition {
  readonly field: string;
  readonly value: Json;
}

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly label: Label;
  readonly help: Label | null;
  readonly group: string | null;
  readonly default: Json;
  readonly required: boolean;
  readonly unique: boolean;
  readonly inherit: boolean;
  readonly readonly: boolean;
  readonly immutable: boolean;
  readonly listed: boolean;
  readonly search: boolean;
  readonly virtual: boolean;
  readonly min: number | null;
  readonly max: number | null;
  readonly values: readonly EnumValue[];
  readonly ref: string | null;
  readonly visibleIf: Condition | null;
  readonly fields: readonly Field[];
}

export interface Group {
  readonly key: string;
  readonly label: Label;
}

export interface Entity {
  readonly name: string;
  readonly rest: string;
  readonly scope: string;
  readonly singleton: boolean;
  readonly permission: string;
  readonly naturalKey: string | null;
  readonly titleField: string | null;
  readonly templateField: string | null;
  readonly label: Label;
  readonly labelOne: Label;
  readonly groups: readonly Group[];
  readonly fields: readonly Field[];
}

export interface SchemaDocument {
  readonly version: number;
  readonly entities: readonly Entity[];
}

const flag = v.nullish(v.boolean(), false);
const name = v.nullish(v.string(), null);
const number = v.nullish(v.number(), null);
const json: v.GenericSchema<unknown, Json> = v.custom<Json>((input) => input !== undefined && typeof input !== 'function');

interface RawField extends Omit<Field, 'visibleIf' | 'fields'> {
  readonly visible_if: Condition | null;
  readonly fields: readonly RawField[];
}

/* Unknown types are shown as text instead of breaking the page of a newer server. */
const fieldMembers = {
  name: v.string(),
  type: v.fallback(v.picklist(fieldTypes), 'text'),
  label,
  help: v.nullish(label, null),
  group: name,
  default: v.optional(json, null),
  required: flag,
  unique: flag,
  inherit: flag,
  readonly: flag,
  immutable: flag,
  listed: flag,
  search: flag,
  virtual: flag,
  min: number,
  max: number,
  values: v.nullish(v.array(v.object({ value: v.string(), label })), []),
  ref: name,
  visible_if: v.nullish(v.object({ field: v.string(), value: json }), null),
};
const rawField: v.GenericSchema<unknown, RawField> = v.object({
  ...fieldMembers,
  fields: v.nullish(v.array(v.lazy((): v.GenericSchema<unknown, RawField> => rawField)), []),
});

/* Fields nest as deep as the registry's tables do, not as an outsider wants. */
function toField({ visible_if, fields, ...field }: RawField): Field {
  return { ...field, visibleIf: visible_if, fields: fields.map(toField) };
}
const fieldSchema = v.pipe(rawField, v.transform(toField));

const entitySchema = v.pipe(
  v.object({
    name: v.string(),
    rest: v.string(),
    scope: v.nullish(v.string(), 'tenant'),
    singleton: flag,
    permission: v.nullish(v.string(), ''),
    natural_key: name,
    title_field: name,
    template_field: name,
    label,
    label_one: v.nullish(label, null),
    groups: v.nullish(v.array(v.object({ key: v.string(), label })), []),
    fields: v.array(fieldSchema),
  }),
  v.transform(
    ({ natural_key, title_field, template_field, label_one, ...entity }): Entity => ({
      ...entity,
      naturalKey: natural_key,
      titleField: title_field,
      templateField: template_field,
      labelOne: label_one ?? entity.label,
    }),
  ),
);

export const schemaDocument = v.object({
  version: v.number(),
  entities: v.array(entitySchema),
});
