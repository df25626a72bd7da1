import type { Entity, ImportMode, ImportReport } from '@aoide/api';
import { Alert, Button, FileInput, Group, Modal, Stack, Table, Text } from '@mantine/core';
import { IconAlertTriangle, IconCircleCheck, IconFileUpload } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api } from '../../app/api';
import { notifyDone } from '../../app/notify';
import { ErrorNote } from '../../app/states';
import { changesKey, entityKey } from '../../app/useEvents';
import { labelText, useLanguage } from '../../i18n/i18n';

/* What the server takes; a larger file is not worth sending. */
const maxBytes = 8 * 1024 * 1024;

/** CSV in three steps: file, preview with what is wrong in which row, import (D-368). */
export function ImportDialog({ entity, onClose }: { entity: Entity; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const client = useQueryClient();
  const [csv, setCsv] = useState<string | null>(null);
  const [tooLarge, setTooLarge] = useState(false);

  const preview = useMutation({ mutationFn: (text: string) => api.entities.import(entity, 'preview', text) });
  const run = useMutation({
    mutationFn: ({ text, mode }: { text: string; mode: ImportMode }) => api.entities.import(entity, mode, text),
    onSuccess: (report) => {
      void client.invalidateQueries({ queryKey: entityKey(entity.name) });
      void client.invalidateQueries({ queryKey: changesKey });
      notifyDone(t('import.done', { created: report.created, updated: report.updated }));
      onClose();
    },
  });

  const choose = async (file: File | null): Promise<void> => {
    preview.reset();
    run.reset();
    setCsv(null);
    setTooLarge(file !== null && file.size > maxBytes);
    if (!file || file.size > maxBytes) return;
    const text = await file.text();
    setCsv(text);
    preview.mutate(text);
  };
  const report = preview.data;
  const good = report ? report.created + report.updated : 0;

  return (
    <Modal
      opened
      onClose={onClose}
      size="xl"
      title={t('import.title', { entities: labelText(entity.label, language) })}
      closeButtonProps={{ 'aria-label': t('common.close') }}
    >
      <Stack>
        <FileInput
          label={t('import.file')}
          description={t('import.hint')}
          accept=".csv,text/csv"
          leftSection={<IconFileUpload size={16} aria-hidden />}
          placeholder={t('import.choose')}
          error={tooLarge && t('error.tooLarge')}
          onChange={(file) => void choose(file)}
          data-autofocus
        />
        {preview.isError && <ErrorNote error={preview.error} />}
        {run.isError && <ErrorNote error={run.error} />}
        {report && <Preview report={report} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t('common.cancel')}
          </Button>
          {report && report.failed > 0 && good > 0 && (
            <Button
              variant="light"
              loading={run.isPending}
              onClick={() => csv !== null && run.mutate({ text: csv, mode: 'valid' })}
            >
              {t('import.valid', { count: good })}
            </Button>
          )}
          <Button
            loading={preview.isPending || run.isPending}
            disabled={!report || report.failed > 0 || good === 0}
            onClick={() => csv !== null && run.mutate({ text: csv, mode: 'all' })}
          >
            {t('import.all')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

function Preview({ report }: { report: ImportReport }): ReactNode {
  const { t } = useTranslation();
  const { rows, created, updated, failed, errors } = report;
  /* A head line that is wrong leaves no row to count. */
  const isFine = failed === 0 && errors.length === 0 && rows > 0;
  return (
    <>
      <Alert
        color={isFine ? 'green' : 'orange'}
        icon={isFine ? <IconCircleCheck /> : <IconAlertTriangle />}
        role="status"
      >
        {rows === 0 ? t('import.nothing') : t('import.summary', { rows, created, updated, failed })}
      </Alert>
      {errors.length > 0 && (
        <Table.ScrollContainer minWidth={480} maxHeight={320}>
          <Table striped stickyHeader>
            <caption className="visually-hidden">{t('import.errors')}</caption>
            <Table.Thead>
              <Table.Tr>
                <Table.Th scope="col">{t('import.row')}</Table.Th>
                <Table.Th scope="col">{t('import.field')}</Table.Th>
                <Table.Th scope="col">{t('import.message')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {errors.map((error, i) => (
                <Table.Tr key={i}>
                  <Table.Td className="numbers">{error.row}</Table.Td>
                  <Table.Td>{error.field}</Table.Td>
                  <Table.Td>
                    <Text size="sm">{error.message || error.code}</Text>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </>
  );
}
