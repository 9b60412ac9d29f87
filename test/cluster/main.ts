import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { control, faults } from './cases.ts'
import { heading, legend, rowOf } from './table.ts'
import { runTrial, type TrialCase } from './trial.ts'

const usage = `npm run trial -- [--only TEXT] [--logs FOLDER]
  --only TEXT    the cases whose name contains this
  --logs FOLDER  writes there what the processes of each case wrote
`

const print = (text: string): void => {
  process.stdout.write(text)
}

const keepLogs = async (folder: string, name: string, outputs: readonly string[]) => {
  await mkdir(folder, { recursive: true })
  const file = (place: number) => `${name.replaceAll(/\W+/g, '-')}-process-${place + 1}.log`
  for (const [place, output] of outputs.entries()) {
    await writeFile(join(folder, file(place)), output)
  }
}

/** Whether it went as it should. */
const playOne = async (one: TrialCase, logs: string | undefined): Promise<boolean> => {
  const outcome = await runTrial(one)
  print(rowOf(one.name, outcome))
  if (logs !== undefined) await keepLogs(logs, one.name, outcome.outputs)
  if (outcome.problems.length === 0) return true
  print(`  FAILED: ${outcome.problems.join('; ')}\n`)
  for (const note of outcome.notes) print(`    ${note}\n`)
  return false
}

/** Plays the cases one after the other. The exit code is 1 when one of them failed. */
const playAll = async (cases: readonly TrialCase[], logs: string | undefined): Promise<void> => {
  const startMs = performance.now()
  print(heading())
  for (const one of cases) {
    const isGood = await playOne(one, logs).catch((error: unknown) => {
      print(`${one.name}\n  FAILED: ${error instanceof Error ? error.stack : error}\n`)
      return false
    })
    if (!isGood) process.exitCode = 1
  }
  print(legend)
  print(`\n${((performance.now() - startMs) / 60_000).toFixed(1)} minutes\n`)
}

try {
  const { values } = parseArgs({ options: { only: { type: 'string' }, logs: { type: 'string' } } })
  const { only = '', logs } = values
  const chosen = [control, ...faults].filter(({ name }) => name.includes(only))
  await playAll(chosen, logs)
} catch (error) {
  if (!(error instanceof TypeError && 'code' in error)) throw error
  process.stderr.write(`error: ${error.message}\n${usage}`)
  process.exitCode = 2
}
