import { screen, waitFor, within } from '@testing-library/react';
import { afterEach, expect, test } from 'vitest';
import { closePages, newUser, openPage } from './page';

afterEach(closePages);

test('problems of the server stand at their fields and the first one has the focus', async () => {
  await openPage('/config/extension/new');
  const user = newUser();
  const number = await screen.findByLabelText(/^Extension/, { selector: 'input' });
  await user.type(number, '101');
  await user.click(screen.getByRole('button', { name: 'Save' }));
  expect(await screen.findByText('«101» è già in uso: scegliere un altro valore.')).toBeVisible();
  await waitFor(() => expect(number).toHaveFocus());
  expect(number).toHaveAttribute('aria-invalid', 'true');
});

test('an empty required field is not even sent', async () => {
  const page = await openPage('/config/extension/new');
  const user = newUser();
  await screen.findByLabelText(/^Extension/, { selector: 'input' });
  await user.click(screen.getByRole('button', { name: 'Save' }));
  expect(await screen.findByText('This field is required.')).toBeVisible();
  expect(page.writes).toEqual([]);
});

test('a form with unsaved changes asks before it is left', async () => {
  const page = await openPage('/config/extension/13');
  const user = newUser();
  await user.type(await screen.findByLabelText('First name'), 'x');
  await user.click(screen.getByRole('link', { name: 'Back' }));
  const dialog = await screen.findByRole('dialog', { name: 'Leave without saving?' });
  await user.click(within(dialog).getByRole('button', { name: 'Stay here' }));
  expect(page.path()).toBe('/config/extension/13');
  await user.click(screen.getByRole('link', { name: 'Back' }));
  await user.click(await screen.findByRole('button', { name: 'Leave without saving' }));
  await waitFor(() => expect(page.path()).toBe('/config/extension'));
});

test('a new object is not asked for what the PBX fills in', async () => {
  await openPage('/config/tenant/new');
  expect(await screen.findByLabelText('Password')).toBeEnabled();
  expect(screen.queryByText('UUID')).toBeNull();
});

test('what is given only when an object is made is not shown afterwards', async () => {
  await openPage('/config/tenant/1');
  expect(await screen.findByText('UUID')).toBeVisible();
  expect(screen.queryByLabelText('Password')).toBeNull();
});

test('[BASE-70] the role of the administrator says that it holds every permission, instead of a table of none', async () => {
  await openPage('/config/role/1', {
    before: (state) => {
      for (const row of state.tables.get('role')?.rows ?? []) row['kind'] = 'tenant_admin';
    },
  });
  expect(await screen.findByText('This role holds every permission.')).toBeVisible();
  expect(screen.queryByRole('radio')).toBeNull();
});
