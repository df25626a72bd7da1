import { plainText, rowId, type ArchiveReport, type Entity, type Prompt, type Row } from '@aoide/api';
import { DataTable, EmptyState } from '@aoide/ui';
import { ActionIcon, Alert, Card, Group, List, Stack, Switch, Text, TextInput, Title, Tooltip } from '@mantine/core';
import { IconInfoCircle, IconRestore, IconSearch } from '@tabler/icons-react';
import { useMutation, useQuery } from '@tanstack/react-query';
import { createColumnHelper, getCoreRowModel, useReactTable } from '@tanstack/react-table';
import { useMemo, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api } from '../../app/api';
import { errorText } from '../../app/errors';
import { notifyError } from '../../app/notify';
import { useMay } from '../../app/session';
import { ErrorNote } from '../../app/states';
import { entityKey } from '../../app/useEvents';
import { DownloadLink } from './DownloadLink';
import { DropZone } from './DropZone';
import { PlayButton } from './PlayButton';
import { ReplaceButton } from './ReplaceButton';
import { SoundState } from './SoundState';
import { UploadList } from './UploadList';
import { useSoundChanged } from './useSoundChanged';
import { useUploads } from './useUploads';

const column = createColumnHelper<Prompt>();

/** All prompts of a language: inherited from its base or replaced (PLT-33). */
export function LanguagePrompts({ entity, row }: { entity: Entity; row: Row }): ReactNode {
  const { t } = useTranslation();
  const id = rowId(row);
  const mayWrite = useMay(entity.permission, 'write') && row['custom'] === true;
  const changed = useSoundChanged(entity.name);
  const uploads = useUploads();
  const [search, setSearch] = useState('');
  const [onlyReplaced, setOnlyReplaced] = useState(false);
  const [report, setReport] = useState<ArchiveReport | null>(null);
  const prompts = useQuery({
    queryKey: [...entityKey(entity.name), id, 'prompts'],
    queryFn: ({ signal }) => api.sounds.prompts(id, signal),
  });
  const inherit = useMutation({
    mutationFn: (name: string) => api.sounds.inheritPrompt(id, name),
    onError: (error) => notifyError(errorText(error, t)),
    onSettled: changed,
  });
  const shown = useMemo(() => {
    const word = search.trim().toLowerCase();
    return (prompts.data ?? []).filter(
      (prompt) =>
        (!onlyReplaced || prompt.state !== 'inherited') &&
        (prompt.name.includes(word) || prompt.text.toLowerCase().includes(word)),
    );
  }, [prompts.data, search, onlyReplaced]);

  const columns = useMemo(
    () => [
      column.accessor('name', { header: t('sound.prompt'), enableSorting: false }),
      column.accessor('text', {
        header: t('sound.text'),
        enableSorting: false,
        cell: ({ getValue }) => (
          <Text size="sm" lineClamp={2} title={getValue()}>
            {getValue().startsWith('@') ? t('sound.tone') : getValue()}
          </Text>
        ),
      }),
      column.accessor('state', {
        header: t('sound.stateHead'),
        enableSorting: false,
        cell: ({ row: { original } }) => <SoundState state={original.state} reason={original.reason} />,
      }),
      column.display({
        id: 'actions',
        header: t('list.actions'),
        cell: ({ row: { original } }) => {
          const url = api.sounds.promptUrl(id, original.name);
          return (
            <Group gap={2} wrap="nowrap">
              <PlayButton url={url} name={original.name} />
              <DownloadLink url={url} name={original.name} />
              {mayWrite && (
                <ReplaceButton
                  label={t('sound.replace', { name: original.name })}
                  disabled={uploads.isBusy}
                  onFile={(file) =>
                    void uploads
                      .start(`${original.name}: ${file.name}`, (progress) => api.sounds.replacePrompt(id, original.name, file, progress))
                      .then(changed)
                  }
                />
              )}
              {mayWrite && original.replaced && (
                <Tooltip label={t('sound.inherit', { name: original.name })}>
                  <ActionIcon variant="subtle" aria-label={t('sound.inherit', { name: original.name })} onClick={() => inherit.mutate(original.name)}>
                    <IconRestore size={18} />
                  </ActionIcon>
                </Tooltip>
              )}
            </Group>
          );
        },
      }),
    ],
    [t, id, mayWrite, uploads, changed, inherit],
  );
  const table = useReactTable<Prompt>({ data: shown, columns, getRowId: (prompt) => prompt.name, getCoreRowModel: getCoreRowModel() });

  const sendArchive = async (file: File): Promise<void> => {
    setReport(null);
    await uploads.start(file.name, async (progress) => setReport(await api.sounds.uploadArchive(id, file, progress)));
    changed();
  };
  return (
    <Card withBorder radius="md" mt="md" component="section" aria-labelledby="prompts-title">
      <Stack gap="sm">
        <Title order={2} size="h3" id="prompts-title">
          {t('sound.prompts')}
        </Title>
        {row['custom'] !== true && (
          <Text size="sm" c="dimmed">
            {plainText(row['code']) === 'es' ? t('sound.spanish') : t('sound.builtin')}
          </Text>
        )}
        {mayWrite && (
          <>
            <Text size="sm" c="dimmed">
              {t('sound.archiveHint')}
            </Text>
            <DropZone
              label={t('sound.archive')}
              accept=".zip,application/zip"
              multiple={false}
              disabled={uploads.isBusy}
              onFiles={([file]) => file && void sendArchive(file)}
            />
          </>
        )}
        <UploadList uploads={uploads} />
        {report && <Report report={report} />}
        <Group>
          <TextInput
            aria-label={t('sound.searchPrompt')}
            placeholder={t('sound.searchPrompt')}
            leftSection={<IconSearch size={16} aria-hidden />}
            w={320}
            value={search}
            onChange={(event) => setSearch(event.currentTarget.value)}
          />
          <Switch label={t('sound.onlyReplaced')} checked={onlyReplaced} onChange={(event) => setOnlyReplaced(event.currentTarget.checked)} />
        </Group>
        {prompts.isError && <ErrorNote error={prompts.error} onRetry={() => void prompts.refetch()} />}
        <div style={{ maxHeight: 560, display: 'flex', flexDirection: 'column', overflow: 'auto' }}>
          <DataTable<Prompt> table={table} caption={t('sound.prompts')} loading={prompts.isPending} empty={<EmptyState title={t('list.noMatch')} />} />
        </div>
      </Stack>
    </Card>
  );
}

/** What became of the files of an archive. */
function Report({ report }: { report: ArchiveReport }): ReactNode {
  const { t } = useTranslation();
  const { failed } = report;
  return (
    <Alert icon={<IconInfoCircle />} color="gray" role="status"
      title={t('sound.archiveDone', { count: report.matched.length - failed.length })}>
      {failed.length > 0 && (
        <List size="sm" mt="xs">
          {failed.map((one) => (
            <List.Item key={one.file}>
              <b>{one.file}</b>: {one.message}
            </List.Item>
          ))}
        </List>
      )}
      {report.unknown.length > 0 && (
        <>
          <Text size="sm" mt="xs">
            {t('sound.archiveUnknown', { count: report.unknown.length })}
          </Text>
          <List size="sm" mah={200} style={{ overflow: 'auto' }}>
            {report.unknown.map((name) => (
              <List.Item key={name}>{name}</List.Item>
            ))}
          </List>
        </>
      )}
    </Alert>
  );
}
