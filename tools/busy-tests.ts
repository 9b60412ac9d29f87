// Runs the whole suite under load: with busy loops in parallel, and on one processor. Prints how long each run took, and fails when one has
// failed. Arguments are passed to vitest: `npm run test:busy -- test/sessions`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'

const busyLoops = 4

type Run = {
  readonly name: string
  readonly loops: number
  /** Put before the command of the suite. */
  readonly prefix: readonly string[]
}

const runs: readonly Run[] = [
  { name: `with ${busyLoops} busy loops`, loops: busyLoops, prefix: [] },
  { name: 'on one processor', loops: 0, prefix: ['taskset', '--cpu-list', '0'] },
]

/** Ends when this process has ended and it has another parent. So it never outlives the run, even after a SIGKILL. */
const loop = `
  const parent = process.ppid
  while (process.ppid === parent) for (let turn = 0; turn < 1e8; turn += 1);
`

const interrupted = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => interrupted.abort(new Error(`ended by ${name}`)))
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const runSuite = async ({ prefix }: Run): Promise<boolean> => {
  const [program = '', ...args] = [...prefix, 'vitest', 'run', ...process.argv.slice(2)]
  const suite = spawn(program, args, { stdio: 'inherit', signal: interrupted.signal })
  const [code] = await once(suite, 'exit')
  return code === 0
}

const timed = async (run: Run): Promise<{ readonly passed: boolean; readonly line: string }> => {
  const loops = Array.from({ length: run.loops }, () =>
    spawn(process.execPath, ['--eval', loop], { stdio: 'ignore' }),
  )
  const startedMs = performance.now()
  try {
    const passed = await runSuite(run)
    const seconds = Math.round((performance.now() - startedMs) / 1000)
    const line = `${run.name.padEnd(20)} ${passed ? 'passed' : 'FAILED'} in ${seconds} s`
    return { passed, line }
  } finally {
    for (const child of loops) child.kill('SIGKILL')
  }
}

const lines: string[] = []
for (const run of runs) {
  const { passed, line } = await timed(run)
  lines.push(line)
  if (!passed) process.exitCode = 1
}
say(`\nThe suite on a machine with ${availableParallelism()} processors:\n${lines.join('\n')}`)
