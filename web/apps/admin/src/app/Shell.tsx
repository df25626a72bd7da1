import {
  ActionIcon, AppShell, Badge, Burger, Group, Image, Menu, NavLink, ScrollArea, Skeleton, Stack, Text, Tooltip,
  useComputedColorScheme, useMantineColorScheme,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import {
  IconAddressBook, IconApi, IconBuildingCommunity, IconDeviceLandlinePhone, IconHome, IconKey, IconLanguage, IconList,
  IconFileMusic, IconAdjustments, IconLogout, IconMoon, IconMusic, IconPhoneCall, IconPlugConnected, IconReportAnalytics, IconRoute, IconSettings, IconSun,
  IconTemplate, IconUser, IconUserShield, IconUsersGroup,
} from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { Suspense, useEffect, useRef, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, Outlet, useLocation } from 'react-router-dom';
import { ChangesBar } from '../features/changes/ChangesBar';
import { ConnectionProvider } from '../features/live/ConnectionNote';
import { labelText, setLanguage, useLanguage } from '../i18n/i18n';
import { api, sessionKey } from './api';
import { QueryBoundary } from './QueryBoundary';
import { buildMenu, type MenuItem } from './menu';
import { useSession } from './session';
import { CrashGuard, FullPageLoader } from './states';
import { useEvents } from './useEvents';
import { useSchema } from './useSchema';

type Icon = typeof IconHome;
const icons: Readonly<Record<string, Icon>> = {
  extension: IconDeviceLandlinePhone,
  account: IconAddressBook,
  extension_template: IconTemplate,
  account_template: IconTemplate,
  routing_class: IconRoute,
  audio_file: IconFileMusic,
  moh_class: IconMusic,
  audio_settings: IconAdjustments,
  language: IconLanguage,
  pickup_group: IconUsersGroup,
  tenant: IconBuildingCommunity,
  user: IconUser,
  role: IconUserShield,
  sip_settings: IconSettings,
  dashboard: IconHome,
  callLog: IconReportAnalytics,
  liveRegistrations: IconPlugConnected,
  liveCalls: IconPhoneCall,
  apiDoc: IconApi,
};

export function Shell(): ReactNode {
  const { t } = useTranslation();
  const [opened, { toggle, close }] = useDisclosure(false);
  const location = useLocation();
  const connection = useEvents();
  const mainRef = useRef<HTMLElement>(null);
  const lastPath = useRef(location.pathname);

  useEffect(() => {
    if (lastPath.current === location.pathname) return;
    lastPath.current = location.pathname;
    close();
    /* Who uses the keyboard or a screen reader starts at the new page, not in the old menu. */
    mainRef.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [location.pathname, close]);

  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 264, breakpoint: 'md', collapsed: { mobile: !opened } }}
      padding="md"
    >
      <a className="skip" href="#main">
        {t('app.skip')}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger
              opened={opened}
              onClick={toggle}
              hiddenFrom="md"
              size="sm"
              aria-label={opened ? t('app.closeMenu') : t('app.openMenu')}
              aria-expanded={opened}
            />
            <Link to="/" style={{ textDecoration: 'none', color: 'inherit' }} aria-label={t('error.home')}>
              <Group gap="xs" wrap="nowrap">
                <Image src="/aoide.svg" alt="" w={30} h={30} />
                <Text fw={700} size="lg">
                  Aoide
                </Text>
              </Group>
            </Link>
            <TenantBadge />
          </Group>
          <Group gap="xs" wrap="nowrap">
            <AppearanceButton />
            <UserMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar aria-label={t('app.menu')}>
        <ScrollArea type="auto" scrollbarSize={8} p="xs" h="100%">
          <QueryBoundary>
            <Suspense fallback={<MenuSkeleton />}>
              <MainMenu />
            </Suspense>
          </QueryBoundary>
        </ScrollArea>
      </AppShell.Navbar>
      <AppShell.Main id="main" ref={mainRef} tabIndex={-1} style={{ outline: 'none' }}>
        <ConnectionProvider value={connection}>
          <CrashGuard key={location.pathname}>
            <QueryBoundary>
              <Suspense fallback={<FullPageLoader />}>
                <Outlet />
              </Suspense>
            </QueryBoundary>
          </CrashGuard>
        </ConnectionProvider>
        <ChangesBar />
      </AppShell.Main>
    </AppShell>
  );
}

