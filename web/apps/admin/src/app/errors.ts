import { ApiError } from '@aoide/api';
import type { TFunction } from 'i18next';

/** One sentence for people: the server's own text where it gave one, else what the status means. */
export function errorText(error: unknown, t: TFunction): string {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error);
  if (error.status === 0) return t('error.unreachable');
  if (error.status === -1) return t('error.contract');
  if (error.status === 412) return t('error.stale');
  if (error.status < 500 && error.message && error.message !== error.title) return error.message;
  switch (error.status) {
    case 403:
      return t('error.forbidden');
    case 404:
      return t('error.notFound');
    case 413:
      return t('error.tooLarge');
    case 423:
      return t('error.locked');
    case 429:
      return t('error.limited');
    default:
      return error.status >= 500
        ? t('error.server', { status: error.status })
        : error.title || t('error.generic', { status: error.status });
  }
}
