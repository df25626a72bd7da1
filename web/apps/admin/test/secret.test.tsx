import { screen, waitFor, within } from '@testing-library/react';
import { afterEach, expect, test } from 'vitest';
import { closePages, newUser, openPage } from './page';

afterEach(closePages);

test('[D-364] a secret is masked, not sent, and shown on a click', async () => {
  const page = await openPage('/config/account/1');
  const user = newUser();
  const password = await screen.findByLabelText('Password');
  expect(password).toHaveAttribute('type', 'password');
  expect(password).toHaveValue('');
  await user.click(screen.getByRole('button', { name: 'Show: Password' }));
  await waitFor(() => expect(password).toHaveValue('Kp7uQ2xNw9'));
  await user.type(screen.getByLabelText('Label'), 'desk');
  await user.click(screen.getByRole('button', { name: 'Save' }));
  await waitFor(() => expect(page.writes).toHaveLength(1));
  expect(page.writes[0]?.body).toEqual({ label: 'desk', overrides: [] });
});

test('[BASE-43] a generated SIP secret is strong and says so', async () => {
  await openPage('/config/account/1', { language: 'it' });
  const user = newUser();
  await user.click(await screen.findByRole('button', { name: 'Genera' }));
  expect(await screen.findByText('Robustezza: molto buona')).toBeVisible();
});

test('[BASE-75] without write there is nothing to save, without list there is no page', async () => {
  const other = await openPage('/config/extension/13', { loggedIn: false });
  other.mock.state.session.permissions['extensions'] = 'read';
  other.mock.state.session.permissions['accounts'] = 'none';
  const user = newUser();
  await user.type(await screen.findByLabelText('User name'), 'u');
  await user.type(screen.getByLabelText('Password'), 'right');
  await user.click(screen.getByRole('button', { name: 'Log in' }));
  expect(await screen.findByLabelText('First name')).toBeDisabled();
  expect(screen.queryByRole('button', { name: 'Save' })).toBeNull();
  const menu = screen.getByRole('navigation', { name: 'Menu' });
  expect(within(menu).getByRole('link', { name: 'Extensions' })).toBeVisible();
  expect(within(menu).queryByRole('link', { name: 'SIP accounts' })).toBeNull();
});
