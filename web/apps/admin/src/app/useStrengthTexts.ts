import type { SecretInputProps } from '@aoide/ui';
import { useTranslation } from 'react-i18next';

/** The words of a secret's buttons and of its strength (BASE-43). */
export function useStrengthTexts(field: string, stored = ''): SecretInputProps['texts'] {
  const { t } = useTranslation();
  return {
    show: t('form.showSecret', { field }),
    hide: t('form.hideSecret', { field }),
    generate: t('form.generate'),
    stored,
    strength: t('form.strength'),
    levels: [t('form.veryWeak'), t('form.weak'), t('form.fair'), t('form.good'), t('form.veryGood')],
  };
}
