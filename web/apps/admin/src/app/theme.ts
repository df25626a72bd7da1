import { Badge, createTheme, type CSSVariablesResolver, type MantineThemeOverride } from '@mantine/core';

/* Shade 8 in the light and 5 in the dark appearance keep text on it above a contrast of 4.5. */
export const theme: MantineThemeOverride = createTheme({
  primaryColor: 'cyan',
  primaryShade: { light: 9, dark: 9 },
  autoContrast: true,
  defaultRadius: 'sm',
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  components: {
    /* The tint is decoration; the words keep the contrast of text. */
    Badge: Badge.extend({ styles: { label: { color: 'var(--mantine-color-text)' } } }),
  },
  headings: { sizes: { h1: { fontSize: '1.6rem' }, h2: { fontSize: '1.25rem' }, h3: { fontSize: '1.05rem' } } },
});

/** Help texts and problems must be as readable as the rest (WCAG 2.1, 1.4.3: contrast 4.5). */
export const cssVariables: CSSVariablesResolver = (given) => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': given.colors.gray[7],
    '--mantine-color-placeholder': given.colors.gray[7],
    '--mantine-color-error': given.colors.red[9],
  },
  dark: {
    '--mantine-color-dimmed': given.colors.dark[1],
    '--mantine-color-placeholder': given.colors.dark[1],
    '--mantine-color-error': given.colors.red[4],
  },
});