function TenantBadge(): ReactNode {
  const { t } = useTranslation();
  const session = useSession();
  const name = session.tenant_name || session.domain || t('app.node');
  return (
    <Badge variant="light" size="lg" tt="none" visibleFrom="xs">
      <span className="visually-hidden">{t('app.tenant')}: </span>
      {name}
    </Badge>
  );
}

function AppearanceButton(): ReactNode {
  const { t } = useTranslation();
  const { setColorScheme } = useMantineColorScheme();
  const isDark = useComputedColorScheme('light') === 'dark';
  const label = isDark ? t('app.light') : t('app.dark');
  return (
    <Tooltip label={label}>
      <ActionIcon
        variant="default"
        size="lg"
        aria-label={label}
        onClick={() => setColorScheme(isDark ? 'light' : 'dark')}
      >
        {isDark ? <IconSun size={18} /> : <IconMoon size={18} />}
      </ActionIcon>
    </Tooltip>
  );
}

function UserMenu(): ReactNode {
  const { t } = useTranslation();
  const session = useSession();
  const language = useLanguage();
  const client = useQueryClient();
  const user = session.domain && !session.username.includes('@') ? `${session.username}@${session.domain}` : session.username;

  const switchTo = (next: 'it' | 'en'): void => {
    setLanguage(next);
    client.setQueryData(sessionKey, { ...session, language: next });
    /* The server's own texts follow; what is on the screen already changed. */
    void api.session.setLanguage(next).catch(() => undefined);
  };
  const logout = async (): Promise<void> => {
    await api.session.logout().catch(() => undefined);
    /* A fresh page: nothing of this user stays in the memory. */
    window.location.assign('/login');
  };

  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon variant="default" size="lg" aria-label={t('app.userMenu', { user })}>
          <IconUser size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          <Text size="sm" fw={600} c="var(--mantine-color-text)">
            {user}
          </Text>
          {session.role && (
            <Text size="xs">
              {t('app.role')}: {session.role}
            </Text>
          )}
        </Menu.Label>
        <Menu.Divider />
        <Menu.Label>{t('app.language')}</Menu.Label>
        <Menu.Item
          leftSection={<IconLanguage size={16} />}
          rightSection={language === 'it' ? '✓' : null}
          onClick={() => switchTo('it')}
        >
          {t('app.italian')}
        </Menu.Item>
        <Menu.Item
          leftSection={<IconLanguage size={16} />}
          rightSection={language === 'en' ? '✓' : null}
          onClick={() => switchTo('en')}
        >
          {t('app.english')}
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item component={Link} to="/password" leftSection={<IconKey size={16} />}>
          {t('password.title')}
        </Menu.Item>
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => void logout()}>
          {t('app.logout')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function MenuSkeleton(): ReactNode {
  return (
    <Stack gap="sm" p="sm">
      {Array.from({ length: 8 }, (_, i) => (
        <Skeleton key={i} h={22} />
      ))}
    </Stack>
  );
}

function MainMenu(): ReactNode {
  const { t } = useTranslation();
  const session = useSession();
  const language = useLanguage();
  const groups = buildMenu(useSchema(), session);
  const home: MenuItem = { kind: 'page', key: 'dashboard', to: '/' };
  const text = (item: MenuItem): string =>
    item.kind === 'entity' ? labelText(item.entity.label, language) : t(`menu.${item.key}`);
  return (
    <>
      <MenuLink item={home} text={text(home)} />
      {groups.map((group) => (
        <div key={group.key} role="group" aria-labelledby={`menu-${group.key}`}>
          <div className="nav-group" id={`menu-${group.key}`}>
            {t(`menu.${group.key}`)}
          </div>
          {group.items.map((item) => (
            <MenuLink key={text(item)} item={item} text={text(item)} />
          ))}
        </div>
      ))}
    </>
  );
}

function MenuLink({ item, text }: { item: MenuItem; text: string }): ReactNode {
  const { pathname } = useLocation();
  const Icon = icons[item.kind === 'entity' ? item.entity.name : item.key] ?? IconList;
  const icon = <Icon size={18} stroke={1.6} aria-hidden />;
  if (item.kind === 'link')
    return <NavLink component="a" href={item.href} target="_blank" rel="noopener" label={text} leftSection={icon} />;
  const active = item.to === '/' ? pathname === '/' : pathname === item.to || pathname.startsWith(`${item.to}/`);
  return (
    <NavLink
      component={Link}
      to={item.to}
      label={text}
      leftSection={icon}
      active={active}
      {...(active ? { 'aria-current': 'page' as const } : {})}
    />
  );
}
