import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Holder } from '../packages/embedded-stores/src/index.ts'
import type { Config, GivenSettings } from './config/index.ts'

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

/**
 * The only way to the package, and only when the settings name no database or lack a secret. A production process therefore loads no file of
 * it, unless DATA_DIR holds a pepper of earlier days: see `openPeppers`.
 */
const loadEmbeddedStores = () => import('../packages/embedded-stores/src/index.ts')

/** Whether a start would make an embedded database first. */
export const lacksDatabase = async ({ databaseUrl, dataDir }: Config): Promise<boolean> => {
  if (databaseUrl !== undefined) return false
  const { hasEmbeddedPostgres } = await loadEmbeddedStores()
  return !hasEmbeddedPostgres(dataDir)
}

/**
 * The service that runs on the embedded database; undefined when none does, or the settings name a database: there nobody holds DATA_DIR.
 * @throws UnsafeFile when other users may have written what it announced
 */
export const findRunningService = async (config: Config): Promise<Holder | undefined> => {
  if (config.databaseUrl !== undefined) return undefined
  const { findHolder } = await loadEmbeddedStores()
  return await findHolder(config.dataDir)
}

/** By its code, as the class is loaded only with the package. */
export const isDataDirInUse = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'data_dir_in_use'

/**
 * The secret that a start has made in DATA_DIR; undefined when none has.
 * @throws UnsafeFile
 */
export const readKeptSecret = async ({ dataDir }: Config): Promise<string | undefined> => {
  const { readLocalSecret } = await loadEmbeddedStores()
  return await readLocalSecret(dataDir, 'secret')
}

const openPostgres = async (
  { databaseUrl, migrateDatabaseUrl, dataDir }: Config,
  { joinsRunning, announcement }: StoresOptions,
): Promise<Postgres> => {
  if (databaseUrl !== undefined) {
    return {
      databaseUrl,
      migrateUrl: migrateDatabaseUrl ?? databaseUrl,
      lost: new Promise<void>(() => undefined),
      close: async () => undefined,
    }
  }
  const { openEmbeddedPostgres } = await loadEmbeddedStores()
  const postgres = await openEmbeddedPostgres({ dataDir, joinsRunning, note: announcement })
  const { appUrl, ownerUrl, lost, close } = postgres
  return { databaseUrl: appUrl, migrateUrl: ownerUrl, lost, close }
}

/** Any other failure is for whoever reads the file. */
const isMissing = async (path: string): Promise<boolean> => {
  try {
    await stat(path)
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT'
  }
}

const openPeppers = async ({ dataDir, ...config }: Config): Promise<readonly string[]> => {
  if (config.passwordPeppers) return config.passwordPeppers
  // A new one only where the service keeps its secrets itself: a pepper nobody knows to back up would lock everyone out.
  const makesOne = !config.secrets
  if (!makesOne && (await isMissing(join(dataDir, 'pepper')))) return []
  const { ensureLocalSecret, readLocalSecret } = await loadEmbeddedStores()
  if (makesOne) return [await ensureLocalSecret(dataDir, 'pepper')]
  // Whatever was set since it was made: the hashes that were made with it need it.
  const kept = await readLocalSecret(dataDir, 'pepper')
  return kept === undefined ? [] : [kept]
}

const openSecrets = async ({ secrets, dataDir }: Config): Promise<readonly string[]> => {
  if (secrets) return secrets
  const { ensureLocalSecret } = await loadEmbeddedStores()
  return [await ensureLocalSecret(dataDir, 'secret')]
}

/** What is allowed and yet should be known of what was opened, for the log at every start. Holds no secret. */
export const storesWarnings = (config: Config, { peppers }: StoreCredentials): string[] =>
  config.production && !config.passwordPeppers && peppers.length > 0
    ? [
        'PASSWORD_PEPPER is not set and DATA_DIR holds a pepper, which is used: instances without that file cannot judge these passwords',
      ]
    : []

/**
 * Makes the stores of these settings ready to connect to: those that are named, or an embedded Postgres and secrets under `DATA_DIR`.
 * @throws DataDirInUse, DataDirForbidden, UnsafeFile, or an Error that says why Postgres did not start
 */
export const openStores = async (
  config: Config,
  options: StoresOptions,
): Promise<StoreCredentials> => {
  const postgres = await openPostgres(config, options)
  try {
    return {
      ...postgres,
      secrets: await openSecrets(config),
      peppers: await openPeppers(config),
    }
  } catch (error) {
    await postgres.close()
    throw error
  }
}
