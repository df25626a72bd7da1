import { may, type Entity, type SchemaDocument, type Session } from '@aoide/api';
import type { en } from '../i18n/en';

export type MenuKey = keyof typeof en.menu;

export type MenuItem =
  | { readonly kind: 'page'; readonly key: MenuKey; readonly to: string }
  | { readonly kind: 'entity'; readonly entity: Entity; readonly to: string }
  | { readonly kind: 'link'; readonly key: MenuKey; readonly href: string };

export interface MenuGroup {
  readonly key: MenuKey;
  readonly items: readonly MenuItem[];
}

/* The product's menu (PLT-99); an entity that is not named here comes under "other". */
const entityGroups: readonly { readonly key: MenuKey; readonly entities: readonly string[] }[] = [
  { key: 'extensionsAccounts', entities: ['extension', 'account', 'extension_template', 'account_template'] },
  { key: 'routing', entities: ['routing_class'] },
  { key: 'sounds', entities: ['audio_file', 'moh_class', 'audio_settings', 'language'] },
  { key: 'pickup', entities: ['pickup_group', 'closed_group'] },
  { key: 'system', entities: ['tenant', 'user', 'role', 'sip_settings'] },
];

/**
 * Who may see a page; the server asks the same again (BASE-75). Calls and their register are for
 * everybody: who lacks the permission gets his own calls only (BASE-74).
 */
const pagePermissions = { cdr: null, registrations: 'accounts', calls: null } as const;

export function mayOpen(session: Session, page: keyof typeof pagePermissions): boolean {
  const permission = pagePermissions[page];
  return permission === null || may(session, permission, 'list');
}

export function entityPath(entity: Entity, id?: number | 'new'): string {
  const list = `/config/${encodeURIComponent(entity.rest)}`;
  return id === undefined ? list : `${list}/${id}`;
}

/** The menu of this session: groups without a permitted item are left out. */
export function buildMenu(schema: SchemaDocument, session: Session): MenuGroup[] {
  const allowed = schema.entities.filter((e) => may(session, e.permission, 'list'));
  const item = (entity: Entity): MenuItem => ({ kind: 'entity', entity, to: entityPath(entity) });
  const page = (key: MenuKey, to: string): MenuItem => ({ kind: 'page', key, to });
  const named = new Set(entityGroups.flatMap((g) => g.entities));

  const groups: MenuGroup[] = entityGroups.map(({ key, entities }) => ({
    key,
    items: entities.flatMap((name) => allowed.filter((e) => e.name === name).map(item)),
  }));
  const system = groups.pop();
  groups.push({ key: 'other', items: allowed.filter((e) => !named.has(e.name)).map(item) });
  groups.push({ key: 'registers', items: mayOpen(session, 'cdr') ? [page('callLog', '/cdr')] : [] });
  groups.push({
    key: 'state',
    items: [
      ...(mayOpen(session, 'registrations') ? [page('liveRegistrations', '/registrations')] : []),
      ...(mayOpen(session, 'calls') ? [page('liveCalls', '/calls')] : []),
    ],
  });
  if (system)
    groups.push({
      key: system.key,
      items: [...system.items, { kind: 'link', key: 'apiDoc', href: '/api/doc' }],
    });
  return groups.filter((group) => group.items.length > 0);
}
