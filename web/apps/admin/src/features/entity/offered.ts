import { may, type Entity, type Field, type Row } from '@aoide/api';
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { api } from '../../app/api';
import { useSession } from '../../app/session';
import { entityKey } from '../../app/useEvents';
import { findEntity, useSchema } from '../../app/useSchema';

/* Fields of accounts and their templates that exist only while a setting of the node is on. */
const transports = ['udp', 'tcp', 'tls', 'ws', 'wss'] as const;
const hiddenWithout: Readonly<Record<string, string>> = Object.fromEntries(
  transports.map((name) => [`transport_${name}`, `${name}_enabled`]),
);
const notedWithout: Readonly<Record<string, string>> = { srtp: 'srtp_support' };
const proxyProtocol = 'outbound_proxy_protocol';

export interface Offered {
  /** What the form draws. */
  readonly entity: Entity;
  /** Fields that are replaced by the sentence that SRTP is off (BASE-48). */
  readonly withoutSrtp: ReadonlySet<string>;
}

/** What of an entity the SIP settings leave to choose: BASE-48, BASE-49, BASE-50. Pure. */
export function offeredBy(entity: Entity, settings: Row | null): Offered {
  const isOff = (setting: string | undefined): boolean => setting !== undefined && settings?.[setting] === false;
  const fields = entity.fields.flatMap((field): Field[] => {
    if (isOff(hiddenWithout[field.name])) return [];
    if (field.name !== proxyProtocol) return [field];
    return [{ ...field, values: field.values.filter((v) => !isOff(`${v.value.toLowerCase()}_enabled`)) }];
  });
  const withoutSrtp = fields.map((f) => f.name).filter((name) => isOff(notedWithout[name]));
  return { entity: { ...entity, fields }, withoutSrtp: new Set(withoutSrtp) };
}

/** Who may not read the SIP settings sees everything; the server refuses what is off. */
export function useOffered(entity: Entity): Offered {
  const session = useSession();
  const target = findEntity(useSchema(), 'sip_settings');
  const asks = entity.fields.some((f) => f.name in notedWithout) && target !== null;
  const settings = useQuery({
    queryKey: [...entityKey('sip_settings'), 'offered'],
    queryFn: async ({ signal }) => (target ? (await api.entities.load(target, 0, signal)).row : null),
    enabled: asks && may(session, target.permission, 'read'),
    retry: false,
  });
  const row = asks ? (settings.data ?? null) : null;
  return useMemo(() => offeredBy(entity, row), [entity, row]);
}
