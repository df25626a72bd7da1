import type { Entity, Field, Json, SchemaDocument } from '@aoide/api';
import { createContext, useContext, type ReactNode } from 'react';

/** What every field of one form shares. */
export interface FormContextValue {
  readonly entity: Entity;
  readonly schema: SchemaDocument;
  /** null: the object does not exist yet. */
  readonly objectId: number | null;
  readonly problems: ReadonlyMap<string, string>;
}

const FormContext = createContext<FormContextValue | null>(null);
export const FormContextProvider = FormContext.Provider;

export function useFormContext(): FormContextValue {
  const value = useContext(FormContext);
  if (!value) throw new Error('a field outside of a form');
  return value;
}

export interface FieldProps {
  readonly field: Field;
  /** Name in problems: "overflow_internal_busy.destination". */
  readonly path: string;
  readonly value: Json;
  readonly onChange: (value: Json) => void;
  readonly disabled: boolean;
  /** Set in grids and tables, where the label is in the heads: read out instead of drawn. */
  readonly spokenLabel?: string;
}

export type FieldRenderer = (props: FieldProps) => ReactNode;
