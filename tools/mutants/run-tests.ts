import { spawn } from 'node:child_process'
import { join } from 'node:path'

export type TestRun = {
  readonly passed: boolean
  /** The violation that a test reported, in one line. Undefined when there was none. */
  readonly complaint: string | undefined
  /** The whole output. */
  readonly output: string
  readonly seconds: number
}

/** A bug may cause an endless run. On an idle machine no run takes a tenth of this. */
const longestMs = 600_000

/** How long tests may take to stop their servers after a request to end. */
const farewellMs = 5000

/** The message of a simulation, with the seed and the step to reproduce it. */
const complaintIn = (output: string): string | undefined => {
  const said = /Violation: (.*)\n.*?(SEED=\d+, step \d+)/.exec(output)
  return said ? `${said[1]?.slice(0, 60)} (${said[2]})` : undefined
}

/** Ends the whole process group when the signal aborts, because a mutant may leave a worker in a loop that handles no signal. */
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

/** Runs some test files of the tree at `path`, up to the first failure. The signal ends them. */
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
    // A worker that outlives its parent may hold the output open.
    child.on('exit', ended)
  })
  const seconds = (performance.now() - startedMs) / 1000
  return { passed: code === 0, complaint: complaintIn(output), output, seconds }
}
