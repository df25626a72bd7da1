import type { Entity } from '@aoide/api';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../app/api';
import { changesKey, entityKey } from '../../app/useEvents';

export interface DeleteFailure {
  readonly title: string;
  readonly error: unknown;
}

export interface DeleteRows {
  /** Deletes one after the other; returns how many the server refused. */
  readonly remove: (rows: readonly { readonly id: number; readonly title: string }[]) => Promise<number>;
  readonly isBusy: boolean;
  readonly failures: readonly DeleteFailure[];
  /** Rows tried so far. */
  readonly progress: number;
  readonly reset: () => void;
}

export function useDeleteRows(entity: Entity): DeleteRows {
  const client = useQueryClient();
  const [isBusy, setBusy] = useState(false);
  const [failures, setFailures] = useState<readonly DeleteFailure[]>([]);
  const [progress, setProgress] = useState(0);
  return {
    isBusy,
    failures,
    progress,
    reset: () => {
      setFailures([]);
      setProgress(0);
    },
    remove: async (rows) => {
      setBusy(true);
      const failed: DeleteFailure[] = [];
      for (const { id, title } of rows) {
        try {
          await api.entities.remove(entity, id);
          client.removeQueries({ queryKey: [...entityKey(entity.name), id] });
        } catch (error) {
          failed.push({ title, error });
        }
      }
      setFailures(failed);
      setProgress(rows.length);
      setBusy(false);
      /* Lists only: the form of a deleted object must not be asked for again. */
      void client.invalidateQueries({ queryKey: [...entityKey(entity.name), 'list'] });
      void client.invalidateQueries({ queryKey: [...entityKey(entity.name), 'choices'] });
      void client.invalidateQueries({ queryKey: changesKey });
      return failed.length;
    },
  };
}
