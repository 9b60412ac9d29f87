import type { Findings } from './row.ts'
import type { Stage } from './stage.ts'

export type Scenario = {
  /** What the command line calls it. */
  readonly name: string
  readonly run: (stage: Stage) => Promise<Findings>
}
