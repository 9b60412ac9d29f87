import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DataDirInUse, lockDataDir } from './data-dir-lock.ts'
import { findRunningEmbeddedPostgres } from './running.ts'
import { startEmbeddedPostgres } from './start.ts'

export type OpenOptions = {
  readonly dataDir: string
  /** A command uses the Postgres of a running service. The service itself must be the only one on the folder. */
  readonly joinsRunning: boolean
  /** For processes that find the folder locked. Never a secret. */
  readonly note?: unknown
}

/** The URLs contain the passwords. Use them for the pool only, never in a log or on a command line. */
export type OpenPostgres = {
  /** With the role that owns the database and runs the migrations. */
  readonly ownerUrl: string
  /** With the role of the running service, which owns nothing. */
  readonly appUrl: string
  /** Resolves when Postgres ends unexpectedly. Never resolves for the Postgres of another process. */
  readonly lost: Promise<void>
  /** Ends Postgres and unlocks the folder. Does nothing to the Postgres of another process. */
  readonly close: () => Promise<void>
}

const postgresFolder = (dataDir: string): string => join(dataDir, 'postgres')

/** Whether an earlier start has made a cluster. Its folder gets this name when it is complete. */
export const hasEmbeddedPostgres = (dataDir: string): boolean => existsSync(postgresFolder(dataDir))

const start = async ({ dataDir, note }: OpenOptions): Promise<OpenPostgres> => {
  const lock = await lockDataDir(dataDir, note)
  try {
    const postgres = await startEmbeddedPostgres({ directory: postgresFolder(dataDir) })
    const { ownerUrl, appUrl, exited } = postgres
    return {
      ownerUrl,
      appUrl,
      lost: exited,
      close: async () => {
        await postgres.stop()
        await lock.release()
      },
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}

const joinRunning = async (dataDir: string, inUse: DataDirInUse): Promise<OpenPostgres> => {
  const running = await findRunningEmbeddedPostgres(postgresFolder(dataDir))
  if (!running) throw inUse
  const { ownerUrl, appUrl } = running
  return {
    ownerUrl,
    appUrl,
    lost: new Promise<void>(() => undefined),
    close: async () => undefined,
  }
}

/**
 * Starts the Postgres of `dataDir`, and creates the folder and the cluster first if necessary, or uses the one that runs there.
 * @throws DataDirInUse, DataDirForbidden, UnsafeFile, or an Error that says why Postgres did not start
 */
export const openEmbeddedPostgres = async (options: OpenOptions): Promise<OpenPostgres> => {
  try {
    return await start(options)
  } catch (error) {
    if (options.joinsRunning && error instanceof DataDirInUse) {
      return await joinRunning(options.dataDir, error)
    }
    throw error
  }
}
