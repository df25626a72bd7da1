import { Group, Stack, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';

export interface PageHeaderProps {
  readonly title: string;
  readonly description?: ReactNode;
  /** What leads up from here, over the title. */
  readonly trail?: ReactNode;
  readonly actions?: ReactNode;
}

export function PageHeader({ title, description, trail, actions }: PageHeaderProps): ReactNode {
  return (
    <Group justify="space-between" align="flex-end" mb="md" gap="sm">
      <Stack gap={2}>
        {trail}
        <Title order={1}>{title}</Title>
        {description && (
          <Text c="dimmed" size="sm" component="div">
            {description}
          </Text>
        )}
      </Stack>
      {actions && (
        <Group gap="xs" className="ui-actions">
          {actions}
        </Group>
      )}
    </Group>
  );
}
