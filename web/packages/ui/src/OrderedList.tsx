import { ActionIcon, Group, Paper, Select, Stack, Text } from '@mantine/core';
import { IconArrowDown, IconArrowUp, IconTrash } from '@tabler/icons-react';
import { useRef, type ReactNode } from 'react';
import { moved } from './order';
import './ui.css';

export interface OrderedItem {
  readonly value: string;
  readonly label: string;
}

export interface OrderedListProps {
  readonly label: string;
  readonly choices: readonly OrderedItem[];
  readonly value: readonly string[];
  readonly onChange: (value: string[]) => void;
  readonly disabled?: boolean;
  readonly texts: {
    readonly empty: string;
    readonly add: string;
    readonly up: (item: string) => string;
    readonly down: (item: string) => string;
    readonly remove: (item: string) => string;
  };
}

/** Some of the choices in an order that matters. Moved by buttons, so that a keyboard is enough. */
export function OrderedList(props: OrderedListProps): ReactNode {
  const { label, choices, value, onChange, disabled, texts } = props;
  const frame = useRef<HTMLUListElement>(null);
  const left = choices.filter((choice) => !value.includes(choice.value));
  const labelOf = (item: string): string => choices.find((choice) => choice.value === item)?.label ?? item;

  const move = (index: number, by: -1 | 1): void => {
    onChange(moved(value, index, by));
    /* The focus stays on the moved item. */
    const name = by < 0 ? 'up' : 'down';
    requestAnimationFrame(() => {
      const row = frame.current?.children[index + by];
      const button = row?.querySelector<HTMLButtonElement>(`[data-move="${name}"]`);
      (button?.disabled ? row?.querySelector<HTMLButtonElement>('button:not(:disabled)') : button)?.focus();
    });
  };

  return (
    <Stack gap="xs" role="group" aria-label={label}>
      {value.length === 0 ? (
        <Text size="sm" c="dimmed">
          {texts.empty}
        </Text>
      ) : (
        <ul ref={frame} className="ui-plain-list">
          {value.map((item, index) => (
            <Paper component="li" key={item} withBorder px="xs" py={4} maw={420}>
              <Group justify="space-between" wrap="nowrap">
                <Text size="sm">
                  <Text span c="dimmed" size="sm" mr="xs">
                    {index + 1}.
                  </Text>
                  {labelOf(item)}
                </Text>
                <Group gap={4} wrap="nowrap">
                  <ActionIcon
                    variant="subtle"
                    data-move="up"
                    aria-label={texts.up(labelOf(item))}
                    disabled={disabled === true || index === 0}
                    onClick={() => move(index, -1)}
                  >
                    <IconArrowUp size={16} />
                  </ActionIcon>
                  <ActionIcon
                    variant="subtle"
                    data-move="down"
                    aria-label={texts.down(labelOf(item))}
                    disabled={disabled === true || index === value.length - 1}
                    onClick={() => move(index, 1)}
                  >
                    <IconArrowDown size={16} />
                  </ActionIcon>
                  <ActionIcon
                    variant="subtle"
                    color="red"
                    aria-label={texts.remove(labelOf(item))}
                    disabled={disabled === true}
                    onClick={() => onChange(value.filter((other) => other !== item))}
                  >
                    <IconTrash size={16} />
                  </ActionIcon>
                </Group>
              </Group>
            </Paper>
          ))}
        </ul>
      )}
      {left.length > 0 && !disabled && (
        <Select
          size="xs"
          maw={420}
          aria-label={`${label}: ${texts.add}`}
          placeholder={texts.add}
          data={[...left]}
          value={null}
          onChange={(item) => item && onChange([...value, item])}
        />
      )}
    </Stack>
  );
}
