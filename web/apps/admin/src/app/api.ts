import { Api, ApiError } from '@aoide/api';
import { QueryClient } from '@tanstack/react-query';
import { i18n } from '../i18n/i18n';

export const sessionKey = ['session'] as const;
/** True when a session ended by itself, so that the log-in page can say so. */
export const lostKey = ['session', 'lost'] as const;

/* Only an unreachable server is worth a second try: every other error is an answer. */
function retry(failures: number, error: Error): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status === 503) && failures < 3;
}

export const queryClient = new QueryClient({
  defaultOptions: { queries: { retry, staleTime: 10_000, refetchOnWindowFocus: false } },
});

export const api = new Api({
  /* The guard of the router sees the missing session and shows the log-in page. */
  onUnauthorized: () => {
    if (queryClient.getQueryData(sessionKey)) queryClient.setQueryData(lostKey, true);
    queryClient.setQueryData(sessionKey, null);
  },
});

api.http.language = i18n.language;
i18n.on('languageChanged', (language) => {
  api.http.language = language;
});
