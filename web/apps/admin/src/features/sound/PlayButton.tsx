import { ActionIcon, Tooltip } from '@mantine/core';
import { IconPlayerPlay, IconPlayerStop } from '@tabler/icons-react';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { notifyError } from '../../app/notify';

/* One sound at a time: who starts another ends this one. */
let stopOther: (() => void) | null = null;

/** Plays a sound in the browser; pressed again it stops. */
export function PlayButton({ url, name, disabled = false }: { url: string; name: string; disabled?: boolean }): ReactNode {
  const { t } = useTranslation();
  const [playing, setPlaying] = useState(false);
  const audio = useRef<HTMLAudioElement | null>(null);
  const stop = (): void => {
    audio.current?.pause();
    audio.current = null;
    setPlaying(false);
  };
  useEffect(() => () => audio.current?.pause(), []);

  const start = (): void => {
    stopOther?.();
    const element = new Audio(url);
    audio.current = element;
    stopOther = stop;
    element.onended = stop;
    setPlaying(true);
    element.play().catch((error: unknown) => {
      if (audio.current !== element) return; // stopped meanwhile
      stop();
      notifyError(t('sound.playFailed', { name }));
      if (error instanceof DOMException && error.name === 'NotAllowedError') return;
    });
  };
  const label = playing ? t('sound.stop', { name }) : t('sound.play', { name });
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" aria-label={label} aria-pressed={playing} disabled={disabled} onClick={playing ? stop : start}>
        {playing ? <IconPlayerStop size={18} /> : <IconPlayerPlay size={18} />}
      </ActionIcon>
    </Tooltip>
  );
}
