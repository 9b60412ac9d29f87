import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config, GivenSettings } from './config/index.ts'
import { DataDirInUse, lockDataDir } from './infra/data-dir-lock.ts'
import {
  findRunningEmbeddedPostgres,
  startEmbeddedPostgres,
} from './infra/embedded-postgres/index.ts'
import { localSecret, readLocalSecret } from './local-secrets.ts'

/** Where this deployment keeps its data, and the secrets that open it. */
export type StoreCredentials = {
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
  /** What commands on the same DATA_DIR are to know of the service. */
  readonly announcement?: GivenSettings
}

type Postgres = Pick<StoreCredentials, 'databaseUrl' | 'migrateUrl' | 'lost' | 'close'>

const never = new Promise<void>(() => undefined)
const nothingToClose = async (): Promise<void> => undefined

const postgresFolder = (dataDir: string): string => join(dataDir, 'postgres')

/** Whether a start would make an embedded database first. Its folder gets this name when it is whole. */
export const lacksDatabase = ({ databaseUrl, dataDir }: Config): boolean =>
  databaseUrl === undefined && !existsSync(postgresFolder(dataDir))

const joinEmbedded = async (config: Config, inUse: DataDirInUse): Promise<Postgres> => {
  const running = await findRunningEmbeddedPostgres(postgresFolder(config.dataDir))
  if (!running) throw inUse
  const { appUrl, ownerUrl } = running
  return { databaseUrl: appUrl, migrateUrl: ownerUrl, lost: never, close: nothingToClose }
}

const startEmbedded = async (config: Config, announcement?: GivenSettings): Promise<Postgres> => {
  const lock = await lockDataDir(config.dataDir, announcement)
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

const openPostgres = async (
  config: Config,
  { joinsRunning, announcement }: StoresOptions,
): Promise<Postgres> => {
  if (config.databaseUrl !== undefined) {
    const migrateUrl = config.migrateDatabaseUrl ?? config.databaseUrl
    return { databaseUrl: config.databaseUrl, migrateUrl, lost: never, close: nothingToClose }
  }
  try {
    return await startEmbedded(config, announcement)
  } catch (error) {
    if (joinsRunning && error instanceof DataDirInUse) return joinEmbedded(config, error)
    throw error
  }
}

const openPeppers = async ({ dataDir, ...config }: Config): Promise<readonly string[]> => {
  if (config.passwordPeppers) return config.passwordPeppers
  // Whatever was set since it was made: the hashes that were made with it need it.
  const kept = await readLocalSecret(dataDir, 'pepper')
  if (kept !== undefined) return [kept]
  // A new one only where the service keeps its secrets itself: a pepper nobody knows to back up would lock everyone out.
  return config.secrets ? [] : [await localSecret(dataDir, 'pepper')]
}

const openSecrets = async (
  config: Config,
): Promise<Pick<StoreCredentials, 'secrets' | 'peppers'>> => ({
  secrets: config.secrets ?? [await localSecret(config.dataDir, 'secret')],
  peppers: await openPeppers(config),
})

/** What is allowed and yet should be known of what was opened, for the log at every start. Holds no secret. */
export const storesWarnings = (config: Config, { peppers }: StoreCredentials): string[] =>
  config.production && !config.passwordPeppers && peppers.length > 0
    ? [
        'PASSWORD_PEPPER is not set and DATA_DIR holds a pepper, which is used: instances without that file cannot judge these passwords',
      ]
    : []

/**
 * Makes the stores of these settings ready to connect to: those that are named, or an embedded Postgres and secrets under `DATA_DIR`.
 * @throws DataDirInUse, or an Error that says why Postgres did not start
 */
export const openStores = async (
  config: Config,
  options: StoresOptions,
): Promise<StoreCredentials> => {
  const postgres = await openPostgres(config, options)
  try {
    return { ...postgres, ...(await openSecrets(config)) }
  } catch (error) {
    await postgres.close()
    throw error
  }
}
