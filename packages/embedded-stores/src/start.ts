import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, open, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { clusterFolder, createCluster, hasCluster, readPasswords, urlsFor } from './cluster.ts'
import { findBinaries, type Launcher, launcherHere, type PostgresBinaries } from './launcher.ts'
import { plainEnvironment, startWatchdog } from './run-program.ts'
import { endLeftOverPostgres, type RunningPostgres, readPostmaster } from './running.ts'

export type EmbeddedPostgresOptions = {
  /** The folder of the cluster (`<DATA_DIR>/postgres`), created when missing. Its parent also gets `postgres.log`. */
  readonly directory: string
  /** Additional settings of Postgres, as `-c name=value`. A `port` here is used unchanged. Otherwise any free one is used. */
  readonly settings?: Readonly<Record<string, string>>
  /** How to drop root privileges. Found by trying when it is not given. */
  readonly launcher?: Launcher
}

export type EmbeddedPostgres = RunningPostgres & {
  /**
   * Fast shutdown: open transactions are rolled back, everything committed is on disk. Immediate shutdown after 5 s, SIGKILL after 10 s.
   */
  readonly stop: () => Promise<void>
  /** Resolves when Postgres ends unexpectedly. */
  readonly exited: Promise<void>
}

/** How long crash recovery may take before a start fails. */
const readyWithinMs = 60_000

const freePort = async (): Promise<number> =>
  await new Promise((resolvePort, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolvePort(port))
    })
  })

class StartFailed extends Error {
  readonly portWasTaken: boolean

  constructor(why: string, logFile: string, log: string) {
    const lastLines = log.trim().split('\n').slice(-8).join('\n')
    super(`the embedded Postgres ${why}; the last lines of ${logFile}:\n${lastLines}`)
    this.name = 'StartFailed'
    this.portWasTaken = log
      .split('\n')
      .some((line) => line.includes('could not bind') && line.includes('Address already in use'))
  }
}

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null

const stopProcess = async (child: ChildProcess): Promise<void> => {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (hasEnded(child)) return
    const ended = new Promise<void>((resolveEnd) => child.once('exit', () => resolveEnd()))
    child.kill(signal)
    const waiting = new AbortController()
    const timeout = sleep(5000, undefined, { signal: waiting.signal }).catch(() => undefined)
    await Promise.race([ended, timeout])
    waiting.abort()
  }
}

type Launch = {
  readonly directory: string
  readonly binaries: PostgresBinaries
  readonly launcher: Launcher
  readonly settings: Readonly<Record<string, string>>
}

/** Starts the postmaster and returns when it accepts connections. */
const launch = async ({ directory, binaries, launcher, settings }: Launch) => {
  const logFile = join(dirname(directory), 'postgres.log')
  const log = await open(logFile, 'w', 0o600)
  const settingArgs = Object.entries(settings).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ])
  const program = launcher.wrap(binaries.postgres, ['-D', clusterFolder(directory), ...settingArgs])
  // A separate session: Ctrl-C in the terminal must not reach Postgres before the service has finished its requests.
  const child = spawn(program.command, program.args, {
    env: plainEnvironment,
    cwd: '/',
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  })
  let spawnError: Error | undefined
  child.once('error', (error) => {
    spawnError = error
  })
  await log.close()
  if (child.pid !== undefined) child.once('exit', startWatchdog(child.pid))
  for (let waitedMs = 0; waitedMs < readyWithinMs && !hasEnded(child); waitedMs += 10) {
    const postmaster = await readPostmaster(directory)
    if (postmaster?.isReady && postmaster.pid === child.pid) return { child, postmaster }
    if (spawnError !== undefined) throw spawnError
    await sleep(10)
  }
  const why = hasEnded(child) ? 'did not start' : 'was not ready in time'
  await stopProcess(child)
  throw new StartFailed(why, logFile, await readFile(logFile, 'utf8'))
}

/** Another program may take a free port before Postgres does. Then another port is tried. */
const launchOnFreePort = async (options: Launch): ReturnType<typeof launch> => {
  for (let attempt = 1; ; attempt += 1) {
    const { port: wantedPort } = options.settings
    const settings = { ...options.settings, port: wantedPort ?? String(await freePort()) }
    try {
      return await launch({ ...options, settings })
    } catch (error) {
      const mayTryAgain = attempt < 3 && wantedPort === undefined
      if (!(mayTryAgain && error instanceof StartFailed && error.portWasTaken)) throw error
    }
  }
}

/**
 * Starts the Postgres of `directory`. Ends a left-over one first, and makes the cluster if there is none. The caller holds the lock of the
 * data directory. Throws with the last lines of Postgres's log when it does not start.
 */
export const startEmbeddedPostgres = async (
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> => {
  const directory = resolve(options.directory)
  const binaries = findBinaries()
  const launcher = options.launcher ?? (await launcherHere())
  await mkdir(dirname(directory), { recursive: true, mode: 0o700 })
  await endLeftOverPostgres(directory)
  if (!(await hasCluster(directory, launcher))) {
    await createCluster({ directory, binaries, launcher })
  }
  const passwords = await readPasswords(directory)
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    // Without DETAIL lines, which quote the values of failing rows.
    log_error_verbosity: 'terse',
    ...options.settings,
  }
  const { child, postmaster } = await launchOnFreePort({ directory, binaries, launcher, settings })

  let isStopping = false
  const exited = new Promise<void>((resolveExit) => {
    child.once('exit', () => {
      if (!isStopping) resolveExit()
    })
  })
  const stop = async () => {
    isStopping = true
    await stopProcess(child)
  }
  return { ...urlsFor(passwords, postmaster.port), pid: postmaster.pid, exited, stop }
}
