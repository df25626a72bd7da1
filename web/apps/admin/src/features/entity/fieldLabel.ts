import type { Field } from '@aoide/api';
import type { ReactNode } from 'react';
import { labelText, useLanguage } from '../../i18n/i18n';
import { useFormContext, type FieldProps } from './fieldTypes';

export interface InputProps {
  readonly label?: string;
  readonly description?: ReactNode;
  readonly 'aria-label'?: string;
  readonly error?: string;
  readonly withAsterisk?: boolean;
  readonly disabled: boolean;
}

export function useFieldLabel(field: Field): string {
  return labelText(field.label, useLanguage()) || field.name;
}

/** Label, help, required mark, problem and state, as every input of the kit takes them. */
export function useInputProps({ field, path, disabled, spokenLabel }: FieldProps): InputProps {
  const language = useLanguage();
  const { problems } = useFormContext();
  const label = useFieldLabel(field);
  const help = field.help ? labelText(field.help, language) : '';
  const problem = problems.get(path);
  return {
    ...(spokenLabel === undefined
      ? { label, withAsterisk: field.required && !disabled, ...(help ? { description: help } : {}) }
      : { 'aria-label': spokenLabel }),
    ...(problem === undefined ? {} : { error: problem }),
    disabled,
  };
}
