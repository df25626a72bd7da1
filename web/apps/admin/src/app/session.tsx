import { may, type Level, type Session } from '@aoide/api';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { createContext, useContext, useEffect, type ReactNode } from 'react';
import { Navigate, Outlet, useLocation } from 'react-router-dom';
import { FullPageLoader, FullPageError } from './states';
import { setLanguage } from '../i18n/i18n';
import { api, lostKey, sessionKey } from './api';

const SessionContext = createContext<Session | null>(null);

/** What the log-in page needs to bring the user back. */
export interface LoginState {
  readonly from: string;
  readonly expired: boolean;
}

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error('useSession() outside of a session');
  return session;
}

export function useMay(permission: string, wanted: Level): boolean {
  return may(useSession(), permission, wanted);
}

export function SessionProvider({ session, children }: { session: Session; children: ReactNode }): ReactNode {
  return <SessionContext.Provider value={session}>{children}</SessionContext.Provider>;
}

/** Everything below needs a session; without one the log-in page comes first and leads back here. */
export function SessionGuard(): ReactNode {
  const location = useLocation();
  const client = useQueryClient();
  const query = useQuery({
    queryKey: sessionKey,
    queryFn: ({ signal }) => api.session.current(signal),
    staleTime: Infinity,
  });
  const session = query.data;
  const language = session?.language;

  useEffect(() => {
    if (language === 'it' || language === 'en') setLanguage(language);
  }, [language]);

  useEffect(() => {
    /* What one user saw must not be shown to the next one. */
    if (session === null) client.removeQueries({ predicate: (q) => q.queryKey[0] !== sessionKey[0] });
  }, [session, client]);

  if (query.isPending) return <FullPageLoader />;
  if (query.isError) return <FullPageError error={query.error} onRetry={() => void query.refetch()} />;
  if (!session) {
    const from = location.pathname + location.search;
    const state: LoginState = { from, expired: client.getQueryData(lostKey) === true };
    return <Navigate to="/login" replace state={state} />;
  }
  if (session.must_change_password && location.pathname !== '/password') return <Navigate to="/password" replace />;
  return (
    <SessionProvider session={session}>
      <Outlet />
    </SessionProvider>
  );
}
