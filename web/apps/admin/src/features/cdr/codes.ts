import type { TFunction } from 'i18next';
import { en } from '../../i18n/en';

type Kind = keyof typeof en.cdr.codes;

/** A code of the register in words (PLT-61 to PLT-63); a code without words is shown as it is. */
export function codeText(kind: Kind, code: string, t: TFunction): string {
  /* "??": the reason could not be determined. */
  const key = code === '??' ? 'UNKNOWN' : code.replace(/-/g, '_');
  if (!(key in en.cdr.codes[kind])) return code;
  return t(`cdr.codes.${kind}.${key}` as 'cdr.codes.status.OK');
}

const colors: Readonly<Record<string, string>> = {
  OK: 'green',
  BUSY: 'orange',
  NOANSWER: 'yellow',
  CANCELED: 'gray',
  UNAVAILABLE: 'orange',
};

export function statusColor(status: string): string {
  return colors[status] ?? 'red';
}
