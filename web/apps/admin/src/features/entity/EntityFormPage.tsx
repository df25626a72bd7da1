import { ApiError, rowId, type Entity, type FieldProblem, type MadeSecret } from '@aoide/api';
import { ConfirmDialog, PageHeader } from '@aoide/ui';
import { Alert, Anchor, Breadcrumbs, Button, Card, Group, List, Skeleton, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconArrowLeft, IconDeviceFloppy, IconEye, IconTrash } from '@tabler/icons-react';
import { useEffect, useMemo, useState, type SyntheticEvent, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, useBlocker, useNavigate, useParams } from 'react-router-dom';
import { errorText } from '../../app/errors';
import { entityPath } from '../../app/menu';
import { notifyDone } from '../../app/notify';
import { useMay } from '../../app/session';
import { ErrorNote, FullPageError, NoSuchPage } from '../../app/states';
import { useSchema } from '../../app/useSchema';
import { labelText, useLanguage } from '../../i18n/i18n';
import { EntitySections } from './EntityForm';
import { FormContextProvider } from './fieldTypes';
import { focusField } from './focusField';
import { homelessProblems, pathExists } from './formState';
import { useDeleteRows } from './useDeleteRows';
import { useEntityForm } from './useEntityForm';
import { MadeSecretsDialog } from './MadeSecretsDialog';
import { useEntityOfPage } from './useEntity';
import { SoundSection } from '../sound/SoundSection';

export function EntityFormPage(): ReactNode {
  const entity = useEntityOfPage();
  const { id } = useParams();
  const isNew = id === 'new';
  const number = Number(id);
  if (!entity || (!isNew && !Number.isInteger(number))) return <NoSuchPage />;
  return <EntityFormView key={`${entity.name}/${id}`} entity={entity} id={isNew ? null : number} />;
}

/** The form of one object; `id` null: a new one. Singletons come here with 0. */
export function EntityFormView({ entity, id }: { entity: Entity; id: number | null }): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const navigate = useNavigate();
  const schema = useSchema();
  const mayWrite = useMay(entity.permission, 'write') || entity.permission === '';
  const form = useEntityForm(entity, id, t('form.required'));
  const [deleting, setDeleting] = useState(false);
  const [refused, setRefused] = useState<string | null>(null);
  const [saved, setSaved] = useState<number | null>(null);
  const [made, setMade] = useState<readonly MadeSecret[]>([]);
  const one = labelText(entity.labelOne, language);

  const leave = useBlocker(form.isDirty && saved === null);
  useEffect(() => {
    if (!form.isDirty) return undefined;
    const warn = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, [form.isDirty]);

  /* After the blocker has seen that there is nothing to lose any more, and the secrets were read. */
  useEffect(() => {
    if (saved === null || made.length > 0) return;
    setSaved(null);
    if (id === null) navigate(entityPath(entity, saved), { replace: true });
  }, [saved, made, id, entity, navigate]);

  /* After the messages are drawn and the fields can be entered again. */
  useEffect(() => {
    if (refused === null || form.isSaving) return;
    focusField(refused);
    setRefused(null);
  }, [refused, form.isSaving]);

  const context = useMemo(
    () => ({ entity, schema, objectId: id, problems: form.problems }),
    [entity, schema, id, form.problems],
  );

  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    form.save({
      saved: (newId, secrets) => {
        notifyDone(t('form.saved'));
        setMade(secrets);
        setSaved(newId);
      },
      refused: setRefused,
    });
  };

  if (form.loadError instanceof ApiError && form.loadError.status === 404) return <NoSuchPage />;
  if (form.loadError) return <FullPageError error={form.loadError} onRetry={form.retry} />;

  const title = entity.singleton
    ? labelText(entity.label, language)
    : id === null
      ? t('form.newTitle', { entity: one })
      : `${one} ${form.title ?? ''}`;
  return (
    <>
      <form onSubmit={submit} noValidate aria-label={title} className="entity-form">
        <PageHeader
          title={title}
          trail={
            !entity.singleton && (
              <Breadcrumbs>
                <Anchor component={Link} to={entityPath(entity)} size="sm">
                  {labelText(entity.label, language)}
                </Anchor>
              </Breadcrumbs>
            )
          }
          actions={
            <>
              {!entity.singleton && (
                <Button component={Link} to={entityPath(entity)} variant="default" leftSection={<IconArrowLeft size={16} />}>
                  {t('common.back')}
                </Button>
              )}
              {mayWrite && id !== null && !entity.singleton && (
                <Button variant="light" color="red" leftSection={<IconTrash size={16} />} onClick={() => setDeleting(true)}>
                  {t('common.delete')}
                </Button>
              )}
            </>
          }
        />
        {!mayWrite && (
          <Alert icon={<IconEye />} mb="md" color="gray">
            {t('form.readOnly')}
          </Alert>
        )}
        <SaveProblems entity={entity} error={form.saveError} problems={form.problems} />
        {form.isLoading ? (
          <FormSkeleton />
        ) : (
          <FormContextProvider value={context}>
            <EntitySections entity={entity} form={form} disabled={!mayWrite || form.isSaving} />
          </FormContextProvider>
        )}
        {mayWrite && !form.isLoading && (
          <Group mt="md" className="form-buttons">
            <Button type="submit" loading={form.isSaving} leftSection={<IconDeviceFloppy size={16} />}>
              {t('common.save')}
            </Button>
            <Button variant="default" disabled={!form.isDirty} onClick={form.reset}>
              {t('common.reset')}
            </Button>
            {form.isDirty && (
              <Text size="sm" c="dimmed" role="status">
                {t('form.unsaved')}
              </Text>
            )}
          </Group>
        )}
        <ConfirmDialog
          opened={leave.state === 'blocked'}
          title={t('form.leaveTitle')}
          confirm={t('form.leave')}
          cancel={t('form.stay')}
          danger
          onConfirm={() => leave.proceed?.()}
          onClose={() => leave.reset?.()}
        >
          <Text>{t('form.leaveText')}</Text>
        </ConfirmDialog>
        <MadeSecretsDialog entity={entity} secrets={made} onClose={() => setMade([])} />
        {id !== null && (
          <DeleteDialog
            entity={entity}
            rows={deleting && form.row ? [{ id: rowId(form.row), title: form.title ?? '' }] : []}
            onClose={() => setDeleting(false)}
            onDone={() => navigate(entityPath(entity))}
          />
        )}
      </form>
      {id !== null && form.row && <SoundSection entity={entity} row={form.row} />}
    </>
  );
}

