import type { Findings } from './row.ts'
import type { Stage } from './stage.ts'

export type Scenario = {
  /** What the command line calls it. */
  readonly name: string
  /** One thread is measured: it gets a core of its own, and Postgres and the load the other one. */
  readonly pinned?: true
  readonly run: (stage: Stage) => Promise<Findings>
}
