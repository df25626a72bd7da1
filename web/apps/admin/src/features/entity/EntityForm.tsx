import type { Entity, Field, Json } from '@aoide/api';
import { Box, Card, Checkbox, Group, Input, Stack, Table, Text, Title } from '@mantine/core';
import { memo, useCallback, useMemo, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { labelText, useLanguage } from '../../i18n/i18n';
import { FieldControl } from './FieldControl';
import { hasTemplate, isInheriting, isVisible, shownValue, type FormState } from './formState';
import { sectionsOf, type Section } from './layout';
import { useOffered } from './offered';
import type { EntityForm } from './useEntityForm';

interface DrawProps {
  readonly entity: Entity;
  readonly form: EntityForm;
  readonly disabled: boolean;
  readonly withoutSrtp: ReadonlySet<string>;
}

/** The sections of any entity's form. */
export function EntitySections({ entity, form, disabled }: Omit<DrawProps, 'withoutSrtp'>): ReactNode {
  const offered = useOffered(entity);
  const props: DrawProps = { ...offered, form, disabled };
  const sections = useMemo(() => sectionsOf(props.entity), [props.entity]);
  return (
    <Group align="flex-start" wrap="nowrap" gap="lg">
      <Stack flex={1} miw={0}>
        {sections.map((section) => (
          <SectionCard key={section.key} section={section} {...props} />
        ))}
      </Stack>
      {sections.length > 2 && <SectionNav sections={sections} />}
    </Group>
  );
}

function useSectionTitle(): (section: Section) => string {
  const { t } = useTranslation();
  const language = useLanguage();
  return (section) => {
    if (section.kind === 'fields') return section.label ? labelText(section.label, language) : t('form.general');
    if (section.key === 'overflow') return t('form.overflow');
    return splitLabel(labelText(section.columns[0]?.label ?? noLabel, language))[0] || section.key;
  };
}

const noLabel = { it: '', en: '' };

/** "Overflow: internal calls" is a grid "Overflow" with a column "Internal calls". */
function splitLabel(label: string): [title: string, column: string] {
  const at = label.indexOf(': ');
  if (at < 0) return ['', label];
  const column = label.slice(at + 2);
  return [label.slice(0, at), column.charAt(0).toUpperCase() + column.slice(1)];
}

function SectionNav({ sections }: { sections: readonly Section[] }): ReactNode {
  const { t } = useTranslation();
  const title = useSectionTitle();
  return (
    <Box component="nav" aria-label={t('form.sections')} visibleFrom="xl" w={220} style={{ position: 'sticky', top: 72 }}>
      <Text size="xs" fw={700} c="dimmed" mb="xs">
        {t('form.sections')}
      </Text>
      <Stack gap={2}>
        {sections.map((section) => (
          <a key={section.key} href={`#section-${section.key}`} className="section-link">
            {title(section)}
          </a>
        ))}
      </Stack>
    </Box>
  );
}

function SectionCard({ section, ...props }: DrawProps & { section: Section }): ReactNode {
  const { t } = useTranslation();
  const title = useSectionTitle()(section);
  const { state } = props.form;
  if (!state) return null;
  const shown = values(props);
  const fields =
    section.kind === 'fields' ? section.fields.filter((f) => isVisible(f, shown) && hasUse(f, props.form.row === null)) : null;
  if (fields?.length === 0) return null;
  return (
    <Card
      withBorder
      radius="md"
      component="section"
      id={`section-${section.key}`}
      aria-labelledby={`title-${section.key}`}
      style={{ scrollMarginTop: 72, overflow: 'visible' }}
    >
      <Title order={2} size="h3" mb="md" id={`title-${section.key}`}>
        {title}
      </Title>
      {section.kind === 'grid' ? (
        <FieldGrid section={section} {...props} />
      ) : (
        <Stack gap="md">
          {fields?.map((field) =>
            props.withoutSrtp.has(field.name) ? (
              <FieldNote key={field.name} field={field} text={t('form.srtpOff')} />
            ) : field.name === 'permissions' && holdsAll(shown['kind']) ? (
              <FieldNote key={field.name} field={field} text={t('form.holdsAll')} />
            ) : (
              <FieldBlock key={field.name} {...factsOf(field, state, props)} />
            ),
          )}
        </Stack>
      )}
    </Card>
  );
}

/** The PBX fills in what is read only; what is only given when an object is made is of no use afterwards. */
function hasUse(field: Field, isNew: boolean): boolean {
  return isNew ? !field.readonly : !(field.immutable && field.virtual);
}

/* The roles that hold every permission whatever their table says (BASE-70, BASE-74). */
function holdsAll(kind: Json | undefined): boolean {
  return kind === 'tenant_admin' || kind === 'pbx_admin';
}

/** Instead of a choice that is not there, such as SRTP while the SIP settings switch it off (BASE-48). */
function FieldNote({ field, text }: { field: Field; text: string }): ReactNode {
  const language = useLanguage();
  return (
    <Input.Wrapper label={labelText(field.label, language)} labelElement="div" data-field={field.name}>
      <Text size="sm" c="dimmed">
        {text}
      </Text>
    </Input.Wrapper>
  );
}

/** What conditions look at: shown values, so that an inherited mode also shows its own settings. */
function values({ entity, form }: DrawProps): Record<string, ReturnType<typeof shownValue>> {
  const { state, template } = form;
  if (!state) return {};
  return Object.fromEntries(entity.fields.map((f) => [f.name, shownValue(entity, state, f, template)]));
}

/** All that the drawing of one field depends on: a field whose facts stay the same is not drawn again. */
interface FieldFacts {
  readonly field: Field;
  readonly value: Json;
  readonly disabled: boolean;
  readonly override: Override;
  readonly mayOverride: boolean;
  readonly set: (name: string, value: Json) => void;
  readonly setOverride: (name: string, on: boolean) => void;
}

type Override = 'none' | 'on' | 'off';

function factsOf(field: Field, state: FormState, { entity, form, disabled }: DrawProps): FieldFacts {
  const inherits = isInheriting(entity, state, field);
  const isFixed = field.readonly || (field.immutable && form.row !== null);
  return {
    field,
    value: shownValue(entity, state, field, form.template),
    disabled: disabled || inherits || isFixed,
    override: !field.inherit || !hasTemplate(entity, state) ? 'none' : inherits ? 'off' : 'on',
    mayOverride: !disabled,
    set: form.set,
    setOverride: form.setOverride,
  };
}

function OverrideBox({ facts, label, spoken, className }: {
  facts: FieldFacts;
  label: string;
  spoken: string;
  className?: string;
}): ReactNode {
  const { t } = useTranslation();
  if (facts.override === 'none') return null;
  return (
    <Checkbox
      size="xs"
      {...(className === undefined ? {} : { className })}
      label={label}
      aria-label={`${t('form.override')}: ${spoken}`}
      checked={facts.override === 'on'}
      disabled={!facts.mayOverride}
      onChange={(event) => facts.setOverride(facts.field.name, event.currentTarget.checked)}
    />
  );
}

/** One field with its "override the template's value" (BASE-32). */
const FieldBlock = memo(function FieldBlock(facts: FieldFacts): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const { field, value, disabled, set } = facts;
  const change = useCallback((next: Json) => set(field.name, next), [set, field.name]);
  const isWide = field.type === 'object' || field.type === 'list' || field.type === 'dest';
  return (
    <Group data-field={field.name} align="flex-start" gap="lg" wrap="wrap" className="field-block">
      <Box flex="1 1 320px" miw={0} maw={isWide ? 860 : 560}>
        <FieldControl field={field} path={field.name} value={value} disabled={disabled} onChange={change} />
      </Box>
      <OverrideBox
        facts={facts}
        label={t('form.override')}
        spoken={labelText(field.label, language)}
        className={field.type === 'bool' ? 'beside-switch' : 'beside-field'}
      />
    </Group>
  );
});

