import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClientProvider } from '@tanstack/react-query';
import { render } from '@testing-library/react';
import userEvent, { PointerEventsCheckLevel, type UserEvent } from '@testing-library/user-event';
import axe from 'axe-core';
import { createMemoryRouter, RouterProvider } from 'react-router-dom';
import { vi } from 'vitest';
import { startMock, type MockServer } from '../../../tools/mock-server.mjs';
import { queryClient } from '../src/app/api';
import { routes } from '../src/app/routes';
import { cssVariables, theme } from '../src/app/theme';
import { i18n, type Language } from '../src/i18n/i18n';

export interface TestPage {
  readonly mock: MockServer;
  readonly path: () => string;
  /** Requests that changed something: "PATCH /api/…" and the body. */
  readonly writes: { readonly request: string; readonly body: unknown; readonly csrf: string | null }[];
}

/** Hands that do not wait between keys; whether something covers a button only a real browser knows. */
export function newUser(): UserEvent {
  return userEvent.setup({ delay: null, pointerEventsCheck: PointerEventsCheckLevel.Never });
}

/** The whole program at an address, against the PBX made of memory over real HTTP. */
export async function openPage(
  address: string,
  { loggedIn = true, language = 'en' as Language, before = (_state: MockServer['state']): void => undefined } = {},
): Promise<TestPage> {
  const mock = await startMock({ loggedIn });
  before(mock.state);
  const writes: TestPage['writes'] = [];
  const realFetch = fetch;
  vi.stubGlobal('fetch', (input: string, init?: RequestInit) => {
    const headers = new Headers(init?.headers);
    if (init?.method && init.method !== 'GET')
      writes.push({
        request: `${init.method} ${input}`,
        body: typeof init.body === 'string' && init.body.startsWith('{') ? JSON.parse(init.body) : init.body,
        csrf: headers.get('X-CSRF-Token'),
      });
    /* jsdom's signals are not those of Node. */
    const { signal: _signal, ...rest } = init ?? {};
    return realFetch(mock.url + input, rest);
  });
  vi.stubGlobal('WebSocket', class {
    close(): void {
      /* no events in these tests */
    }
  });
  queryClient.clear();
  (mock.state.session as { language?: string }).language = language;
  await i18n.changeLanguage(language);
  const router = createMemoryRouter(routes, { initialEntries: [address] });
  render(
    <MantineProvider theme={theme} cssVariablesResolver={cssVariables} env="test">
      <QueryClientProvider client={queryClient}>
        <Notifications />
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>,
  );
  stops.push(mock.stop);
  return { mock, writes, path: () => router.state.location.pathname + router.state.location.search };
}

const stops: (() => void)[] = [];
export function closePages(): void {
  for (const stop of stops.splice(0)) stop();
  queryClient.clear();
  vi.unstubAllGlobals();
}

/** Accessibility rules that the page breaks, in words. Colours need a real browser. */
export async function axeProblems(): Promise<string[]> {
  const result = await axe.run(document.body, {
    rules: { 'color-contrast': { enabled: false }, region: { enabled: false } },
  });
  return result.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(' | ')}`);
}
