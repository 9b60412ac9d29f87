import { mkdir, writeFile } from 'node:fs/promises'
import { type BenchOptions, readCommandLine, usage } from './command-line.ts'
import { canPin, describeMachine, moveToCore } from './machine.ts'
import type { Detail, Row } from './row.ts'
import type { Scenario } from './scenario.ts'
import { openStage } from './stage.ts'
import { tables } from './table.ts'

/** Ignored by git. Published figures come from the documentation page, which has a whole table with its date and machine. */
const results = new URL('results/', import.meta.url)

const print = (text: string): void => {
  process.stdout.write(text)
}

type Placement = { readonly scenarios: readonly Scenario[]; readonly pinned: boolean }

/** Runs the scenarios one after the other. No other part of the bench runs meanwhile. */
const runAll = async (options: BenchOptions, { scenarios, pinned }: Placement) => {
  const rows: Row[] = []
  const details: Detail[] = []
  if (scenarios.length === 0) return { rows, details }
  if (pinned) moveToCore(1)
  const stage = await openStage({ ...options, pinned })
  try {
    for (const scenario of scenarios) {
      print(`${scenario.name} …`)
      const startMs = performance.now()
      const findings = await scenario.run(stage)
      print(` ${((performance.now() - startMs) / 1000).toFixed(0)} s\n`)
      rows.push(...findings.rows)
      details.push(...findings.details)
    }
  } finally {
    await stage.close()
  }
  return { rows, details }
}

/** Measures, prints, writes `results/latest.json`. The exit code is 1 when a limit is missed. */
const bench = async (options: BenchOptions): Promise<void> => {
  const mayPin = canPin()
  const isPinned = (scenario: Scenario): boolean => mayPin && scenario.pinned === true
  const pinned = options.scenarios.filter(isPinned)
  const free = options.scenarios.filter((scenario) => !isPinned(scenario))
  const machine = describeMachine(pinned.map(({ name }) => name))
  // In this order, because a process that was bound to one core stays there with all its children.
  const unbound = await runAll(options, { scenarios: free, pinned: false })
  const bound = await runAll(options, { scenarios: pinned, pinned: true })
  const rows = [...bound.rows, ...unbound.rows]
  const details = [...bound.details, ...unbound.details]
  print(`\n${tables(machine, rows, details)}`)
  await mkdir(results, { recursive: true })
  const report = { machine, secondsPerRound: options.seconds, rows, details }
  await writeFile(new URL('latest.json', results), `${JSON.stringify(report, undefined, 2)}\n`)
  const missed = rows.filter(({ isHeld }) => isHeld === false)
  if (missed.length === 0) return
  print(`\nnot held: ${missed.map(({ what }) => what).join('; ')}\n`)
  process.exitCode = 1
}

const readOptions = (): BenchOptions | undefined => {
  try {
    return readCommandLine(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    process.stderr.write(`error: ${error.message}\n${usage}`)
    process.exitCode = 2
    return undefined
  }
}

const options = readOptions()
if (options) await bench(options)
