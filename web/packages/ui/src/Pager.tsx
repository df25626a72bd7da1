import { ActionIcon, Group, Select, Text } from '@mantine/core';
import { IconChevronLeft, IconChevronRight, IconChevronsLeft, IconChevronsRight } from '@tabler/icons-react';
import type { ReactNode } from 'react';

/** D-348. */
export const pageSizes: readonly number[] = [10, 25, 50, 100, 500];

export interface PagerProps {
  readonly page: number;
  readonly pageSize: number;
  readonly total: number;
  readonly onChange: (page: number, pageSize: number) => void;
  readonly texts: {
    readonly size: string;
    readonly range: (from: number, to: number, total: number) => string;
    readonly first: string;
    readonly previous: string;
    readonly next: string;
    readonly last: string;
  };
}

export function Pager({ page, pageSize, total, onChange, texts }: PagerProps): ReactNode {
  if (total === 0) return null;
  const pages = Math.max(1, Math.ceil(total / pageSize));
  const from = (page - 1) * pageSize + 1;
  const to = Math.min(total, page * pageSize);
  const step = (label: string, target: number, off: boolean, icon: ReactNode): ReactNode => (
    <ActionIcon variant="default" aria-label={label} disabled={off} onClick={() => onChange(target, pageSize)}>
      {icon}
    </ActionIcon>
  );
  return (
    <Group justify="space-between" mt="sm" gap="sm">
      <Text size="sm" c="dimmed" aria-live="polite">
        {texts.range(from, to, total)}
      </Text>
      <Group gap="xs">
        <Select
          size="xs"
          w={86}
          aria-label={texts.size}
          data={pageSizes.map(String)}
          value={String(pageSize)}
          allowDeselect={false}
          onChange={(value) => onChange(1, Number(value ?? pageSize))}
        />
        {step(texts.first, 1, page <= 1, <IconChevronsLeft size={16} />)}
        {step(texts.previous, page - 1, page <= 1, <IconChevronLeft size={16} />)}
        {step(texts.next, page + 1, page >= pages, <IconChevronRight size={16} />)}
        {step(texts.last, pages, page >= pages, <IconChevronsRight size={16} />)}
      </Group>
    </Group>
  );
}
