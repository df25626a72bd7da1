import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [react()],
  test: {
    environment: 'jsdom',
    environmentOptions: { jsdom: { url: 'https://pbx.example/' } },
    include: ['packages/*/test/**/*.test.ts', 'packages/*/test/**/*.test.tsx', 'apps/*/test/**/*.test.{ts,tsx}'],
    setupFiles: ['./apps/admin/test/setup.ts'],
    testTimeout: 120_000,
    restoreMocks: true,
  },
});
