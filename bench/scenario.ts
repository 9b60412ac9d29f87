import type { Findings } from './row.ts'
import type { Stage } from './stage.ts'

export type Scenario = {
  /** The name on the command line. */
  readonly name: string
  /** Measures a single thread: it gets its own core, and Postgres and the load get the other one. */
  readonly pinned?: true
  readonly run: (stage: Stage) => Promise<Findings>
}
