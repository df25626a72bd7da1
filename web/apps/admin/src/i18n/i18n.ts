import type { Label } from '@aoide/api';
import i18next from 'i18next';
import { initReactI18next, useTranslation } from 'react-i18next';
import { en } from './en';
import { it } from './it';

export type Language = 'it' | 'en';
const stored = 'aoide.language';

function firstLanguage(): Language {
  const kept = localStorage.getItem(stored);
  if (kept === 'it' || kept === 'en') return kept;
  return navigator.language.toLowerCase().startsWith('it') ? 'it' : 'en';
}

function follow(language: string): void {
  document.documentElement.lang = language;
}

i18next.on('languageChanged', follow);
void i18next.use(initReactI18next).init({
  lng: firstLanguage(),
  fallbackLng: 'en',
  showSupportNotice: false,
  defaultNS: 'translation',
  resources: { en: { translation: en }, it: { translation: it } },
  /* React escapes what it draws. */
  interpolation: { escapeValue: false },
});

export const i18n: typeof i18next = i18next;

export function useLanguage(): Language {
  const { i18n: current } = useTranslation();
  return current.language === 'en' ? 'en' : 'it';
}

export function setLanguage(language: Language): void {
  localStorage.setItem(stored, language);
  void i18next.changeLanguage(language);
}

/** A label of the schema document in the user's language; the other language when one is missing. */
export function labelText(label: Label, language: Language): string {
  return language === 'it' ? label.it || label.en : label.en || label.it;
}
