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

/* A form has hundreds of elements; asking jsdom for the style of each one's ancestors takes seconds. */
configure({
  asyncUtilTimeout: 15_000,
  defaultHidden: true,
  /* Printing the whole form with an error takes longer than the test. */
  getElementError: (message) => new Error(message ?? 'no such element'),
});

afterEach(cleanup);
