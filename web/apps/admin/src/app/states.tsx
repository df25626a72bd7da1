import { ApiError } from '@aoide/api';
import { Alert, Button, Center, Loader, Stack, Text, Title } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { Component, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Link } from 'react-router-dom';
import { errorText } from './errors';

export function FullPageLoader(): ReactNode {
  const { t } = useTranslation();
  return (
    <Center mih="60vh" role="status" aria-label={t('app.loading')}>
      <Loader />
    </Center>
  );
}

export function ErrorNote({ error, onRetry }: { error: unknown; onRetry?: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Alert color="red" icon={<IconAlertTriangle />} title={t('error.title')} role="alert">
      <Stack gap="xs" align="flex-start">
        <Text size="sm">{errorText(error, t)}</Text>
        {error instanceof ApiError && error.status === -1 && (
          <Text size="xs" c="dimmed" ff="monospace">
            {error.message}
          </Text>
        )}
        {onRetry && (
          <Button size="xs" variant="light" color="red" onClick={onRetry}>
            {t('error.retry')}
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

export function FullPageError({ error, onRetry }: { error: unknown; onRetry: () => void }): ReactNode {
  return (
    <Center mih="60vh" p="md">
      <ErrorNote error={error} onRetry={onRetry} />
    </Center>
  );
}

export function NoSuchPage(): ReactNode {
  const { t } = useTranslation();
  return (
    <Stack align="center" py="xl" gap="xs">
      <Title order={1} size="h2">
        {t('error.noPage')}
      </Title>
      <Text c="dimmed">{t('error.noPageText')}</Text>
      <Button component={Link} to="/" variant="light" mt="md">
        {t('error.home')}
      </Button>
    </Stack>
  );
}

function Crashed(): ReactNode {
  const { t } = useTranslation();
  return (
    <Stack align="center" py="xl" gap="xs" role="alert">
      <Title order={1} size="h2">
        {t('error.crashed')}
      </Title>
      <Text c="dimmed">{t('error.crashedText')}</Text>
      <Button onClick={() => window.location.reload()}>{t('error.reload')}</Button>
    </Stack>
  );
}

/** A mistake in one page leaves the menu and the other pages usable. */
export class CrashGuard extends Component<{ children: ReactNode }, { crashed: boolean }> {
  override state = { crashed: false };

  static getDerivedStateFromError(): { crashed: boolean } {
    return { crashed: true };
  }

  override render(): ReactNode {
    return this.state.crashed ? <Crashed /> : this.props.children;
  }
}
