import { Button, Group, Paper, Text } from '@mantine/core';
import { IconUpload } from '@tabler/icons-react';
import { useRef, useState, type DragEvent, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

export const soundTypes = 'audio/*,.wav,.m4a,.aac,.amr,.wma,.mp3,.flac,.ogg,.opus,.aif,.aiff,.w64,.caf';

interface DropZoneProps {
  readonly label: string;
  readonly accept: string;
  readonly multiple: boolean;
  readonly disabled: boolean;
  readonly onFiles: (files: readonly File[]) => void;
}

/** Files dropped here or chosen with the button. */
export function DropZone({ label, accept, multiple, disabled, onFiles }: DropZoneProps): ReactNode {
  const { t } = useTranslation();
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const give = (list: FileList | null): void => {
    const files = list ? [...list] : [];
    if (files.length > 0 && !disabled) onFiles(multiple ? files : files.slice(0, 1));
  };
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    give(event.dataTransfer.files);
  };
  return (
    <Paper
      withBorder
      p="md"
      radius="md"
      style={{ borderStyle: 'dashed', background: over ? 'var(--mantine-primary-color-light)' : undefined }}
      onDragOver={(event: DragEvent) => {
        event.preventDefault();
        if (!disabled) setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <Group>
        <Button variant="default" leftSection={<IconUpload size={16} />} disabled={disabled} onClick={() => input.current?.click()}>
          {label}
        </Button>
        <Text size="sm" c="dimmed">
          {multiple ? t('sound.dropMany') : t('sound.dropOne')}
        </Text>
      </Group>
      <input
        ref={input}
        type="file"
        hidden
        aria-label={label}
        accept={accept}
        multiple={multiple}
        onChange={(event) => {
          give(event.currentTarget.files);
          event.currentTarget.value = ''; // the same file again is a new choice
        }}
      />
    </Paper>
  );
}
