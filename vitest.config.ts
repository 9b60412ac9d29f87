import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { patienceMs } from './test/support/patience-ms.ts'
import { SlowestFirst } from './test/support/slowest-first.ts'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/patience.ts'],
    sequence: { sequencer: SlowestFirst },
    // Processes, not threads: tests signal, kill and freeze processes of their own, and native hashing wants a process to itself.
    pool: 'forks',
    // Much of a test is waiting, so that two files at once are worth it on two cores too.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // They end what hangs, and are no statement about speed: see patience.ts.
    testTimeout: 5 * patienceMs,
    hookTimeout: 5 * patienceMs,
    expect: { poll: { timeout: patienceMs, interval: 20 } },
  },
})
