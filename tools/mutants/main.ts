// Plants one bug after the other in a copy of the working tree and runs the tests that must find it. Fails when one is not found, or when
// the tests fail without a bug.
import { fileURLToPath } from 'node:url'
import { type Mutant, mutants } from './mutants.ts'
import { runTests, type TestRun } from './run-tests.ts'
import { copyTree, type TreeCopy } from './tree-copy.ts'

const project = fileURLToPath(new URL('../../', import.meta.url))

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const interrupted = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => interrupted.abort(new Error(`ended by ${name}`)))
}

const line = (what: string, { seconds }: TestRun, result: string): string =>
  `${what.padEnd(64)} ${seconds.toFixed(1).padStart(5)} s  ${result}`

/** A mutant that fails in another way than by a reported violation proves nothing. */
const tryMutant = async (copy: TreeCopy, { name, edits, tests }: Mutant): Promise<boolean> => {
  const run = await copy.withEdits(edits, () => runTests(copy.path, [tests], interrupted.signal))
  interrupted.signal.throwIfAborted()
  const isFound = !run.passed && run.complaint !== undefined
  say(line(name, run, isFound ? `found by ${run.complaint}` : 'SURVIVES'))
  if (!run.passed && !isFound) say(run.output)
  return isFound
}

const tryAll = async (copy: TreeCopy): Promise<boolean> => {
  const files = [...new Set(mutants.map(({ tests }) => tests))]
  const unchanged = await runTests(copy.path, files, interrupted.signal)
  interrupted.signal.throwIfAborted()
  say(line('the tree as it is', unchanged, unchanged.passed ? 'passes' : 'FAILS'))
  if (!unchanged.passed) say(unchanged.output)
  if (!unchanged.passed) return false
  let survivors = 0
  for (const mutant of mutants) if (!(await tryMutant(copy, mutant))) survivors += 1
  say(survivors === 0 ? `all ${mutants.length} bugs are found` : `${survivors} are not found`)
  return survivors === 0
}

const copy = await copyTree(project)
try {
  if (!(await tryAll(copy))) process.exitCode = 1
} catch (error) {
  say(`error: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
} finally {
  await copy.remove()
}
