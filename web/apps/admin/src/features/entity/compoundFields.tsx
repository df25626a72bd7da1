import { isObject, type Field, type Json, type JsonObject } from '@aoide/api';
import { moved } from '@aoide/ui';
import { ActionIcon, Button, Fieldset, Group, Input, Paper, Radio, Stack, Switch, Table, Text, TextInput } from '@mantine/core';
import { IconArrowDown, IconArrowUp, IconPlus, IconSearch, IconTrash } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { labelText, useLanguage } from '../../i18n/i18n';
import { FieldControl } from './FieldControl';
import { useInputProps } from './fieldLabel';
import type { FieldProps } from './fieldTypes';
import { initialObject, isVisible } from './formState';
import { isChoiceTable } from './layout';

interface MembersProps {
  readonly fields: readonly Field[];
  readonly path: string;
  readonly value: JsonObject;
  readonly onChange: (value: JsonObject) => void;
  readonly disabled: boolean;
  readonly spokenLabel?: string;
}

/** The members of an object, one below the other. */
function Members({ fields, path, value, onChange, disabled, spokenLabel }: MembersProps): ReactNode {
  const language = useLanguage();
  return fields
    .filter((field) => isVisible(field, value))
    .map((field) => {
      const label = labelText(field.label, language) || field.name;
      /* A switch needs its words beside it even in a grid; others are explained by the heads. */
      const spoken = spokenLabel !== undefined && field.type !== 'bool' ? `${spokenLabel}: ${label}` : undefined;
      return (
        <div key={field.name} data-field={`${path}.${field.name}`}>
          <FieldControl
            field={field}
            path={`${path}.${field.name}`}
            value={value[field.name] ?? null}
            onChange={(next) => onChange({ ...value, [field.name]: next })}
            disabled={disabled}
            {...(spoken === undefined ? {} : { spokenLabel: spoken })}
          />
        </div>
      );
    });
}

export function ObjectField(props: FieldProps): ReactNode {
  const { field, path, value, onChange, disabled, spokenLabel } = props;
  const { label, description, error } = useInputProps(props);
  const members = isObject(value) ? value : null;

  if (isChoiceTable(field)) return <ChoiceTable {...props} />;
  if (spokenLabel !== undefined)
    return (
      <Stack gap="xs">
        <Members
          fields={field.fields}
          path={path}
          value={members ?? {}}
          onChange={onChange}
          disabled={disabled}
          spokenLabel={spokenLabel}
        />
      </Stack>
    );
  /* An object that may be absent (such as "create an account") is switched on first. */
  const isOptional = field.virtual;
  const body = (
    <Stack gap="sm">
      {description && !isOptional && (
        <Text size="xs" c="dimmed">
          {description}
        </Text>
      )}
      {error && <Input.Error>{error}</Input.Error>}
      <Members fields={field.fields} path={path} value={members ?? {}} onChange={onChange} disabled={disabled} />
    </Stack>
  );
  if (!isOptional)
    return (
      <Fieldset variant="filled" legend={label}>
        {body}
      </Fieldset>
    );
  return (
    <Stack gap="sm">
      <Switch
        label={label}
        description={description}
        checked={members !== null}
        disabled={disabled}
        onChange={(event) => onChange(event.currentTarget.checked ? initialObject(field.fields) : null)}
      />
      {members && (
        <Paper withBorder p="md" radius="md">
          {body}
        </Paper>
      )}
    </Stack>
  );
}

const searchFrom = 12;

