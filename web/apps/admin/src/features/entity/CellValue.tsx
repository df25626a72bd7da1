import { isObject, plainText, type Field, type Json } from '@aoide/api';
import { Badge, Group, Text } from '@mantine/core';
import { IconCheck, IconX } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { formatDuration, formatTime } from '../../app/format';
import { labelText, useLanguage } from '../../i18n/i18n';

/** A value in a table, by the type of its field. Titles of references come from the list. */
export function CellValue({ field, value, titles }: {
  field: Field;
  value: Json;
  titles: ReadonlyMap<number, string>;
}): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const title = (id: Json): string => (typeof id === 'number' ? (titles.get(id) ?? `#${id}`) : '');
  const enumLabel = (item: Json): string => {
    const found = field.values.find((v) => v.value === item);
    return found ? labelText(found.label, language) || found.value : plainText(item);
  };

  if (field.type === 'bool')
    return value === true ? (
      <Group gap={4} wrap="nowrap">
        <IconCheck size={16} color="var(--mantine-color-green-7)" aria-hidden />
        <Text size="sm">{t('common.yes')}</Text>
      </Group>
    ) : (
      <Group gap={4} wrap="nowrap">
        <IconX size={16} color="var(--mantine-color-dimmed)" aria-hidden />
        <Text size="sm" c="dimmed">
          {t('common.no')}
        </Text>
      </Group>
    );
  if (value === null) return null;
  if (field.type === 'int' && field.name.endsWith('_ms') && typeof value === 'number')
    return <span className="numbers">{value > 0 ? formatDuration(Math.round(value / 1000)) : '–'}</span>;
  switch (field.type) {
    case 'enum':
      return enumLabel(value);
    case 'enum_list':
      return Array.isArray(value) ? value.map(enumLabel).join(', ') : '';
    case 'ref':
      return <span style={{ whiteSpace: 'nowrap' }}>{title(value)}</span>;
    case 'ref_list':
      return Array.isArray(value) ? value.map(title).join(', ') : '';
    case 'time':
      return <span className="numbers">{formatTime(value, language)}</span>;
    case 'uuid':
      return <span style={{ whiteSpace: 'nowrap' }}>{plainText(value)}</span>;
    case 'dest':
      return isObject(value) ? <Badge variant="default">{plainText(value['type'])}</Badge> : '';
    default:
      return Array.isArray(value) ? value.map(plainText).join(', ') : plainText(value);
  }
}
