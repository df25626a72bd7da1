import { isObject, type Field, type Json, type SchemaDocument } from '@aoide/api';

/** The one type of "where a call goes" (docs/schema-document.md). */
export interface Destination {
  readonly type: string;
  readonly id: number | null;
  readonly value: string | null;
}

/* What a destination type needs besides itself; a type that is not here needs nothing. */
const argumentsOf: Readonly<Record<string, { readonly ref?: string; readonly value?: true; readonly optional?: true }>> = {
  external_number: { value: true },
  extension: { ref: 'extension' },
  ring_group: { ref: 'ring_group' },
  ring_group_skip_time_check: { ref: 'ring_group' },
  queue: { ref: 'queue' },
  queue_skip_time_check: { ref: 'queue' },
  time_check: { ref: 'time_check' },
  ivr: { ref: 'ivr_menu' },
  voicemail: { ref: 'voicemail_box', optional: true },
  conference: { ref: 'conference_room', optional: true },
  numbering_plan_custom: { ref: 'custom_selection' },
  dynamic_routing: { ref: 'dynamic_routing' },
  fax_instance: { ref: 'fax_instance' },
  alarm_receiver: { ref: 'alarm_receiver' },
  tenant: { ref: 'tenant' },
};

/* Where the schema does not say which types a place offers. */
const common: readonly string[] = ['hangup', 'external_number', 'extension'];

export function readDestination(value: Json): Destination | null {
  if (!isObject(value)) return null;
  const { type, id, value: text } = value;
  if (typeof type !== 'string' || type === '') return null;
  return { type, id: typeof id === 'number' ? id : null, value: typeof text === 'string' ? text : null };
}

export function writeDestination(destination: Destination | null): Json {
  return destination && { type: destination.type, id: destination.id, value: destination.value };
}

export function argumentOf(type: string): { readonly ref: string | null; readonly value: boolean } {
  const found = argumentsOf[type];
  return { ref: found?.ref ?? null, value: found?.value ?? false };
}

/** Types to choose from: those of the place whose target exists in this product. */
export function offeredTypes(field: Field, schema: SchemaDocument, current: string | null): string[] {
  const place = field.values.length > 0 ? field.values.map((v) => v.value) : common;
  const offered = place.filter((type) => {
    const needs = argumentsOf[type];
    return !needs?.ref || needs.optional === true || schema.entities.some((e) => e.name === needs.ref);
  });
  return current !== null && !offered.includes(current) ? [...offered, current] : offered;
}
