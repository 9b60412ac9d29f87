import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    globalSetup: ['test/support/global-setup.ts'],
    // Processes, not threads: tests signal, kill and freeze processes of their own, and native hashing wants a process to itself.
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
