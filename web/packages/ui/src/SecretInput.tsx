import { ActionIcon, Button, Group, Stack, Text, TextInput, Tooltip, type TextInputProps } from '@mantine/core';
import { IconEye, IconEyeOff } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';
import { passwordStrength, randomSecret, type Strength } from './strength';
import './ui.css';

export interface SecretInputProps extends Omit<TextInputProps, 'value' | 'onChange' | 'type'> {
  /** null: the stored one, which the browser does not know. */
  readonly value: string | null;
  readonly onChange: (value: string) => void;
  /** Fetches the stored secret; absent when that is not possible or not allowed. */
  readonly onReveal?: () => Promise<string>;
  readonly canGenerate: boolean;
  /** Off for what is not a password, such as a PIN of digits. */
  readonly showStrength?: boolean;
  readonly texts: {
    readonly show: string;
    readonly hide: string;
    readonly generate: string;
    readonly stored: string;
    readonly strength: string;
    readonly levels: readonly [string, string, string, string, string];
  };
}

const colors: Readonly<Record<Strength, string>> = { 0: 'red', 1: 'orange', 2: 'yellow', 3: 'lime', 4: 'green' };

/** A password or SIP secret: masked, shown on a click, generated, with its strength in words. */
export function SecretInput(props: SecretInputProps): ReactNode {
  const { value, onChange, onReveal, canGenerate, showStrength = true, texts, disabled, ...input } = props;
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [fetched, setFetched] = useState<string | null>(null);
  const text = value ?? fetched ?? '';
  const isStored = value === null;

  const toggle = async (): Promise<void> => {
    if (!shown && isStored && fetched === null) {
      if (!onReveal) return;
      setBusy(true);
      try {
        setFetched(await onReveal());
      } catch {
        return; /* who gave onReveal says why */
      } finally {
        setBusy(false);
      }
    }
    setShown(!shown);
  };
  const canShow = text !== '' || (isStored && onReveal !== undefined);
  const label = shown ? texts.hide : texts.show;

  return (
    <Stack gap={6}>
      <Group gap="xs" wrap="nowrap" align="flex-end">
        <TextInput
          {...input}
          style={{ flex: 1 }}
          type={shown ? 'text' : 'password'}
          styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
          value={shown || !isStored ? text : ''}
          placeholder={isStored ? texts.stored : ''}
          disabled={disabled === true}
          autoComplete="new-password"
          spellCheck={false}
          onChange={(event) => onChange(event.currentTarget.value)}
          rightSection={
            canShow ? (
              <Tooltip label={label}>
                <ActionIcon variant="subtle" color="gray" aria-label={label} loading={busy} onClick={() => void toggle()}>
                  {shown ? <IconEyeOff size={16} /> : <IconEye size={16} />}
                </ActionIcon>
              </Tooltip>
            ) : null
          }
        />
        {canGenerate && !disabled && (
          <Button
            variant="default"
            onClick={() => {
              onChange(randomSecret());
              setShown(true);
            }}
          >
            {texts.generate}
          </Button>
        )}
      </Group>
      {showStrength && value !== null && value !== '' && <StrengthMeter password={value} texts={texts} />}
    </Stack>
  );
}

function StrengthMeter({ password, texts }: { password: string; texts: SecretInputProps['texts'] }): ReactNode {
  const level = passwordStrength(password);
  return (
    <div className="ui-strength" aria-live="polite">
      {[0, 1, 2, 3, 4].map((step) => (
        <i key={step} style={step <= level ? { background: `var(--mantine-color-${colors[level]}-6)` } : {}} />
      ))}
      <Text size="xs" ml="xs">
        {texts.strength}: {texts.levels[level]}
      </Text>
    </div>
  );
}
