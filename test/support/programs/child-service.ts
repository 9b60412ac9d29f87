import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { freePort } from '../servers/free-port.ts'
import { startsFaster } from './compile-cache.ts'
import { scratchFolder } from './scratch-folder.ts'

const ownEntry = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))

/** So that a busy machine is not taken for a store that is away. Together less than the grace of a refresh, as they must be. */
export const patientSettings = {
  DATABASE_CONNECT_TIMEOUT_MS: '4000',
  DATABASE_STATEMENT_TIMEOUT_MS: '5000',
}

/** Limits that only the tests of limits should meet: all requests of a run come from one address, and some runs share a Redis. */
const roomy = {
  ...patientSettings,
  LOGIN_FAILURES_PER_SOURCE: '1000000',
  LOGIN_FAILURES_PER_NETWORK: '1000000',
  LOGIN_FAILURES_GLOBAL: '1000000',
  LOGGED_ACTS_PER_ACCOUNT: '1000000',
}

export type Ending = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

export type ChildService = {
  readonly pid: number
  readonly stdout: () => string
  readonly stderr: () => string
  /** Resolves with how the process ended; a signal that it handled is an exit code. */
  readonly ended: Promise<Ending>
  readonly signal: (signal: NodeJS.Signals) => void
  /** As Ctrl-C in a terminal: to the whole process group. */
  readonly signalGroup: (signal: NodeJS.Signals) => void
}

/** Descriptors that take the place of the pipes, which the test process reads; then nothing is known of what was written. */
export type ServiceOutputs = {
  readonly stdout?: number | 'pipe'
  readonly stderr?: number | 'pipe'
}

export type ServiceHome = {
  /** The working directory; `.data` in it is the service's own. */
  readonly folder: string
  readonly address: string
  /** The process, started and left to itself. */
  readonly spawn: (
    environment?: Readonly<Record<string, string>>,
    outputs?: ServiceOutputs,
  ) => ChildService
  /** The process, once it listens. Throws with what it wrote when it ends before. */
  readonly start: (environment?: Readonly<Record<string, string>>) => Promise<ChildService>
  /** Ends every process that was started here and removes the folder. */
  readonly remove: () => Promise<void>
}

const describeChild = (child: ChildProcess): ChildService => {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const pid = child.pid ?? 0
  return {
    pid,
    stdout: () => stdout,
    stderr: () => stderr,
    // `close` and not `exit`: all output has been read by then.
    ended: once(child, 'close').then(([code, signal]) => ({ code, signal })),
    signal: (signal) => {
      child.kill(signal)
    },
    signalGroup: (signal) => {
      process.kill(-pid, signal)
    },
  }
}

/** Resolves when the process says where it listens. */
const listening = async (child: ChildProcess, service: ChildService): Promise<void> =>
  await new Promise((resolve, reject) => {
    child.stdout?.on('data', () => {
      if (service.stdout().includes('Cardea listens on')) resolve()
    })
    child.once('error', reject)
    child.once('close', () =>
      reject(new Error(`the service ended:\n${service.stdout()}${service.stderr()}`)),
    )
  })

/** A folder and a port in which the real process, `node src/main.ts`, is started again and again. */
export const serviceHome = async (
  base: Readonly<Record<string, string>> = {},
  entry = ownEntry,
): Promise<ServiceHome> => {
  const { PATH: path } = process.env
  const scratch = await scratchFolder('service')
  const port = await freePort()
  const running = new Map<ChildProcess, ChildService>()
  const launch = (
    environment: Readonly<Record<string, string>> = {},
    { stdout = 'pipe', stderr = 'pipe' }: ServiceOutputs = {},
  ) => {
    const child = spawn(process.execPath, [entry], {
      cwd: scratch.path,
      // Nothing of the environment of the tests: a stray setting would change what is tested.
      env: {
        ...startsFaster,
        PATH: path ?? '',
        PORT: String(port),
        ...roomy,
        ...base,
        ...environment,
      },
      // A process group of its own, so that a signal to the group does not reach the tests.
      detached: true,
      stdio: ['ignore', stdout, stderr],
    })
    scratch.watch(child.pid ?? '')
    const service = describeChild(child)
    running.set(child, service)
    child.once('close', () => running.delete(child))
    return { child, service }
  }
  return {
    folder: scratch.path,
    address: `http://127.0.0.1:${port}`,
    spawn: (environment, outputs) => launch(environment, outputs).service,
    start: async (environment) => {
      const { child, service } = launch(environment)
      await listening(child, service)
      return service
    },
    remove: async () => {
      for (const service of running.values()) {
        service.signal('SIGCONT')
        service.signal('SIGKILL')
        await service.ended
      }
      await scratch.remove()
    },
  }
}

/** The password of the first operator, as the first start prints it. */
export const printedPassword = (service: ChildService): string => {
  const found = /password {2}(\S+)/.exec(service.stdout())
  if (!found?.[1]) throw new Error('the service printed no password')
  return found[1]
}

export const firstOperatorEmail = 'operator@cardea.localhost'
