import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DataDirInUse, lockDataDir } from './data-dir-lock.ts'
import { findRunningEmbeddedPostgres } from './running.ts'
import { startEmbeddedPostgres } from './start.ts'

export type OpenOptions = {
  readonly dataDir: string
  /** A command beside a running service uses the Postgres of that service; the service itself must be the only one on the folder. */
  readonly joinsRunning: boolean
  /** For whoever finds the folder locked; never a secret. */
  readonly note?: unknown
}

/** The URLs carry the passwords: for the pool only, never for a log or a command line. */
export type OpenPostgres = {
  /** With the role that owns the database and runs the migrations. */
  readonly ownerUrl: string
  /** With the role of the running service, which owns nothing. */
  readonly appUrl: string
  /** Resolves if Postgres ends without having been asked to; never, for that of another process. */
  readonly lost: Promise<void>
  /** Ends Postgres and unlocks the folder; leaves that of another process alone. */
  readonly close: () => Promise<void>
}

const postgresFolder = (dataDir: string): string => join(dataDir, 'postgres')

/** Whether an earlier start made a cluster. Its folder gets this name when it is whole. */
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
 * Starts the Postgres of `dataDir`, making the folder and the cluster first when there is none, or joins the one that runs there.
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
