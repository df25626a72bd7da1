import { defineConfig } from 'vitest/config';

// Real processes on one machine: files run one after another, so that phones never wait for CPU.
export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 90_000,
    fileParallelism: false,
    reporters: ['verbose'],
  },
});
