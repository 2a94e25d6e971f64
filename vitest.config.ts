import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes, not threads: tests change umask, signals and environment as a process does.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    globalSetup: ['./scripts/build-before-tests.mjs'],
    reporters: ['default', './scripts/skipped-reporter.mjs'],
  },
});
