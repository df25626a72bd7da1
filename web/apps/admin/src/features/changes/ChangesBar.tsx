import type { ConfigLevel, Session } from '@aoide/api';
import { ConfirmDialog } from '@aoide/ui';
import { Badge, Button, Collapse, Group, Paper, Stack, Table, Text } from '@mantine/core';
import { IconAlertCircle, IconCheck, IconChevronDown, IconChevronUp, IconTrash } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api } from '../../app/api';
import { errorText } from '../../app/errors';
import { formatTime } from '../../app/format';
import { notifyDone, notifyError } from '../../app/notify';
import { useSession } from '../../app/session';
import { findEntity } from '../../app/useSchema';
import { changesKey } from '../../app/useEvents';
import { labelText, useLanguage } from '../../i18n/i18n';

const barGapPx = 8;

/** The buttons of a form stay above the bar, however high it grows. */
function keepAbove(bar: HTMLElement | null): (() => void) | undefined {
  if (!bar) return undefined;
  const { style } = document.documentElement;
  const observer = new ResizeObserver(() => style.setProperty('--changes-height', `${bar.offsetHeight + barGapPx}px`));
  observer.observe(bar);
  return () => {
    observer.disconnect();
    style.setProperty('--changes-height', '0px');
  };
}

/** What is saved and not in force yet: list, apply, discard (BASE-80, PLT-108). */
export function ChangesBar(): ReactNode {
  const { t } = useTranslation();
  const session = useSession();
  const client = useQueryClient();
  const [listed, setListed] = useState(false);
  const [asking, setAsking] = useState(false);
  const mayWrite = Object.values(session.permissions).includes('write');

  const levels = useMemo(() => levelsOf(session), [session]);
  const revision = useQuery({
    queryKey: [...changesKey, 'revision', levels],
    queryFn: ({ signal }) =>
      Promise.all(levels.map(async (level) => ({ level, ...(await api.config.revision(level, signal)) }))),
    refetchInterval: 60_000,
    enabled: mayWrite,
  });
  const waiting = (revision.data ?? []).filter((r) => r.pending > 0);
  const count = waiting.reduce((sum, r) => sum + r.pending, 0);
  const pending = count > 0;
  const changes = useQuery({
    queryKey: [...changesKey, 'changes', levels],
    queryFn: async ({ signal }) =>
      (await Promise.all(levels.map((level) => api.config.changes(level, signal)))).flat(),
    enabled: pending && (listed || asking),
  });
  const onEach = async (act: (level: ConfigLevel) => Promise<void>): Promise<void> => {
    for (const { level } of waiting) await act(level);
  };
  const refresh = (): void => {
    void client.invalidateQueries({ queryKey: changesKey });
    void client.invalidateQueries({ queryKey: ['entity'] });
  };
  const apply = useMutation({
    mutationFn: () => onEach((level) => api.config.apply(level)),
    onSuccess: () => notifyDone(t('changes.applied')),
    onError: (error) => notifyError(errorText(error, t)),
    onSettled: refresh,
  });
  const discard = useMutation({
    mutationFn: () => onEach((level) => api.config.discard(level)),
    onSuccess: () => notifyDone(t('changes.discarded')),
    onError: (error) => notifyError(errorText(error, t)),
    onSettled: () => {
      setAsking(false);
      refresh();
    },
  });

  if (!pending) return null;
  return (
    <Paper
      component="section"
      ref={keepAbove}
      aria-label={t('changes.title')}
      withBorder
      shadow="md"
      p="sm"
      mt="lg"
      radius="md"
      style={{ position: 'sticky', bottom: barGapPx, zIndex: 50 }}
    >
      <Group justify="space-between" gap="sm">
        <Group gap="sm" role="status">
          <Group gap="sm" wrap="nowrap">
            <IconAlertCircle size={20} color="var(--mantine-color-orange-6)" style={{ flex: 'none' }} aria-hidden />
            <Text size="sm" fw={600}>
              {t('changes.pending', { count })}
            </Text>
          </Group>
          {waiting.map(({ level, saved, applied }) => (
            /* On a phone the bar would cover half the page. */
            <Text key={level} size="xs" c="dimmed" visibleFrom="sm">
              {levels.length > 1 && `${t(`changes.levels.${level}`)}: `}
              {t('changes.revisions', { saved, applied })}
            </Text>
          ))}
        </Group>
        <Group gap="xs">
          <Button
            size="xs"
            variant="default"
            aria-expanded={listed}
            leftSection={listed ? <IconChevronDown size={14} /> : <IconChevronUp size={14} />}
            onClick={() => setListed(!listed)}
          >
            {listed ? t('changes.hide') : t('changes.show')}
          </Button>
          <Button size="xs" variant="default" leftSection={<IconTrash size={14} />} onClick={() => setAsking(true)}>
            {t('changes.discard')}
          </Button>
          <Button size="xs" leftSection={<IconCheck size={14} />} loading={apply.isPending} onClick={() => apply.mutate()}>
            {t('changes.apply')}
          </Button>
        </Group>
      </Group>
      <Collapse in={listed}>
        <ChangeList changes={changes.data ?? []} />
      </Collapse>
      <ConfirmDialog
        opened={asking}
        title={t('changes.discardTitle')}
        confirm={t('changes.discard')}
        cancel={t('common.cancel')}
        danger
        busy={discard.isPending}
        onConfirm={() => discard.mutate()}
        onClose={() => setAsking(false)}
      >
        <Stack gap="xs">
          <Text size="sm">{t('changes.discardQuestion')}</Text>
          <ChangeList changes={changes.data ?? []} />
        </Stack>
      </ConfirmDialog>
    </Paper>
  );
}

/* A machine user's own level is the node; an administrator with node rights has both. */
function levelsOf(session: Session): ConfigLevel[] {
  return session.tenant_id !== 0 && session.node_rights ? ['tenant', 'node'] : ['tenant'];
}

type Changes = Awaited<ReturnType<typeof api.config.changes>>;
const actionColors: Readonly<Record<string, string>> = { created: 'green', modified: 'blue', deleted: 'red' };

function ChangeList({ changes }: { changes: Changes }): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const schema = useQuery({
    queryKey: ['schema'],
    queryFn: ({ signal }) => api.entities.schema(signal),
    staleTime: Infinity,
  });
  const entityLabel = (name: string): string => {
    const entity = schema.data ? findEntity(schema.data, name) : null;
    return entity ? labelText(entity.labelOne, language) : name;
  };
  return (
    <div style={{ maxHeight: 240, overflow: 'auto' }}>
      <Table verticalSpacing={4} mt="xs">
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">{t('changes.when')}</Table.Th>
            <Table.Th scope="col">{t('changes.action')}</Table.Th>
            <Table.Th scope="col">{t('changes.type')}</Table.Th>
            <Table.Th scope="col">{t('changes.object')}</Table.Th>
            <Table.Th scope="col">{t('changes.user')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {changes.map((change, i) => (
            <Table.Tr key={i}>
              <Table.Td className="numbers">{formatTime(change.at, language)}</Table.Td>
              <Table.Td>
                <Badge size="sm" variant="light" tt="none" color={actionColors[change.action] ?? 'gray'}>
                  {change.action === 'created' || change.action === 'modified' || change.action === 'deleted'
                    ? t(`changes.actions.${change.action}`)
                    : change.action}
                </Badge>
              </Table.Td>
              <Table.Td>{entityLabel(change.entity)}</Table.Td>
              <Table.Td>{change.title || `#${change.id}`}</Table.Td>
              <Table.Td>{change.user}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}
