import { screen, waitFor } from '@testing-library/react';
import { afterEach, expect, test } from 'vitest';
import { axeProblems, closePages, openPage } from './page';

afterEach(closePages);

for (const address of ['/', '/config/extension', '/config/extension/12', '/config/role/1', '/config/sipSettings', '/calls', '/registrations', '/cdr', '/password'])
  test(`no accessibility problem on ${address}`, async () => {
    await openPage(address);
    await screen.findByRole('heading', { level: 1 });
    await waitFor(() => expect(document.querySelector('[role=status][aria-label="Loading…"]')).toBeNull());
    expect(await axeProblems()).toEqual([]);
  }, 60_000);
