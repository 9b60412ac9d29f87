import { availableParallelism } from 'node:os'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import { patienceMs } from './test/support/run/patience-ms.ts'
import { SlowestFirst } from './test/support/run/slowest-first.ts'

const everywhere = {
  exclude: ['**/node_modules/**', '**/dist/**'],
  setupFiles: ['test/support/run/patience.ts'],
  // Processes, not threads: tests signal, kill and freeze processes of their own, and native hashing wants a process to itself.
  pool: 'forks' as const,
  // They end what hangs, and are no statement about speed: see patience.ts.
  testTimeout: 5 * patienceMs,
  hookTimeout: 5 * patienceMs,
  expect: { poll: { timeout: patienceMs, interval: 20 } },
}

const simulation = 'test/simulation/**/*.test.ts'

/**
 * The test files of one process share its modules: loading them anew for each of 300 files takes a third of the processor time. A test
 * therefore leaves nothing behind in a module or in a global of its process.
 */
const shared: TestProjectInlineConfiguration = {
  test: {
    ...everywhere,
    name: 'shared',
    include: ['test/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
    exclude: [...everywhere.exclude, simulation],
    isolate: false,
  },
}

/** What the simulation does next depends on the order of everything in its process, so that it has one to itself. */
const alone: TestProjectInlineConfiguration = {
  test: { ...everywhere, name: 'alone', include: [simulation], isolate: true },
}

export default defineConfig({
  test: {
    projects: [shared, alone],
    globalSetup: ['test/support/run/global-setup.ts'],
    sequence: { sequencer: SlowestFirst },
    // Much of a test is waiting, so that three files at once are worth it on two cores.
    maxWorkers: Math.max(3, availableParallelism() - 1),
  },
})
