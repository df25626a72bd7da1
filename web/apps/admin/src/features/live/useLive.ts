import type { Call, Registration } from '@aoide/api';
import { useMutation, useQuery, type UseMutationResult, type UseQueryResult } from '@tanstack/react-query';
import { api } from '../../app/api';
import { callsKey, registrationsKey } from '../../app/useEvents';

/* Fetched once, then kept fresh by events; a slow poll covers a connection that never comes up. */
const pollMs = 60_000;

export function useCalls(enabled = true): UseQueryResult<readonly Call[]> {
  return useQuery({
    queryKey: callsKey,
    queryFn: ({ signal }) => api.live.calls(signal),
    refetchInterval: pollMs,
    enabled,
  });
}

export function useRegistrations(enabled = true): UseQueryResult<readonly Registration[]> {
  return useQuery({
    queryKey: registrationsKey,
    queryFn: ({ signal }) => api.live.registrations(signal),
    refetchInterval: pollMs,
    enabled,
  });
}

export function useHangup(): UseMutationResult<void, Error, string> {
  return useMutation({ mutationFn: (linkedid: string) => api.live.hangup(linkedid) });
}
