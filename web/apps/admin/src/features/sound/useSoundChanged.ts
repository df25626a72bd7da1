import { useQueryClient } from '@tanstack/react-query';
import { useCallback } from 'react';
import { changesKey, entityKey } from '../../app/useEvents';

/** Shows what an upload or a removal has changed: lists, forms, the bar of changes. */
export function useSoundChanged(entity: string): () => void {
  const client = useQueryClient();
  return useCallback(() => {
    void client.invalidateQueries({ queryKey: entityKey(entity) });
    void client.invalidateQueries({ queryKey: changesKey });
  }, [client, entity]);
}
