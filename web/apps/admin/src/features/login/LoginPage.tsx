import { ApiError } from '@aoide/api';
import {
  Alert, Box, Button, Center, Group, Image, Paper, PasswordInput, SegmentedControl, Stack, TextInput, Title,
} from '@mantine/core';
import { IconAlertTriangle, IconInfoCircle } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useRef, useState, type SyntheticEvent, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { useLocation, useNavigate } from 'react-router-dom';
import { api, lostKey, sessionKey } from '../../app/api';
import { errorText } from '../../app/errors';
import { setLanguage, useLanguage } from '../../i18n/i18n';
import { returnPath, wasExpired } from './returnPath';

export function LoginPage(): ReactNode {
  const { t } = useTranslation();
  const language = useLanguage();
  const location = useLocation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [missing, setMissing] = useState<'username' | 'password' | null>(null);
  const usernameRef = useRef<HTMLInputElement>(null);
  const passwordRef = useRef<HTMLInputElement>(null);

  const login = useMutation({
    mutationFn: () => api.session.login(username.trim(), password),
    onSuccess: (session) => {
      client.setQueryData(lostKey, false);
      client.setQueryData(sessionKey, { ...session, language });
      if (session.language !== language) void api.session.setLanguage(language).catch(() => undefined);
      navigate(returnPath(location.state), { replace: true });
    },
    onError: () => {
      setPassword('');
      passwordRef.current?.focus();
    },
  });

  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (!username.trim()) {
      setMissing('username');
      usernameRef.current?.focus();
    } else if (!password) {
      setMissing('password');
      passwordRef.current?.focus();
    } else {
      setMissing(null);
      login.mutate();
    }
  };

  return (
    <Center component="main" mih="100vh" p="md">
      <Box w="100%" maw={400}>
        <Stack>
          <Group justify="center" gap="sm">
            <Image src="/aoide.svg" alt="" w={40} h={40} />
            <Title order={1}>Aoide</Title>
          </Group>
          <Paper withBorder shadow="sm" p="lg" radius="md">
            <form onSubmit={submit} noValidate>
              <Stack>
                <Title order={2} size="h3">
                  {t('login.title')}
                </Title>
                {!login.error && wasExpired(location.state) && (
                  <Alert color="blue" icon={<IconInfoCircle />} role="status">
                    {t('login.expired')}
                  </Alert>
                )}
                {login.error && (
                  <Alert color="red" icon={<IconAlertTriangle />} role="alert">
                    {loginError(login.error, t)}
                  </Alert>
                )}
                <TextInput
                  ref={usernameRef}
                  label={t('login.username')}
                  description={t('login.usernameHint')}
                  value={username}
                  onChange={(event) => setUsername(event.currentTarget.value)}
                  error={missing === 'username' && t('login.required')}
                  autoComplete="username"
                  autoCapitalize="none"
                  spellCheck={false}
                  data-autofocus
                />
                <PasswordInput
                  ref={passwordRef}
                  label={t('login.password')}
                  value={password}
                  onChange={(event) => setPassword(event.currentTarget.value)}
                  error={missing === 'password' && t('login.required')}
                  autoComplete="current-password"
                  visibilityToggleButtonProps={{ 'aria-label': t('login.showPassword') }}
                />
                <Button type="submit" loading={login.isPending}>
                  {t('login.submit')}
                </Button>
              </Stack>
            </form>
          </Paper>
          <Center>
            <SegmentedControl
              size="xs"
              aria-label={t('app.language')}
              value={language}
              onChange={(value) => setLanguage(value === 'en' ? 'en' : 'it')}
              data={[
                { value: 'it', label: t('app.italian') },
                { value: 'en', label: t('app.english') },
              ]}
            />
          </Center>
        </Stack>
      </Box>
    </Center>
  );
}

function loginError(error: Error, t: ReturnType<typeof useTranslation>['t']): string {
  if (error instanceof ApiError && error.status === 401) return t('login.wrong');
  if (error instanceof ApiError && error.status === 429)
    return error.retryAfterS === null
      ? t('login.limitedSoon')
      : t('login.limited', { count: error.retryAfterS });
  return errorText(error, t);
}