type GridSection = Extract<Section, { kind: 'grid' }>;

/** The same fields for several cases side by side: origins × causes of overflow (BASE-42). */
function FieldGrid({ section, ...props }: DrawProps & { section: GridSection }): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const columns = section.columns.map((column) => splitLabel(labelText(column.label, language))[1]);
  const { state } = props.form;
  if (!state) return null;
  return (
    <Table.ScrollContainer minWidth={880}>
      <Table verticalSpacing="sm" layout="fixed" withRowBorders>
        <caption className="visually-hidden">{t('form.gridCaption')}</caption>
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={130} scope="col">
              <span className="visually-hidden">{t('form.setting')}</span>
            </Table.Th>
            {section.columns.map((column, i) => (
              <Table.Th key={column.key} scope="col">
                {columns[i]}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {section.rows.map((row) => {
            const label = labelText(row.label, language);
            return (
              <Table.Tr key={label}>
                <Table.Th scope="row" style={{ verticalAlign: 'top' }}>
                  {label}
                </Table.Th>
                {row.cells.map((field, i) => (
                  <Table.Td key={field.name} style={{ verticalAlign: 'top' }}>
                    <GridCell spokenLabel={`${columns[i] ?? ''}: ${label}`} {...factsOf(field, state, props)} />
                  </Table.Td>
                ))}
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

const GridCell = memo(function GridCell({ spokenLabel, ...facts }: FieldFacts & { spokenLabel: string }): ReactNode {
  const { t } = useTranslation();
  const { field, value, disabled, set } = facts;
  const change = useCallback((next: Json) => set(field.name, next), [set, field.name]);
  return (
    <Stack gap="xs" data-field={field.name}>
      <FieldControl
        field={field}
        path={field.name}
        value={value}
        disabled={disabled}
        onChange={change}
        spokenLabel={spokenLabel}
      />
      <OverrideBox facts={facts} label={t('form.overrideShort')} spoken={spokenLabel} />
    </Stack>
  );
});
