import { PageHeader, SecretInput } from '@aoide/ui';
import { Alert, Button, Group, Paper, PasswordInput, Stack } from '@mantine/core';
import { IconInfoCircle } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode, type SyntheticEvent } from 'react';
import { useTranslation } from 'react-i18next';
import { useNavigate } from 'react-router-dom';
import { api, sessionKey } from '../../app/api';
import { notifyDone } from '../../app/notify';
import { useSession } from '../../app/session';
import { ErrorNote } from '../../app/states';
import { useStrengthTexts } from '../../app/useStrengthTexts';

/** One's own password (PLT-09); also where a session starts whose password must be changed. */
export function PasswordPage(): ReactNode {
  const { t } = useTranslation();
  const session = useSession();
  const client = useQueryClient();
  const navigate = useNavigate();
  const strength = useStrengthTexts(t('password.fresh'));
  const [current, setCurrent] = useState('');
  const [fresh, setFresh] = useState('');
  const [again, setAgain] = useState('');
  const [tried, setTried] = useState(false);

  const change = useMutation({
    mutationFn: () => api.session.changePassword(current, fresh),
    onSuccess: () => {
      notifyDone(t('password.done'));
      client.setQueryData(sessionKey, { ...session, must_change_password: false });
      navigate('/');
    },
  });
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setTried(true);
    if (current && fresh && fresh === again) change.mutate();
  };
  const missing = (text: string): string | false => tried && text === '' && t('login.required');

  return (
    <Stack maw={520}>
      <PageHeader title={t('password.title')} />
      {session.must_change_password && (
        <Alert color="blue" icon={<IconInfoCircle />} role="status">
          {t('password.must')}
        </Alert>
      )}
      {change.isError && <ErrorNote error={change.error} />}
      <Paper withBorder p="lg" radius="md">
        <form onSubmit={submit} noValidate>
          <Stack>
            <PasswordInput
              label={t('password.current')}
              value={current}
              onChange={(event) => setCurrent(event.currentTarget.value)}
              error={missing(current)}
              autoComplete="current-password"
              visibilityToggleButtonProps={{ 'aria-label': t('login.showPassword') }}
            />
            <SecretInput
              label={t('password.fresh')}
              value={fresh}
              onChange={setFresh}
              error={missing(fresh)}
              canGenerate
              texts={strength}
            />
            <PasswordInput
              label={t('password.again')}
              value={again}
              onChange={(event) => setAgain(event.currentTarget.value)}
              error={missing(again) || (tried && again !== fresh && t('password.differs'))}
              autoComplete="new-password"
              visibilityToggleButtonProps={{ 'aria-label': t('login.showPassword') }}
            />
            <Group>
              <Button type="submit" loading={change.isPending}>
                {t('password.submit')}
              </Button>
            </Group>
          </Stack>
        </form>
      </Paper>
    </Stack>
  );
}
