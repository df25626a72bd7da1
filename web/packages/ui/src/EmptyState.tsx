import { Stack, Text, ThemeIcon } from '@mantine/core';
import { IconInbox } from '@tabler/icons-react';
import type { ReactNode } from 'react';

export function EmptyState({ title, text, action }: { title: string; text?: string; action?: ReactNode }): ReactNode {
  return (
    <Stack align="center" py="xl" gap="xs">
      <ThemeIcon variant="light" color="gray" size="xl" radius="xl">
        <IconInbox size={22} aria-hidden />
      </ThemeIcon>
      <Text fw={600}>{title}</Text>
      {text && (
        <Text size="sm" c="dimmed" ta="center">
          {text}
        </Text>
      )}
      {action}
    </Stack>
  );
}
