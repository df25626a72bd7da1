import type { RouteObject } from 'react-router-dom';
import { FullPageLoader, NoSuchPage } from './states';
import { SessionGuard } from './session';
import { Shell } from './Shell';

/* Each page is a chunk of its own, so that the log-in page does not wait for tables and forms. */
export const routes: RouteObject[] = [
  {
    path: '/login',
    HydrateFallback: FullPageLoader,
    lazy: async () => ({ Component: (await import('../features/login/LoginPage')).LoginPage }),
  },
  {
    path: '/',
    element: <SessionGuard />,
    HydrateFallback: FullPageLoader,
    children: [
      {
        element: <Shell />,
        children: [
          {
            index: true,
            lazy: async () => ({ Component: (await import('../features/dashboard/DashboardPage')).DashboardPage }),
          },
          {
            path: 'config/:rest',
            lazy: async () => ({ Component: (await import('../features/entity/EntityPage')).EntityPage }),
          },
          {
            path: 'config/:rest/:id',
            lazy: async () => ({ Component: (await import('../features/entity/EntityFormPage')).EntityFormPage }),
          },
          {
            path: 'registrations',
            lazy: async () => ({ Component: (await import('../features/live/RegistrationsPage')).RegistrationsPage }),
          },
          {
            path: 'calls',
            lazy: async () => ({ Component: (await import('../features/live/CallsPage')).CallsPage }),
          },
          {
            path: 'cdr',
            lazy: async () => ({ Component: (await import('../features/cdr/CdrPage')).CdrPage }),
          },
          {
            path: 'password',
            lazy: async () => ({ Component: (await import('../features/login/PasswordPage')).PasswordPage }),
          },
          { path: '*', element: <NoSuchPage /> },
        ],
      },
    ],
  },
];
