import { plainText, rowId, rowTitle, type Entity, type Json } from '@aoide/api';
import { ActionIcon, Group, Input, Loader, MultiSelect, Select, Text, Tooltip } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconExternalLink } from '@tabler/icons-react';
import { keepPreviousData, useQueries, useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Link } from 'react-router-dom';
import { api } from '../../app/api';
import { entityPath } from '../../app/menu';
import { useMay } from '../../app/session';
import { entityKey } from '../../app/useEvents';
import { findEntity } from '../../app/useSchema';
import { useInputProps } from './fieldLabel';
import { useFormContext, type FieldProps } from './fieldTypes';

const choicesPerSearch = 50;
const typingPauseMs = 250;

interface Choice {
  readonly value: string;
  readonly label: string;
}

/** What people tell objects apart by: the title, and for extensions and users also the name. */
export function choiceLabel(entity: Entity, row: Parameters<typeof rowTitle>[1]): string {
  const title = rowTitle(entity, row);
  const names = ['first_name', 'last_name'].map((key) => plainText(row[key])).filter((name) => name !== '');
  return names.length > 0 ? `${title} (${names.join(' ')})` : title;
}

/** Objects to choose from, found by the server; the chosen ones are always among them. */
function useChoices(entity: Entity | null, chosen: readonly number[], enabled: boolean) {
  const [search, setSearch] = useState('');
  const [term] = useDebouncedValue(search, typingPauseMs);
  /* A chosen label comes back as search text; it is not a question. */
  const found = useQuery({
    queryKey: [...entityKey(entity?.name ?? ''), 'choices', term],
    queryFn: ({ signal }) =>
      entity ? api.entities.list(entity, { page: 1, pageSize: choicesPerSearch, ...(term ? { q: term } : {}) }, signal) : null,
    enabled: enabled && entity !== null,
    placeholderData: keepPreviousData,
  });
  const rows = found.data?.items ?? [];
  const missing = chosen.filter((id) => !rows.some((row) => rowId(row) === id));
  const loaded = useQueries({
    queries: missing.map((id) => ({
      queryKey: [...entityKey(entity?.name ?? ''), id],
      queryFn: ({ signal }: { signal: AbortSignal }) => (entity ? api.entities.load(entity, id, signal) : null),
      enabled: enabled && entity !== null,
    })),
  });
  const choices: Choice[] = entity
    ? rows.map((row) => ({ value: String(rowId(row)), label: choiceLabel(entity, row) }))
    : [];
  missing.forEach((id, i) => {
    const row = loaded[i]?.data?.row;
    choices.push({ value: String(id), label: entity && row ? choiceLabel(entity, row) : `#${id}` });
  });
  return { choices, isFetching: found.isFetching, setSearch };
}

export function RefField(props: FieldProps): ReactNode {
  const { field, value, onChange, disabled } = props;
  const { schema } = useFormContext();
  const target = findEntity(schema, field.ref);
  const input = useInputProps(props);
  return (
    <RefSelect
      {...input}
      target={target}
      value={typeof value === 'number' ? value : null}
      onChange={onChange}
      disabled={disabled || field.readonly}
      clearable={!field.required}
    />
  );
}

interface RefSelectProps {
  readonly label?: string;
  readonly description?: ReactNode;
  readonly error?: string;
  readonly 'aria-label'?: string;
  readonly withAsterisk?: boolean;
  readonly target: Entity | null;
  readonly value: number | null;
  readonly onChange: (value: Json) => void;
  readonly disabled: boolean;
  readonly clearable: boolean;
}

/** One object of another entity: searched on the server, with a link to it. */
export function RefSelect(props: RefSelectProps): ReactNode {
  const { t } = useTranslation();
  const { target, value, onChange, disabled, clearable, ...input } = props;
  const mayRead = useMay(target?.permission ?? '', 'list');
  const { choices, isFetching, setSearch } = useChoices(target, value === null ? [] : [value], mayRead);
  const chosen = choices.find((choice) => choice.value === String(value));

  if (!mayRead)
    return (
      <Input.Wrapper {...input} labelElement="div">
        <Text size="sm">{value === null ? t('common.none') : `#${value}`}</Text>
      </Input.Wrapper>
    );
  return (
    <Group gap="xs" wrap="nowrap" align="flex-end">
      <Select
        {...input}
        flex={1}
        maw={480}
        data={choices}
        value={value === null ? null : String(value)}
        searchable
        /* Its message stands below: a list that opens by itself would cover it. */
        openOnFocus={false}
        clearable={clearable}
        disabled={disabled}
        placeholder={clearable ? t('common.none') : t('form.choose')}
        nothingFoundMessage={t('form.nothingFound')}
        rightSection={isFetching && !disabled ? <Loader size="xs" /> : undefined}
        filter={({ options }) => options}
        onSearchChange={(text) => setSearch(text === chosen?.label ? '' : text)}
        onChange={(next) => onChange(next === null ? null : Number(next))}
        clearButtonProps={{ 'aria-label': t('common.remove') }}
      />
      {target && value !== null && (
        <Tooltip label={t('common.open', { item: chosen?.label ?? `#${value}` })}>
          <ActionIcon
            component={Link}
            to={entityPath(target, value)}
            variant="default"
            size={36}
            aria-label={t('common.open', { item: chosen?.label ?? `#${value}` })}
          >
            <IconExternalLink size={16} />
          </ActionIcon>
        </Tooltip>
      )}
    </Group>
  );
}

export function RefListField(props: FieldProps): ReactNode {
  const { t } = useTranslation();
  const { field, value, onChange } = props;
  const { schema } = useFormContext();
  const target = findEntity(schema, field.ref);
  const input = useInputProps(props);
  const mayRead = useMay(target?.permission ?? '', 'list');
  const ids = Array.isArray(value) ? value.filter((id): id is number => typeof id === 'number') : [];
  const { choices, setSearch } = useChoices(target, ids, mayRead);
  return (
    <MultiSelect
      {...input}
      data={choices}
      value={ids.map(String)}
      searchable
      hidePickedOptions
      placeholder={ids.length === 0 ? t('common.none') : ''}
      nothingFoundMessage={t('form.nothingFound')}
      disabled={input.disabled || field.readonly || !mayRead}
      onSearchChange={setSearch}
      filter={({ options }) => options}
      onChange={(next) => onChange(next.map(Number))}
    />
  );
}
