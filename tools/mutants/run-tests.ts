import { spawn } from 'node:child_process'
import { join } from 'node:path'

export type TestRun = {
  readonly passed: boolean
  /** What a test complained of, in one line; undefined when none did. */
  readonly complaint: string | undefined
  /** Everything that was printed. */
  readonly output: string
  readonly seconds: number
}

/** A bug may leave a run without an end. On a quiet machine no run takes a tenth of this. */
const longestMs = 600_000

/** Asked to end, tests need this long to end their servers. */
const farewellMs = 5000

/** The message of a simulation, with the seed and the step that repeat it. */
const complaintIn = (output: string): string | undefined => {
  const said = /Violation: (.*)\n.*?(SEED=\d+, step \d+)/.exec(output)
  return said ? `${said[1]?.slice(0, 60)} (${said[2]})` : undefined
}

/** Ends the whole process group when the signal aborts: a mutant may leave a worker in a loop that hears nothing. */
const endOn = (signal: AbortSignal, pid: number): (() => void) => {
  let farewell: NodeJS.Timeout | undefined
  const tell = (what: NodeJS.Signals) => {
    try {
      process.kill(-pid, what)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  const end = () => {
    tell('SIGTERM')
    farewell = setTimeout(tell, farewellMs, 'SIGKILL')
  }
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  return () => {
    signal.removeEventListener('abort', end)
    clearTimeout(farewell)
    tell('SIGKILL')
  }
}

/** Runs some test files of the tree at `path`, up to the first that fails. The signal ends them. */
export const runTests = async (
  path: string,
  files: readonly string[],
  signal: AbortSignal,
): Promise<TestRun> => {
  const startedMs = performance.now()
  const vitest = join(path, 'node_modules/.bin/vitest')
  const child = spawn(process.execPath, [vitest, 'run', '--bail=1', '--no-color', ...files], {
    cwd: path,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
    detached: true,
  })
  if (child.pid === undefined) throw new Error(`${vitest} could not be started`)
  const ended = endOn(AbortSignal.any([signal, AbortSignal.timeout(longestMs)]), child.pid)
  let output = ''
  const keep = (chunk: Buffer) => {
    output += chunk.toString()
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const code = await new Promise<number | null>((resolve) => {
    child.on('close', resolve)
    // The group's last words may be held back by a worker that goes on without its parent.
    child.on('exit', ended)
  })
  const seconds = (performance.now() - startedMs) / 1000
  return { passed: code === 0, complaint: complaintIn(output), output, seconds }
}
