import { defineConfig } from 'vitest/config';

import { SecondTry } from './lib/second-try.js';

// Real processes on one machine: files run one after another, so that phones never wait for CPU.
export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 90_000,
    fileParallelism: false,
    // A telephone call, too, is tried again; scripts/test.sh tells of each and fails when they are more than a few.
    retry: 1,
    reporters: ['verbose', new SecondTry()],
  },
});
