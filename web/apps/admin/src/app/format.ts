import type { Language } from '../i18n/i18n';

const locales = { it: 'it-IT', en: 'en-GB' } as const;

/** Milliseconds since 1970 of an ISO 8601 text or of a number of microseconds; null when there is none. */
export function timeMs(value: unknown): number | null {
  if (typeof value === 'number') return value > 0 ? value / 1000 : null;
  if (typeof value !== 'string' || value === '') return null;
  /* "2026-11-23 12:00:00" without offset is what registers print; browsers read the "T" form surely. */
  const ms = Date.parse(value.replace(/^(\d{4}-\d\d-\d\d) /, '$1T'));
  return Number.isNaN(ms) ? null : ms;
}

export function formatTime(value: unknown, language: Language): string {
  const ms = timeMs(value);
  if (ms === null) return typeof value === 'string' ? value : '';
  return new Intl.DateTimeFormat(locales[language], { dateStyle: 'short', timeStyle: 'medium' }).format(ms);
}

/** 3661 → "1:01:01", 61 → "01:01". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  const h = Math.floor(whole / 3600);
  const rest = `${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`;
  return h > 0 ? `${h}:${rest}` : rest;
}

export function formatNumber(value: number, language: Language): string {
  return new Intl.NumberFormat(locales[language]).format(value);
}

/** Days, hours and minutes in the user's words. */
export function formatUptime(seconds: number, language: Language): string {
  const units: readonly (readonly [number, 'day' | 'hour' | 'minute'])[] = [
    [Math.floor(seconds / 86400), 'day'],
    [Math.floor((seconds % 86400) / 3600), 'hour'],
    [Math.floor((seconds % 3600) / 60), 'minute'],
  ];
  const shown = units.filter(([n], i) => n > 0 || i === 2).slice(0, 2);
  return shown
    .map(([n, unit]) =>
      new Intl.NumberFormat(locales[language], { style: 'unit', unit, unitDisplay: 'long' }).format(n),
    )
    .join(' ');
}
