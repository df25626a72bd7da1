import { screen, waitFor, within } from '@testing-library/react';
import { afterEach, expect, test } from 'vitest';
import { closePages, newUser, openPage } from './page';

afterEach(closePages);

test('[BASE-32] an inherited setting shows the template value and is edited only when overridden', async () => {
  const page = await openPage('/config/extension/13');
  const user = newUser();
  const limit = await screen.findByLabelText('Concurrent call limit');
  expect(limit).toBeDisabled();
  expect(limit).toHaveValue('0');
  await user.click(screen.getByRole('checkbox', { name: "Override the template's value: Concurrent call limit" }));
  expect(limit).toBeEnabled();
  await user.clear(limit);
  await user.type(limit, '3');
  await user.click(screen.getByRole('button', { name: 'Save' }));
  await waitFor(() => expect(page.writes).toHaveLength(1));
  expect(page.writes[0]).toEqual({
    request: 'PATCH /api/pbx/v2/extension/13?apply=false',
    body: { max_concurrent_calls: 3, overrides: ['max_concurrent_calls'] },
    csrf: 'token',
  });
});

test('[BASE-32] the Italian form calls it "Sovrascrivi il valore del template"', async () => {
  await openPage('/config/extension/13', { language: 'it' });
  expect(
    await screen.findByRole('checkbox', { name: 'Sovrascrivi il valore del template: Limite chiamate contemporanee' }),
  ).not.toBeChecked();
});

test('overflow is a grid of origins and causes', async () => {
  await openPage('/config/extension/12');
  const grid = await screen.findByRole('table', { name: /What happens to a call/ });
  for (const origin of ['Internal calls', 'External calls', 'Transferred calls'])
    expect(within(grid).getByRole('columnheader', { name: origin })).toBeVisible();
  for (const cause of ['No answer', 'Busy', 'Unavailable'])
    expect(within(grid).getByRole('rowheader', { name: cause })).toBeVisible();
  expect(within(grid).getByRole('checkbox', { name: "Override the template's value: External calls: Busy" })).toBeChecked();
});

test('what depends on another setting appears with it', async () => {
  await openPage('/config/extension/14');
  const user = newUser();
  const create = await screen.findByRole('switch', { name: 'Create a local user' });
  expect(screen.queryByLabelText('User name')).toBeNull();
  await user.click(create);
  expect(screen.getByLabelText('User name')).toBeVisible();
});
