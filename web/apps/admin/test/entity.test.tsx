import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, expect, test } from 'vitest';
import { closePages, openPage } from './page';

afterEach(closePages);

test('the list shows the columns of the schema, titles of references, and keeps its state in the address', async () => {
  const page = await openPage('/config/extension');
  const user = userEvent.setup({ delay: null });
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

test('[BASE-32] an inherited setting shows the template value and is edited only when overridden', async () => {
  const page = await openPage('/config/extension/13');
  const user = userEvent.setup({ delay: null });
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

test('[BASE-42] overflow is a grid of origins and causes', async () => {
  await openPage('/config/extension/12');
  const grid = await screen.findByRole('table', { name: /What happens to a call/ });
  for (const origin of ['Internal calls', 'External calls', 'Transferred calls'])
    expect(within(grid).getByRole('columnheader', { name: origin })).toBeVisible();
  for (const cause of ['No answer', 'Busy', 'Unavailable'])
    expect(within(grid).getByRole('rowheader', { name: cause })).toBeVisible();
  expect(within(grid).getByRole('checkbox', { name: "Override the template's value: External calls: Busy" })).toBeChecked();
});

test('problems of the server stand at their fields and the first one has the focus', async () => {
  await openPage('/config/extension/new');
  const user = userEvent.setup({ delay: null });
  const number = await screen.findByLabelText(/^Extension/, { selector: 'input' });
  await user.type(number, '101');
  await user.click(screen.getByRole('button', { name: 'Save' }));
  expect(await screen.findByText('«101» è già in uso: scegliere un altro valore.')).toBeVisible();
  await waitFor(() => expect(number).toHaveFocus());
  expect(number).toHaveAttribute('aria-invalid', 'true');
});

test('an empty required field is not even sent', async () => {
  const page = await openPage('/config/extension/new');
  const user = userEvent.setup({ delay: null });
  await screen.findByLabelText(/^Extension/, { selector: 'input' });
  await user.click(screen.getByRole('button', { name: 'Save' }));
  expect(await screen.findByText('This field is required.')).toBeVisible();
  expect(page.writes).toEqual([]);
});

test('what depends on another setting appears with it', async () => {
  await openPage('/config/extension/14');
  const user = userEvent.setup({ delay: null });
  const create = await screen.findByRole('switch', { name: 'Create a local user' });
  expect(screen.queryByLabelText('User name')).toBeNull();
  await user.click(create);
  expect(screen.getByLabelText('User name')).toBeVisible();
});

test('a form with unsaved changes asks before it is left', async () => {
  const page = await openPage('/config/extension/13');
  const user = userEvent.setup({ delay: null });
  await user.type(await screen.findByLabelText('First name'), 'x');
  await user.click(screen.getByRole('link', { name: 'Back' }));
  const dialog = await screen.findByRole('dialog', { name: 'Leave without saving?' });
  await user.click(within(dialog).getByRole('button', { name: 'Stay here' }));
  expect(page.path()).toBe('/config/extension/13');
  await user.click(screen.getByRole('link', { name: 'Back' }));
  await user.click(await screen.findByRole('button', { name: 'Leave without saving' }));
  await waitFor(() => expect(page.path()).toBe('/config/extension'));
});

test('[CHG-GUI-03] deleting what is in use lists who uses it', async () => {
  await openPage('/config/extensionTemplate/1');
  const user = userEvent.setup({ delay: null });
  await user.click(await screen.findByRole('button', { name: 'Delete' }));
  const dialog = await screen.findByRole('dialog', { name: /^Delete/ });
  await user.click(within(dialog).getByRole('button', { name: 'Delete' }));
  expect(await within(dialog).findByText('Interno 101 (Ada Lovelace): Template')).toBeVisible();
  expect(within(dialog).queryByRole('button', { name: 'Delete' })).toBeNull();
});

test('[D-364] a secret is masked, not sent, and shown on a click', async () => {
  const page = await openPage('/config/account/1');
  const user = userEvent.setup({ delay: null });
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
  const user = userEvent.setup({ delay: null });
  await user.click(await screen.findByRole('button', { name: 'Genera' }));
  expect(await screen.findByText('Robustezza: molto buona')).toBeVisible();
});

test('[BASE-75] without write there is nothing to save, without list there is no page', async () => {
  const other = await openPage('/config/extension/13', { loggedIn: false });
  other.mock.state.session.permissions['extensions'] = 'read';
  other.mock.state.session.permissions['accounts'] = 'none';
  const user = userEvent.setup({ delay: null });
  await user.type(await screen.findByLabelText('User name'), 'u');
  await user.type(screen.getByLabelText('Password'), 'right');
  await user.click(screen.getByRole('button', { name: 'Log in' }));
  expect(await screen.findByLabelText('First name')).toBeDisabled();
  expect(screen.queryByRole('button', { name: 'Save' })).toBeNull();
  expect(screen.queryByRole('link', { name: 'SIP accounts' })).toBeNull();
});

test('[PLT-108] saved changes wait in the bar until they are applied', async () => {
  const page = await openPage('/config/extension/13');
  const user = userEvent.setup({ delay: null });
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
  const user = userEvent.setup({ delay: null });
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
