import { screen, waitFor } from '@testing-library/react';
import { afterEach, expect, test } from 'vitest';
import { returnPath } from '../src/features/login/returnPath';
import { axeProblems, closePages, newUser, openPage } from './page';

afterEach(closePages);

async function tryLogin(password: string): Promise<void> {
  const user = newUser();
  await user.clear(await screen.findByLabelText('User name'));
  await user.type(screen.getByLabelText('User name'), 'admin@default');
  await user.type(screen.getByLabelText('Password'), password);
  await user.click(screen.getByRole('button', { name: 'Log in' }));
}

test('without a session the log-in page comes first and leads back to where one wanted to go', async () => {
  const page = await openPage('/config/extension?q=ada', { loggedIn: false });
  await screen.findByRole('heading', { name: 'Log in' });
  await tryLogin('right');
  await screen.findByRole('heading', { name: 'Extensions' });
  expect(page.path()).toBe('/config/extension?q=ada');
});

test('[API-05] wrong credentials are answered without saying which part was wrong', async () => {
  await openPage('/', { loggedIn: false });
  await tryLogin('wrong');
  expect(await screen.findByRole('alert')).toHaveTextContent('User name or password not valid.');
  expect(screen.getByLabelText('Password')).toHaveValue('');
});

test('too many attempts say how long to wait', async () => {
  await openPage('/', { loggedIn: false });
  for (let i = 0; i < 4; i++) {
    await tryLogin('wrong');
    await screen.findByRole('alert');
  }
  await waitFor(() => expect(screen.getByRole('alert')).toHaveTextContent('Try again in 42 seconds.'));
});

test('a session that ends brings the log-in page, which says so and leads back', async () => {
  const page = await openPage('/config/extension');
  const user = newUser();
  await screen.findByRole('link', { name: '101' });
  page.mock.logout();
  await user.click(screen.getByRole('button', { name: 'First name' }));
  expect(await screen.findByText(/session has ended/)).toBeVisible();
  await tryLogin('right');
  await screen.findByRole('link', { name: '101' });
  expect(page.path()).toContain('/config/extension');
});

test('a return address from elsewhere is not followed', () => {
  expect(returnPath({ from: '//evil.example/' })).toBe('/');
  expect(returnPath({ from: 'https://evil.example/' })).toBe('/');
  expect(returnPath({ from: '/\\evil.example' })).toBe('/');
  expect(returnPath({ from: '/cdr?month=2026-10' })).toBe('/cdr?month=2026-10');
  expect(returnPath(null)).toBe('/');
});

test('the log-in page has no accessibility problem', async () => {
  await openPage('/', { loggedIn: false });
  await screen.findByRole('heading', { name: 'Log in' });
  expect(await axeProblems()).toEqual([]);
});
