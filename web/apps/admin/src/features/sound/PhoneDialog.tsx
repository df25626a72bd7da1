import { phoneTaskIsOver, plainText, rowId, type PhoneTask, type Row } from '@aoide/api';
import { Alert, Autocomplete, Button, Group, Loader, Modal, Select, Stack, Text, TextInput } from '@mantine/core';
import { IconAlertTriangle, IconCircleCheck } from '@tabler/icons-react';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useEffect, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api } from '../../app/api';
import { ErrorNote } from '../../app/states';
import { entityKey } from '../../app/useEvents';
import { findEntity, useSchema } from '../../app/useSchema';
import { RefSelect } from '../entity/refFields';

const askEveryMs = 700;

/** What the phone is for; `id` null: a new file is recorded. */
export interface PhoneJob {
  readonly kind: 'play' | 'record';
  readonly id: number | null;
  readonly name: string;
}

interface Props {
  readonly job: PhoneJob;
  readonly folders?: readonly string[];
  readonly onClose: () => void;
  /** Something was recorded, or a new file was made. */
  readonly onChanged: () => void;
}

/** Plays an audio file on a phone or records one from it (PLT-30): which phone, then how far it is. */
export function PhoneDialog({ job, folders = [], onClose, onChanged }: Props): ReactNode {
  const { t } = useTranslation();
  const schema = useSchema();
  const extensions = findEntity(schema, 'extension');
  const accounts = findEntity(schema, 'account');
  const [name, setName] = useState('');
  const [folder, setFolder] = useState('custom');
  const [extension, setExtension] = useState<number | null>(null);
  const [account, setAccount] = useState<string | null>(null);
  /* The file that an earlier try has made: the next one records into it. */
  const [made, setMade] = useState<number | null>(job.id);

  const number = useQuery({
    queryKey: [...entityKey('extension'), extension],
    queryFn: ({ signal }) => (extensions && extension !== null ? api.entities.load(extensions, extension, signal) : null),
    enabled: extension !== null,
    select: (loaded) => plainText(loaded?.row['number']),
  });
  const ofExtension = useQuery({
    queryKey: [...entityKey('account'), 'of', extension],
    queryFn: ({ signal }) =>
      accounts && api.entities.list(accounts, { page: 1, pageSize: 50, filters: { extension: String(extension) } }, signal),
    enabled: extension !== null,
    select: (found) => (found?.items ?? []).map((row: Row) => ({ value: plainText(row['username']), key: rowId(row) })),
  });

  const start = useMutation({
    mutationFn: () => {
      const phone = { extension: number.data ?? '', account: account ?? '' };
      if (job.kind === 'play' && job.id !== null) return api.sounds.playOnPhone(job.id, phone);
      if (made !== null) return api.sounds.recordAgain(made, phone);
      return api.sounds.recordNew({ name: name.trim(), folder: folder.trim(), ...phone });
    },
    onSuccess: (task) => {
      setMade(task.id);
      onChanged();
    },
  });
  const progress = useQuery({
    queryKey: ['phone', start.data?.task],
    queryFn: ({ signal }) => (start.data ? api.sounds.phoneTask(start.data.task, signal) : null),
    enabled: start.data !== undefined,
    refetchInterval: ({ state }) => (state.data && phoneTaskIsOver(state.data) ? false : askEveryMs),
  });
  const task = progress.data ?? start.data;
  const isOver = task !== undefined && phoneTaskIsOver(task);
  const isBusy = start.isPending || (task !== undefined && !isOver && !progress.isError);
  useEffect(() => {
    if (isOver) onChanged();
  }, [isOver, onChanged]);

  const title = job.kind === 'play' ? t('sound.phone.playTitle', { name: job.name })
    : job.id === null ? t('sound.phone.recordNew') : t('sound.phone.recordTitle', { name: job.name });
  return (
    <Modal opened onClose={onClose} title={title} closeButtonProps={{ 'aria-label': t('common.close') }}>
      <Stack
        component="form"
        onSubmit={(event) => {
          event.preventDefault();
          start.mutate();
        }}
      >
        {job.id === null && (
          <>
            <TextInput label={t('sound.phone.name')} value={name} onChange={(event) => setName(event.currentTarget.value)}
              maxLength={128} required disabled={isBusy || made !== null} data-autofocus />
            <Autocomplete label={t('sound.folder')} description={t('sound.folderHint')} data={[...folders]} value={folder}
              onChange={setFolder} maxLength={128} disabled={isBusy || made !== null} />
          </>
        )}
        <RefSelect
          label={t('sound.phone.extension')}
          target={extensions}
          value={extension}
          onChange={(value) => {
            setExtension(typeof value === 'number' ? value : null);
            setAccount(null);
          }}
          disabled={isBusy}
          clearable={false}
          withAsterisk
        />
        <Select label={t('sound.phone.account')} placeholder={t('sound.phone.anyAccount')} clearable value={account}
          data={(ofExtension.data ?? []).map((choice) => choice.value)} onChange={setAccount}
          disabled={isBusy || extension === null} />
        {start.isError && <ErrorNote error={start.error} />}
        {progress.isError && <ErrorNote error={progress.error} />}
        {task && !progress.isError && <Progress job={job} task={task} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t('common.close')}
          </Button>
          <Button type="submit" loading={isBusy} disabled={!number.data || (job.id === null && name.trim() === '')}>
            {job.kind === 'play' ? t('sound.phone.play') : t('sound.phone.record')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function Progress({ job, task }: { job: PhoneJob; task: PhoneTask }): ReactNode {
  const { t } = useTranslation();
  if (task.state === 'failed')
    return (
      <Alert color="red" icon={<IconAlertTriangle />} role="alert">
        {task.message ?? t('error.title')}
      </Alert>
    );
  const over = phoneTaskIsOver(task);
  const text = task.state === 'playing' && job.kind === 'record' ? t('sound.phone.state.instructing') : t(`sound.phone.state.${task.state}`);
  return (
    <Alert color={over ? 'green' : 'blue'} icon={over ? <IconCircleCheck /> : <Loader size="xs" />} role="status">
      <Text size="sm">{text}</Text>
    </Alert>
  );
}