/** Many choices out of one list, such as the permissions of a role: one row each, one column per choice. */
function ChoiceTable(props: FieldProps): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const { field, path, value, onChange, disabled } = props;
  const { label, description, error } = useInputProps(props);
  const [filter, setFilter] = useState('');
  const members = isObject(value) ? value : {};
  const choices = field.fields[0]?.values ?? [];
  const shown = field.fields.filter((f) =>
    (labelText(f.label, language) || f.name).toLowerCase().includes(filter.trim().toLowerCase()),
  );
  return (
    <Input.Wrapper label={label} description={description} error={error} labelElement="div">
      <Stack gap="xs" mt="xs">
        {field.fields.length >= searchFrom && (
          <TextInput
            aria-label={t('common.search')}
            placeholder={t('common.search')}
            leftSection={<IconSearch size={16} aria-hidden />}
            maw={320}
            value={filter}
            onChange={(event) => setFilter(event.currentTarget.value)}
          />
        )}
        <Table.ScrollContainer minWidth={480} maxHeight={560}>
          <Table striped stickyHeader verticalSpacing={6}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th scope="col">{label ?? field.name}</Table.Th>
                {choices.map((choice) => (
                  <Table.Th key={choice.value} scope="col" ta="center">
                    {labelText(choice.label, language) || choice.value}
                  </Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {shown.map((member) => {
                const name = labelText(member.label, language) || member.name;
                return (
                  <Table.Tr key={member.name}>
                    <Table.Th scope="row" fw={400}>
                      {name}
                    </Table.Th>
                    {choices.map((choice) => (
                      <Table.Td key={choice.value}>
                        <Group justify="center">
                          <Radio
                            name={`${path}.${member.name}`}
                            aria-label={`${name}: ${labelText(choice.label, language) || choice.value}`}
                            checked={(members[member.name] ?? member.default) === choice.value}
                            disabled={disabled}
                            onChange={() => onChange({ ...members, [member.name]: choice.value })}
                          />
                        </Group>
                      </Table.Td>
                    ))}
                  </Table.Tr>
                );
              })}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Stack>
    </Input.Wrapper>
  );
}

export function ListField(props: FieldProps): ReactNode {
  const { t } = useTranslation();
  const { field, path, value, onChange, disabled } = props;
  const { label, description, error, 'aria-label': spoken } = useInputProps(props);
  const items: Json[] = Array.isArray(value) ? value : [];
  const name = label ?? spoken ?? field.name;
  const set = (index: number, item: JsonObject): void => onChange(items.map((old, i) => (i === index ? item : old)));
  return (
    <Input.Wrapper label={label} description={description} error={error} labelElement="div">
      <Stack gap="xs" mt={4} role="group" aria-label={name}>
        {items.length === 0 && (
          <Text size="sm" c="dimmed">
            {t('form.emptyList')}
          </Text>
        )}
        {items.map((item, index) => {
          const title = `${name} ${index + 1}`;
          return (
            <Paper key={index} withBorder p="sm">
              <Group justify="space-between" mb="xs">
                <Text size="sm" fw={600}>
                  {index + 1}.
                </Text>
                <Group gap={4}>
                  <ActionIcon
                    variant="subtle"
                    aria-label={t('common.moveUp', { item: title })}
                    disabled={disabled || index === 0}
                    onClick={() => onChange(moved(items, index, -1))}
                  >
                    <IconArrowUp size={16} />
                  </ActionIcon>
                  <ActionIcon
                    variant="subtle"
                    aria-label={t('common.moveDown', { item: title })}
                    disabled={disabled || index === items.length - 1}
                    onClick={() => onChange(moved(items, index, 1))}
                  >
                    <IconArrowDown size={16} />
                  </ActionIcon>
                  <ActionIcon
                    variant="subtle"
                    color="red"
                    aria-label={t('common.removeItem', { item: title })}
                    disabled={disabled}
                    onClick={() => onChange(items.filter((_, i) => i !== index))}
                  >
                    <IconTrash size={16} />
                  </ActionIcon>
                </Group>
              </Group>
              <Stack gap="sm">
                <Members
                  fields={field.fields}
                  path={`${path}.${index}`}
                  value={isObject(item) ? item : {}}
                  onChange={(next) => set(index, next)}
                  disabled={disabled}
                />
              </Stack>
            </Paper>
          );
        })}
        {!disabled && (
          <Group>
            <Button
              size="xs"
              variant="default"
              leftSection={<IconPlus size={14} />}
              onClick={() => onChange([...items, initialObject(field.fields)])}
            >
              {t('common.add')}
            </Button>
          </Group>
        )}
      </Stack>
    </Input.Wrapper>
  );
}
