import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { inject } from 'vitest'
import { createCluster } from '../../packages/embedded-stores/src/cluster.ts'
import {
  endLeftOverPostgres,
  processesOn,
  startEmbeddedPostgres,
} from '../../packages/embedded-stores/src/index.ts'
import { findBinaries, launcherHere } from '../../packages/embedded-stores/src/launcher.ts'
import { scratchFolder } from './scratch-folder.ts'

export type PostgresServer = {
  readonly ownerUrl: string
  readonly appUrl: string
  /** Of the postmaster that runs now; another one after `restart`. */
  readonly pid: number
  /** Ends the server for good and removes its folder. */
  readonly stop: () => Promise<void>
  /** As by a power cut: every process of the server at once. `restart` recovers what was committed. */
  readonly kill: () => Promise<void>
  /** The same data on the same port, after ending the old server. */
  readonly restart: () => Promise<void>
  /** Stops every process of the server: connections stay open and nothing is answered, until `thaw`. */
  readonly freeze: () => Promise<void>
  readonly thaw: () => Promise<void>
}

const run = promisify(execFile)

/** `initdb` takes most of the start of a new server, so it runs once: every server of the run begins with a copy. */
export const makeClusterTemplate = async (directory: string): Promise<void> => {
  const binaries = findBinaries()
  const launcher = await launcherHere()
  await createCluster({ directory, binaries, launcher })
}

const portOf = (url: string): string => new URL(url).port

/** A process that has ended since somebody looked needs no signal any more. */
export const signalIfThere = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch (error) {
    const hasEnded = error instanceof Error && 'code' in error && error.code === 'ESRCH'
    if (!hasEnded) throw error
  }
}

/** What survives the machine is not tested: a killed server finds what it had written in the memory of the system. */
const testSettings = { fsync: 'off' }

/** None where the tests share nothing, as those of planted bugs, and outside of vitest: then `initdb` runs. */
const sharedTemplate = (): string | undefined => {
  try {
    return inject('postgresTemplate')
  } catch {
    return undefined
  }
}

/** A Postgres of the test's own, with an empty database and the two roles. `settings` are those of `postgresql.conf`. */
export const startPostgres = async (
  settings: Readonly<Record<string, string>> = {},
  template = sharedTemplate(),
): Promise<PostgresServer> => {
  const folder = await scratchFolder('postgres')
  if (template !== undefined) await run('cp', ['-a', template, join(folder.path, 'postgres')])
  const directory = join(folder.path, 'postgres')
  const start = async (extra: Readonly<Record<string, string>>) => {
    const server = await startEmbeddedPostgres({
      directory,
      settings: { ...testSettings, ...settings, ...extra },
    })
    folder.watch(server.pid)
    return server
  }
  const first = await start({}).catch(async (error: unknown) => {
    await folder.remove()
    throw error
  })
  let current = first
  const signalAll = async (signal: NodeJS.Signals) => {
    for (const pid of await processesOn(directory)) signalIfThere(pid, signal)
  }
  const stop = async () => {
    await signalAll('SIGCONT')
    await current.stop()
  }
  return {
    ownerUrl: first.ownerUrl,
    appUrl: first.appUrl,
    get pid() {
      return current.pid
    },
    stop: async () => {
      await stop()
      await folder.remove()
    },
    kill: async () => {
      await signalAll('SIGKILL')
      await endLeftOverPostgres(directory)
    },
    restart: async () => {
      await stop()
      current = await start({ port: portOf(first.ownerUrl) })
    },
    freeze: async () => {
      // The postmaster first, so that it starts no child after the look.
      process.kill(current.pid, 'SIGSTOP')
      await signalAll('SIGSTOP')
    },
    thaw: async () => await signalAll('SIGCONT'),
  }
}

export type FreshDatabase = {
  readonly ownerUrl: string
  readonly appUrl: string
  readonly drop: () => Promise<void>
}

const onDatabase = (url: string, name: string): string => {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}

const runAsOwner = async (url: string, statements: readonly string[]): Promise<void> => {
  const client = new pg.Client(url)
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}

/** For `freshDatabase`: the server's database with the tables of this version, of which a copy costs a tenth of the migrations. */
export const migratedTemplate = 'cardea_migrated'

/**
 * A database of its own in the server that the whole run shares: what one test does, no other sees. It is empty, or has the tables of
 * this version.
 */
export const freshDatabase = async ({ isMigrated = false } = {}): Promise<FreshDatabase> => {
  const server = { ownerUrl: inject('postgresOwnerUrl'), appUrl: inject('postgresAppUrl') }
  const name = `test_${randomBytes(8).toString('hex')}`
  const appRole = decodeURIComponent(new URL(server.appUrl).username)
  await runAsOwner(server.ownerUrl, [
    `CREATE DATABASE ${name}${isMigrated ? ` TEMPLATE ${migratedTemplate}` : ''}`,
    `REVOKE ALL ON DATABASE ${name} FROM PUBLIC`,
    `GRANT CONNECT ON DATABASE ${name} TO "${appRole}"`,
  ])
  const ownerUrl = onDatabase(server.ownerUrl, name)
  await runAsOwner(ownerUrl, ['REVOKE CREATE ON SCHEMA public FROM PUBLIC'])
  return {
    ownerUrl,
    appUrl: onDatabase(server.appUrl, name),
    drop: async () =>
      await runAsOwner(server.ownerUrl, [`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`]),
  }
}
