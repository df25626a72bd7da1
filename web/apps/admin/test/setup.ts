import '@testing-library/jest-dom/vitest';
import { cleanup, configure } from '@testing-library/react';
import { afterEach } from 'vitest';

/* What the kit asks of a browser and jsdom does not have. */
window.matchMedia = (query: string): MediaQueryList => ({
  matches: false,
  media: query,
  onchange: null,
  addListener: () => undefined,
  removeListener: () => undefined,
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
  dispatchEvent: () => false,
});
window.ResizeObserver = class {
  observe(): void {
    /* nothing is laid out */
  }
  unobserve(): void {
    /* nothing is laid out */
  }
  disconnect(): void {
    /* nothing is laid out */
  }
};
window.HTMLElement.prototype.scrollIntoView = () => undefined;
window.scrollTo = () => undefined;
if (!('CSS' in window)) Object.defineProperty(window, 'CSS', { value: { escape: (text: string) => text } });

/*
 * jsdom finds the labels of a field by walking the whole document once per label; a form with two hundred
 * fields takes seconds for each question. Its labels are those that name it or stand around it.
 */
for (const kind of [HTMLInputElement, HTMLSelectElement, HTMLTextAreaElement, HTMLButtonElement])
  Object.defineProperty(kind.prototype, 'labels', {
    configurable: true,
    get(this: HTMLElement): readonly Element[] {
      const around = this.closest('label');
      const named = this.id ? [...document.querySelectorAll(`label[for="${this.id}"]`)] : [];
      return around && !named.includes(around) ? [around, ...named] : named;
    },
  });
/* Files have no text() here. */
File.prototype.text = function text(this: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(typeof reader.result === 'string' ? reader.result : '');
    reader.onerror = () => reject(reader.error ?? new Error('unreadable'));
    reader.readAsText(this);
  });
};

/* A form has hundreds of elements; asking jsdom for the style of each one's ancestors takes seconds. */
configure({
  asyncUtilTimeout: 40_000,
  defaultHidden: true,
  /* Printing the whole form with an error takes longer than the test. */
  getElementError: (message) => new Error(message ?? 'no such element'),
});

afterEach(cleanup);
