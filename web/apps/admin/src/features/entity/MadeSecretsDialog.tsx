import type { Entity, MadeSecret } from '@aoide/api';
import { Button, CopyButton, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { labelText, useLanguage } from '../../i18n/i18n';

/**
 * Passwords that the server made up, shown once. A click beside the dialog or Escape would lose them
 * by accident, so only the button closes it.
 */
export function MadeSecretsDialog({ entity, secrets, onClose }: {
  entity: Entity;
  secrets: readonly MadeSecret[];
  onClose: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const label = (name: string): string => {
    if (name === 'account_password') return t('form.accountPassword');
    if (name === 'user_password') return t('form.userPassword');
    const field = entity.fields.find((f) => f.name === name);
    return (field && labelText(field.label, language)) || name;
  };
  return (
    <Modal
      opened={secrets.length > 0}
      onClose={onClose}
      title={t('form.onceTitle')}
      centered
      withCloseButton={false}
      closeOnClickOutside={false}
      closeOnEscape={false}
    >
      <Stack>
        <Text size="sm">{t('form.onceText')}</Text>
        {secrets.map(({ name, value }) => (
          <Group key={name} gap="xs" align="flex-end" wrap="nowrap">
            <TextInput
              label={label(name)}
              value={value}
              readOnly
              flex={1}
              styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
              onFocus={(event) => event.currentTarget.select()}
            />
            <CopyButton value={value}>
              {({ copied, copy }) => (
                <Button
                  variant="default"
                  leftSection={copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
                  aria-label={t('form.copySecret', { field: label(name) })}
                  onClick={copy}
                >
                  {copied ? t('common.copied') : t('common.copy')}
                </Button>
              )}
            </CopyButton>
          </Group>
        ))}
        <Group justify="flex-end">
          <Button onClick={onClose}>{t('form.onceDone')}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
