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

test('a generated SIP secret is strong and says so', async () => {
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

test('[D-364] a password that the PBX made up is shown once, and only a button closes it', async () => {
  const page = await openPage('/config/account/new');
  const user = newUser();
  await user.type(await screen.findByLabelText(/^User name/), 'desk7');
  await user.click(screen.getByRole('button', { name: 'Save' }));
  const dialog = await screen.findByRole('dialog', { name: 'Write this down now' });
  expect(within(dialog).getByLabelText('Password')).toHaveValue('Qm4vT9xLr2Bn7sKd');
  expect(within(dialog).getByRole('button', { name: 'Copy: Password' })).toBeVisible();
  await user.keyboard('{Escape}');
  expect(page.path()).toBe('/config/account/new');
  await user.click(within(dialog).getByRole('button', { name: 'I have written it down' }));
  await waitFor(() => expect(page.path()).toMatch(/^\/config\/account\/\d+$/));
  expect(document.body).not.toHaveTextContent('Qm4vT9xLr2Bn7sKd');
});

test('[BASE-48] [BASE-50] what the SIP settings switch off cannot be chosen in an account', async () => {
  await openPage('/config/account/1', {
    language: 'it',
    before: ({ tables }) => Object.assign(tables.get('sipSettings')?.rows[0] ?? {}, { srtp_support: false, ws_enabled: false }),
  });
  expect(await screen.findByText('La cifratura RTP (SRTP) è disabilitata dalle impostazioni SIP')).toBeVisible();
  expect(screen.queryByRole('combobox', { name: 'Abilita SRTP' })).toBeNull();
  expect(screen.queryByRole('switch', { name: 'Abilita trasporto Web Socket' })).toBeNull();
  expect(screen.getByRole('switch', { name: 'Abilita trasporto UDP' })).toBeInTheDocument();
});
