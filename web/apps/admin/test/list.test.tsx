import { screen, waitFor, within } from '@testing-library/react';
import { afterEach, expect, test } from 'vitest';
import { closePages, newUser, openPage } from './page';

afterEach(closePages);

test('the list shows the columns of the schema, titles of references, and keeps its state in the address', async () => {
  const page = await openPage('/config/extension');
  const user = newUser();
  const table = await screen.findByRole('table', { name: 'Extensions' });
  await within(table).findByRole('link', { name: '101' });
  for (const head of ['Enabled', 'Extension', 'First name', 'Last name', 'Template', 'Busy level'])
    expect(within(table).getByRole('columnheader', { name: head })).toBeVisible();
  expect((await within(table).findAllByText('Default')).length).toBe(5);

  await user.click(within(table).getByRole('button', { name: 'Last name' }));
  await waitFor(() => expect(page.path()).toContain('sort=last_name'));
  await user.type(screen.getByRole('textbox', { name: 'Search in Extensions' }), 'hopper');
  await waitFor(() => expect(page.path()).toContain('q=hopper'));
  await waitFor(() => expect(within(table).queryByRole('link', { name: '101' })).toBeNull());
  expect(within(table).getByRole('link', { name: '104' })).toBeVisible();
});

test('deleting what is in use lists who uses it', async () => {
  await openPage('/config/extensionTemplate/1');
  const user = newUser();
  await user.click(await screen.findByRole('button', { name: 'Delete' }));
  const dialog = await screen.findByRole('dialog', { name: /^Delete/ });
  await user.click(within(dialog).getByRole('button', { name: 'Delete' }));
  expect(await within(dialog).findByText('Interno 101 (Ada Lovelace): Template')).toBeVisible();
  expect(within(dialog).queryByRole('button', { name: 'Delete' })).toBeNull();
});

test('[PLT-108] saved changes wait in the bar until they are applied', async () => {
  const page = await openPage('/config/extension/13');
  const user = newUser();
  await user.type(await screen.findByLabelText('First name'), 'x');
  await user.click(screen.getByRole('button', { name: 'Save' }));
  const bar = await screen.findByRole('region', { name: 'Changes not applied yet' });
  expect(bar).toHaveTextContent('1 change saved, not applied yet');
  await user.click(within(bar).getByRole('button', { name: 'Show changelog' }));
  expect(await within(bar).findByText('Modified')).toBeInTheDocument();
  await user.click(within(bar).getByRole('button', { name: 'Apply' }));
  await waitFor(() => expect(screen.queryByRole('region', { name: 'Changes not applied yet' })).toBeNull());
  expect(page.mock.state.applied).toBe(page.mock.state.saved);
});

test('an import shows what is wrong in which row before anything is written', async () => {
  const page = await openPage('/config/extension');
  const user = newUser();
  await user.click(await screen.findByRole('button', { name: 'Export, import' }));
  await user.click(await screen.findByRole('menuitem', { name: 'Import CSV…' }));
  const dialog = await screen.findByRole('dialog', { name: 'Import: Extensions' });
  const input = document.querySelector<HTMLInputElement>('input[type=file]');
  if (!input) throw new Error('no file input');
  await user.upload(input, new File(['number\n101\n'], 'a.csv', { type: 'text/csv' }));
  expect(await within(dialog).findByText(/1 new, 1 changed, 1 with errors/)).toBeVisible();
  expect(within(dialog).getByRole('button', { name: 'Import all' })).toBeDisabled();
  await user.click(within(dialog).getByRole('button', { name: 'Import only the 2 valid rows' }));
  await waitFor(() => expect(page.writes.map((w) => w.request)).toEqual([
    'POST /api/pbx/v2/extension/import?mode=preview&apply=false',
    'POST /api/pbx/v2/extension/import?mode=valid&apply=false',
  ]));
});

test('an address beyond the last page shows the last one', async () => {
  const page = await openPage('/config/extension?page=99');
  expect(await screen.findByRole('link', { name: '101' })).toBeVisible();
  await waitFor(() => expect(page.path()).toBe('/config/extension'));
});
