import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from './config/index.ts'
import { DataDirInUse, lockDataDir } from './infra/data-dir-lock.ts'
import {
  findRunningEmbeddedPostgres,
  startEmbeddedPostgres,
} from './infra/embedded-postgres/index.ts'
import { systemRandom } from './lib/random.ts'

/** Where this deployment keeps its data, and the secrets that open it. */
export type Stores = {
  readonly databaseUrl: string
  /** Connects with the role that owns the tables. */
  readonly migrateUrl: string
  readonly secrets: readonly string[]
  readonly peppers: readonly string[]
  /** Resolves if an embedded Postgres ends without having been asked to; never, for one that others run. */
  readonly lost: Promise<void>
  readonly close: () => Promise<void>
}

export type StoresOptions = {
  /** A command beside a running service uses its stores; the service itself must be the only one. */
  readonly joinsRunning: boolean
}

type Postgres = Pick<Stores, 'databaseUrl' | 'migrateUrl' | 'lost' | 'close'>

const never = new Promise<void>(() => undefined)
const nothingToClose = async (): Promise<void> => undefined

const postgresFolder = (dataDir: string): string => join(dataDir, 'postgres')

const joinEmbedded = async (config: Config, inUse: DataDirInUse): Promise<Postgres> => {
  const running = await findRunningEmbeddedPostgres(postgresFolder(config.dataDir))
  if (!running) throw inUse
  const { appUrl, ownerUrl } = running
  return { databaseUrl: appUrl, migrateUrl: ownerUrl, lost: never, close: nothingToClose }
}

const startEmbedded = async (config: Config): Promise<Postgres> => {
  const lock = await lockDataDir(config.dataDir)
  try {
    const postgres = await startEmbeddedPostgres({ directory: postgresFolder(config.dataDir) })
    return {
      databaseUrl: postgres.appUrl,
      migrateUrl: postgres.ownerUrl,
      lost: postgres.exited,
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

const openPostgres = async (config: Config, joinsRunning: boolean): Promise<Postgres> => {
  if (config.databaseUrl !== undefined) {
    const migrateUrl = config.migrateDatabaseUrl ?? config.databaseUrl
    return { databaseUrl: config.databaseUrl, migrateUrl, lost: never, close: nothingToClose }
  }
  try {
    return await startEmbedded(config)
  } catch (error) {
    if (joinsRunning && error instanceof DataDirInUse) return joinEmbedded(config, error)
    throw error
  }
}

const isFileThere = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'EEXIST'

/**
 * A secret that was made here once and stays the same. It is written aside and linked into place, so that there is never half of one
 * and two processes end up with the same.
 */
const keptSecret = async (dataDir: string, name: string): Promise<string> => {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const path = join(dataDir, name)
  const draft = `${path}.${systemRandom(8).toString('hex')}`
  await writeFile(draft, `${systemRandom(32).toString('base64url')}\n`, { mode: 0o600 })
  try {
    await link(draft, path)
  } catch (error) {
    if (!isFileThere(error)) throw error
  } finally {
    await rm(draft)
  }
  return (await readFile(path, 'utf8')).trim()
}

const openSecrets = async (config: Config): Promise<Pick<Stores, 'secrets' | 'peppers'>> => ({
  secrets: config.secrets ?? [await keptSecret(config.dataDir, 'secret')],
  // Only where the service keeps its secrets itself: a pepper nobody knows to back up would lock everyone out.
  peppers:
    config.passwordPeppers ?? (config.secrets ? [] : [await keptSecret(config.dataDir, 'pepper')]),
})

/**
 * Makes the stores of these settings ready to connect to: those that are named, or an embedded Postgres and secrets under `DATA_DIR`.
 * @throws DataDirInUse, or an Error that says why Postgres did not start
 */
export const openStores = async (
  config: Config,
  { joinsRunning }: StoresOptions,
): Promise<Stores> => {
  const postgres = await openPostgres(config, joinsRunning)
  try {
    return { ...postgres, ...(await openSecrets(config)) }
  } catch (error) {
    await postgres.close()
    throw error
  }
}
