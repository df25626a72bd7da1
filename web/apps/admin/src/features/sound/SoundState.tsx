import type { SoundState as State } from '@aoide/api';
import { Badge, Group, Loader, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

const colors: Readonly<Record<State, string>> = {
  empty: 'gray',
  converting: 'blue',
  ready: 'green',
  failed: 'red',
  inherited: 'gray',
};

export function isSoundState(value: unknown): value is State {
  return typeof value === 'string' && value in colors;
}

/**
 * State of a sound; ready is ready for every codec of the system (D-198). The reason says why the last
 * upload was refused.
 */
export function SoundState({ state, reason }: { state: State; reason: string | null }): ReactNode {
  const { t } = useTranslation();
  return (
    <Group gap="xs" wrap="nowrap">
      {/* Dark text on a light ground: the contrast that small letters need. */}
      <Badge
        variant="default"
        leftSection={state === 'converting' ? <Loader size={10} /> : <Dot color={colors[state]} />}
        tt="none"
        miw="max-content"
      >
        {t(`sound.state.${state}`)}
      </Badge>
      {reason && (
        <Text size="xs" c={state === 'ready' ? 'dimmed' : 'red.9'} lineClamp={2} title={reason}>
          {state === 'ready' ? t('sound.lastRefused', { reason }) : reason}
        </Text>
      )}
    </Group>
  );
}

function Dot({ color }: { color: string }): ReactNode {
  return (
    <span
      aria-hidden
      style={{ display: 'inline-block', width: 8, height: 8, borderRadius: 4, background: `var(--mantine-color-${color}-7)` }}
    />
  );
}
