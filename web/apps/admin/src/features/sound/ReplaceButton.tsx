import { ActionIcon, Tooltip } from '@mantine/core';
import { IconUpload } from '@tabler/icons-react';
import { useRef, type ReactNode } from 'react';
import { soundTypes } from './DropZone';

/** Opens the choice of one file. */
export function ReplaceButton({ label, disabled, onFile }: {
  label: string;
  disabled: boolean;
  onFile: (file: File) => void;
}): ReactNode {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Tooltip label={label}>
        <ActionIcon variant="subtle" aria-label={label} disabled={disabled} onClick={() => input.current?.click()}>
          <IconUpload size={18} />
        </ActionIcon>
      </Tooltip>
      <input
        ref={input}
        type="file"
        hidden
        aria-label={label}
        accept={soundTypes}
        onChange={(event) => {
          const [file] = event.currentTarget.files ?? [];
          if (file) onFile(file);
          event.currentTarget.value = '';
        }}
      />
    </>
  );
}
