import { Box, Group, Input, Select, TextInput } from '@mantine/core';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { findEntity } from '../../app/useSchema';
import { labelText, useLanguage } from '../../i18n/i18n';
import { argumentOf, offeredTypes, readDestination, writeDestination, type Destination } from './destination';
import { useInputProps } from './fieldLabel';
import { useFormContext, type FieldProps } from './fieldTypes';
import { RefSelect } from './refFields';

/** Where a call goes: what kind of thing, and which one. */
export function DestinationField(props: FieldProps): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const { field, path, value, onChange, disabled } = props;
  const { schema, problems } = useFormContext();
  const { label, description, error, withAsterisk, 'aria-label': spoken } = useInputProps(props);
  const destination = readDestination(value);
  const needs = argumentOf(destination?.type ?? '');
  const target = findEntity(schema, needs.ref);
  const name = label ?? spoken ?? field.name;

  const typeLabel = (type: string): string => {
    const given = field.values.find((v) => v.value === type);
    if (given) return labelText(given.label, language) || type;
    if (type === 'hangup') return t('dest.hangup');
    if (type === 'external_number') return t('dest.external_number');
    const entity = findEntity(schema, type);
    return entity ? labelText(entity.labelOne, language) : type;
  };
  const set = (change: Partial<Destination>): void => {
    if (destination) onChange(writeDestination({ ...destination, ...change }));
  };
  const inner = (member: string): { error?: string } => {
    const problem = problems.get(`${path}.${member}`);
    return problem === undefined ? {} : { error: problem };
  };

  return (
    <Input.Wrapper label={label} description={description} error={error} withAsterisk={withAsterisk === true} labelElement="div">
      <Group gap="xs" align="flex-start" role="group" aria-label={name}>
        <Select
          aria-label={t('dest.typeOf', { field: name })}
          data={offeredTypes(field, schema, destination?.type ?? null).map((type) => ({ value: type, label: typeLabel(type) }))}
          value={destination?.type ?? null}
          placeholder={t('common.none')}
          disabled={disabled}
          allowDeselect={false}
          clearable={!field.required}
          w={220}
          {...inner('type')}
          onChange={(type) => onChange(type === null ? null : writeDestination({ type, id: null, value: null }))}
        />
        {target && destination && (
          <Box flex={1} miw={200}>
            <RefSelect
              aria-label={t('dest.targetOf', { field: name })}
              target={target}
              value={destination.id}
              onChange={(id) => set({ id: typeof id === 'number' ? id : null })}
              disabled={disabled}
              clearable
              {...inner('id')}
            />
          </Box>
        )}
        {needs.value && destination && (
          <TextInput
            aria-label={t('dest.numberOf', { field: name })}
            placeholder={t('dest.number')}
            inputMode="tel"
            flex={1}
            miw={160}
            value={destination.value ?? ''}
            disabled={disabled}
            {...inner('value')}
            onChange={(event) => set({ value: event.currentTarget.value || null })}
          />
        )}
      </Group>
    </Input.Wrapper>
  );
}