function FormSkeleton(): ReactNode {
  const { t } = useTranslation();
  return (
    <Card withBorder role="status" aria-label={t('app.loading')}>
      <Stack>
        {Array.from({ length: 6 }, (_, i) => (
          <div key={i}>
            <Skeleton h={12} w={140} mb={6} />
            <Skeleton h={34} maw={560} />
          </div>
        ))}
      </Stack>
    </Card>
  );
}

function SaveProblems({ entity, error, problems }: {
  entity: Entity;
  error: Error | null;
  problems: ReadonlyMap<string, string>;
}): ReactNode {
  const { t } = useTranslation();
  if (problems.size === 0) return error ? <ErrorNote error={error} /> : null;
  const others = homelessProblems(problems, (path) => pathExists(entity.fields, path));
  return (
    <Alert color="red" icon={<IconAlertTriangle />} title={t('form.notSaved')} role="alert" mb="md">
      <Text size="sm">{t('form.problems', { count: problems.size })}</Text>
      {others.length > 0 && (
        <List size="sm">
          {others.map((text) => (
            <List.Item key={text}>{text}</List.Item>
          ))}
        </List>
      )}
    </Alert>
  );
}

export interface DeleteDialogProps {
  readonly entity: Entity;
  /** Nothing to delete: closed. */
  readonly rows: readonly { readonly id: number; readonly title: string }[];
  readonly onClose: () => void;
  readonly onDone: () => void;
}

/** Asks, deletes, and lists what still uses an object (409, D-089). */
export function DeleteDialog({ entity, rows, onClose, onDone }: DeleteDialogProps): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const { remove, isBusy, failures, progress, reset } = useDeleteRows(entity);
  const close = (): void => {
    const touched = progress > 0;
    reset();
    onClose();
    if (touched && failures.length < progress) onDone();
  };
  return (
    <ConfirmDialog
      opened={rows.length > 0}
      title={t('form.deleteTitle', { entity: labelText(rows.length === 1 ? entity.labelOne : entity.label, language) })}
      confirm={t('common.delete')}
      cancel={failures.length > 0 ? t('common.close') : t('common.cancel')}
      danger
      busy={isBusy}
      blocked={failures.length > 0}
      onConfirm={() =>
        void remove(rows).then((failed) => {
          if (failed > 0) return;
          notifyDone(t('form.deleted', { count: rows.length }));
          reset();
          onClose();
          onDone();
        })
      }
      onClose={close}
    >
      {failures.length === 0 ? (
        <Text size="sm">
          {rows.length === 1
            ? t('form.deleteQuestion', { title: rows[0]?.title ?? '' })
            : t('form.deleteMany', { count: rows.length })}
        </Text>
      ) : (
        <Stack gap="sm" role="alert">
          {failures.map(({ title, error }) => (
            <div key={title}>
              <Text size="sm" fw={600}>
                {title}
              </Text>
              <Text size="sm">{errorText(error, t)}</Text>
              <InUseList errors={error instanceof ApiError ? error.errors : []} />
            </div>
          ))}
        </Stack>
      )}
    </ConfirmDialog>
  );
}

function InUseList({ errors }: { errors: readonly FieldProblem[] }): ReactNode {
  if (errors.length === 0) return null;
  return (
    <List size="sm">
      {errors.map((problem, i) => (
        <List.Item key={i}>{problem.message || problem.field}</List.Item>
      ))}
    </List>
  );
}
