import { openEvents, type ConnectionState, type LiveEvent } from '@aoide/api';
import { useQueryClient, type QueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { applyCallEvent, applyRegistrationEvent } from '../features/live/liveState';

export const callsKey = ['live', 'calls'] as const;
export const registrationsKey = ['live', 'registrations'] as const;
export const changesKey = ['configuration'] as const;
export const entityKey = (name: string): readonly [string, string] => ['entity', name];

const topics = ['call.*', 'registration.*', 'config.*', 'entity.*', 'audio.*'];

/** Brings one event into what the pages show. */
export function applyEvent(client: QueryClient, event: LiveEvent): void {
  const family = event.topic.split('.')[0];
  switch (family) {
    case 'call':
      client.setQueryData<Parameters<typeof applyCallEvent>[0]>(callsKey, (old) => old && applyCallEvent(old, event));
      repeatFetch(client, callsKey);
      break;
    case 'registration':
      client.setQueryData<Parameters<typeof applyRegistrationEvent>[0]>(
        registrationsKey,
        (old) => old && applyRegistrationEvent(old, event),
      );
      repeatFetch(client, registrationsKey);
      break;
    case 'config':
      void client.invalidateQueries({ queryKey: changesKey });
      break;
    case 'audio': {
      const name = entityOf(event.data);
      if (name) void client.invalidateQueries({ queryKey: entityKey(name) });
      break;
    }
    case 'entity': {
      void client.invalidateQueries({ queryKey: changesKey });
      const name = entityOf(event.data);
      void client.invalidateQueries({ queryKey: name ? entityKey(name) : ['entity'] });
      break;
    }
  }
}

const repeated = new WeakSet();

/**
 * An answer that is on its way may have been made before the event, and would take what the event
 * brought away again: such a fetch is repeated once it is over, however many events came meanwhile.
 */
function repeatFetch(client: QueryClient, queryKey: readonly string[]): void {
  const query = client.getQueryCache().find({ queryKey });
  if (query?.state.fetchStatus !== 'fetching' || repeated.has(query)) return;
  repeated.add(query);
  const again = (): void => {
    repeated.delete(query);
    void client.invalidateQueries({ queryKey });
  };
  void query.promise?.then(again, again);
}

function entityOf(data: unknown): string | null {
  return typeof data === 'object' && data !== null && 'entity' in data && typeof data.entity === 'string'
    ? data.entity
    : null;
}

/** One connection for the whole session; pages only read the caches that it keeps fresh. */
export function useEvents(): ConnectionState {
  const client = useQueryClient();
  const [state, setState] = useState<ConnectionState>('connecting');
  useEffect(
    () =>
      openEvents(topics, {
        onEvent: (event) => applyEvent(client, event),
        onResync: () => {
          void client.invalidateQueries({ queryKey: ['live'] });
          void client.invalidateQueries({ queryKey: changesKey });
        },
        onState: setState,
      }),
    [client],
  );
  return state;
}
