import { ApiError, type Progress } from '@aoide/api';
import { useCallback, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { errorText } from '../../app/errors';

export interface UploadItem {
  readonly key: number;
  readonly name: string;
  /** 0..1; 1 while the server converts. */
  readonly share: number;
  readonly state: 'sending' | 'done' | 'refused';
  readonly error: string | null;
}

export interface Uploads {
  readonly items: readonly UploadItem[];
  readonly isBusy: boolean;
  readonly start: (name: string, send: (onProgress: Progress) => Promise<unknown>) => Promise<boolean>;
  readonly clear: () => void;
}

let lastKey = 0;

/** Uploads of one panel with their progress; what is done goes away with the next one. */
export function useUploads(): Uploads {
  const { t } = useTranslation();
  const [items, setItems] = useState<readonly UploadItem[]>([]);
  const start = useCallback(
    async (name: string, send: (onProgress: Progress) => Promise<unknown>): Promise<boolean> => {
      const key = ++lastKey;
      const change = (next: Partial<UploadItem>): void =>
        setItems((old) => old.map((item) => (item.key === key ? { ...item, ...next } : item)));
      setItems((old) => [
        ...old.filter((item) => item.state !== 'done'),
        { key, name, share: 0, state: 'sending', error: null },
      ]);
      try {
        await send((share) => change({ share }));
        change({ share: 1, state: 'done' });
        return true;
      } catch (error) {
        /* The first field says what is wrong with the file, or which one is there already. */
        const problem = error instanceof ApiError ? error.errors[0]?.message : null;
        change({ state: 'refused', error: problem ?? errorText(error, t) });
        return false;
      }
    },
    [t],
  );
  const clear = useCallback(() => setItems((old) => old.filter((item) => item.state === 'sending')), []);
  return { items, isBusy: items.some((item) => item.state === 'sending'), start, clear };
}
