import { plainText, type Json } from '@aoide/api';
import { OrderedList, SecretInput } from '@aoide/ui';
import { Input, NumberInput, Select, Switch, TagsInput, Text, Textarea, TextInput, type TextInputProps } from '@mantine/core';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api } from '../../app/api';
import { errorText } from '../../app/errors';
import { formatTime } from '../../app/format';
import { notifyError } from '../../app/notify';
import { useMay } from '../../app/session';
import { useStrengthTexts } from '../../app/useStrengthTexts';
import { labelText, useLanguage } from '../../i18n/i18n';
import { useFieldLabel, useInputProps } from './fieldLabel';
import { useFormContext, type FieldProps } from './fieldTypes';

const longTextFrom = 256;

function textOf(value: Json): string {
  return plainText(value);
}

export function stringsOf(value: Json): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

export function BoolField(props: FieldProps): ReactNode {
  /* A switch always has a value, so it needs no required mark. */
  const { withAsterisk: _mark, ...input } = useInputProps(props);
  return (
    <Switch
      {...input}
      checked={props.value === true}
      onChange={(event) => props.onChange(event.currentTarget.checked)}
    />
  );
}

export function IntField(props: FieldProps): ReactNode {
  const { field, value, onChange } = props;
  const input = useInputProps(props);
  return (
    <NumberInput
      {...input}
      styles={{ wrapper: { maxWidth: 200 } }}
      value={typeof value === 'number' ? value : ''}
      allowDecimal={false}
      allowNegative={field.min === null || field.min < 0}
      {...(field.min === null ? {} : { min: field.min })}
      {...(field.max === null || field.max <= 0 ? {} : { max: field.max })}
      clampBehavior="none"
      onChange={(next) => onChange(typeof next === 'number' ? next : null)}
    />
  );
}

/* What a phone or tablet shows as keyboard, and what the browser may fill in. */
const textKinds: Partial<Record<FieldProps['field']['type'], TextInputProps>> = {
  digits: { inputMode: 'numeric' },
  phone: { inputMode: 'tel' },
  email: { inputMode: 'email', type: 'email' },
  host: { inputMode: 'url' },
};

export function TextField(props: FieldProps): ReactNode {
  const { field, value, onChange } = props;
  const input = useInputProps(props);
  if (field.readonly) return <ReadOnlyField {...props} />;
  const set = (text: string): void => onChange(text === '' ? null : text);
  if (field.type === 'text' && (field.max ?? 0) > longTextFrom)
    return (
      <Textarea {...input} autosize minRows={2} value={textOf(value)} onChange={(e) => set(e.currentTarget.value)} />
    );
  return (
    <TextInput
      {...input}
      {...textKinds[field.type]}
      value={textOf(value)}
      autoComplete="off"
      spellCheck={false}
      {...(field.max !== null && field.max > 0 ? { maxLength: field.max } : {})}
      onChange={(event) => set(event.currentTarget.value)}
    />
  );
}

export function ReadOnlyField(props: FieldProps): ReactNode {
  const { label, description, 'aria-label': spoken } = useInputProps(props);
  return (
    <Input.Wrapper label={label ?? spoken} description={description} labelElement="div">
      <Text size="sm" style={{ wordBreak: 'break-all' }}>
        {textOf(props.value) || '–'}
      </Text>
    </Input.Wrapper>
  );
}

export function TimeField(props: FieldProps): ReactNode {
  const language = useLanguage();
  return <ReadOnlyField {...props} value={formatTime(props.value, language)} />;
}

export function EnumField(props: FieldProps): ReactNode {
  const { field, value, onChange } = props;
  const language = useLanguage();
  const { t } = useTranslation();
  const input = useInputProps(props);
  const chosen = field.values.find((v) => v.value === value);
  if (field.readonly) return <ReadOnlyField {...props} value={chosen ? labelText(chosen.label, language) : value} />;
  return (
    <Select
      {...input}
      styles={{ wrapper: { maxWidth: 420 } }}
      data={field.values.map((v) => ({ value: v.value, label: labelText(v.label, language) || v.value }))}
      placeholder={field.required ? t('form.choose') : t('common.none')}
      value={textOf(value) || null}
      allowDeselect={false}
      clearable={!field.required && field.default === null}
      searchable={field.values.length > 12}
      openOnFocus={false}
      onChange={onChange}
    />
  );
}

export function EnumListField(props: FieldProps): ReactNode {
  const { t } = useTranslation();
  const { field, value, onChange, disabled } = props;
  const language = useLanguage();
  const { label, description, error, 'aria-label': spoken } = useInputProps(props);
  return (
    <Input.Wrapper label={label} description={description} error={error} labelElement="div">
      <OrderedList
        label={label ?? spoken ?? field.name}
        choices={field.values.map((v) => ({ value: v.value, label: labelText(v.label, language) || v.value }))}
        value={stringsOf(value)}
        disabled={disabled}
        onChange={onChange}
        texts={{
          empty: field.name.endsWith('codecs') ? t('form.noCodec') : t('form.emptyList'),
          add: t('common.add'),
          up: (item) => t('common.moveUp', { item }),
          down: (item) => t('common.moveDown', { item }),
          remove: (item) => t('common.removeItem', { item }),
        }}
      />
    </Input.Wrapper>
  );
}

export function NetListField(props: FieldProps): ReactNode {
  const { t } = useTranslation();
  const { field, path, value, onChange } = props;
  const { problems } = useFormContext();
  const input = useInputProps(props);
  const list = stringsOf(value);
  /* A problem of one item ("acl.2") is shown at the list, with the item's text. */
  const ofItems = list.flatMap((item, i) => {
    const problem = problems.get(`${path}.${i}`);
    return problem === undefined ? [] : [`${item}: ${problem}`];
  });
  const error = [input.error, ...ofItems].filter(Boolean).join(' ');
  return (
    <TagsInput
      {...input}
      {...(error ? { error } : {})}
      value={list}
      placeholder={list.length === 0 && !props.disabled ? t('form.netPlaceholder') : ''}
      splitChars={[',', ' ', ';']}
      {...(field.max !== null && field.max > 0 ? { maxTags: field.max } : {})}
      onChange={onChange}
      clearable
    />
  );
}

export function SecretField(props: FieldProps): ReactNode {
  const { t } = useTranslation();
  const { field, value, onChange } = props;
  const { entity, objectId } = useFormContext();
  const input = useInputProps(props);
  const label = useFieldLabel(field);
  const mayWrite = useMay(entity.permission, 'write');
  const texts = useStrengthTexts(label, field.type === 'verifier' ? t('form.unchanged') : '••••••••••••');
  /* A verifier cannot be turned back into the password; a secret can, by who may write (D-364). */
  const canReveal = field.type === 'secret' && objectId !== null && mayWrite && props.path === field.name;
  const isStored = objectId !== null && value === null;
  const reveal = async (): Promise<string> => {
    try {
      return await api.entities.reveal(entity, objectId ?? 0, field.name);
    } catch (error) {
      notifyError(errorText(error, t));
      throw error;
    }
  };
  return (
    <SecretInput
      {...input}
      value={isStored ? null : textOf(value)}
      onChange={(text) => onChange(text === '' && objectId !== null ? null : text)}
      {...(isStored && canReveal ? { onReveal: reveal } : {})}
      /* A PIN is digits that somebody chooses. */
      canGenerate={!/pin/.test(field.name)}
      showStrength={!/pin/.test(field.name)}
      texts={texts}
    />
  );
}
