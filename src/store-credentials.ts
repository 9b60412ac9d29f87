import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Holder } from '../packages/embedded-stores/src/index.ts'
import type { Config, GivenSettings } from './config/index.ts'

/** Where this deployment keeps its data, and the secrets to open it. */
export type StoreCredentials = {
  readonly databaseUrl: string
  /** Connects with the role that owns the tables. */
  readonly migrateUrl: string
  readonly secrets: readonly string[]
  readonly peppers: readonly string[]
  /** Resolves when an embedded Postgres ends unexpectedly. Never resolves for an external one. */
  readonly lost: Promise<void>
  readonly close: () => Promise<void>
}

export type StoresOptions = {
  /** A command uses the stores of a running service. The service itself must be the only one. */
  readonly joinsRunning: boolean
  /** What commands on the same DATA_DIR must know about the service. */
  readonly announcement?: GivenSettings
}

type Postgres = Pick<StoreCredentials, 'databaseUrl' | 'migrateUrl' | 'lost' | 'close'>

/**
 * The only import of the package, used only when the settings name no database or lack a secret. So a production process loads none of its
 * files, unless DATA_DIR holds an old pepper: see `openPeppers`.
 */
const loadEmbeddedStores = () => import('../packages/embedded-stores/src/index.ts')

/** Whether a start would create an embedded database first. */
export const lacksDatabase = async ({ databaseUrl, dataDir }: Config): Promise<boolean> => {
  if (databaseUrl !== undefined) return false
  const { hasEmbeddedPostgres } = await loadEmbeddedStores()
  return !hasEmbeddedPostgres(dataDir)
}

/**
 * The service that runs on the embedded database. Undefined when none does, or when the settings name a database, because then DATA_DIR is
 * not locked.
 * @throws UnsafeFile when other users may have written the announcement
 */
export const findRunningService = async (config: Config): Promise<Holder | undefined> => {
  if (config.databaseUrl !== undefined) return undefined
  const { findHolder } = await loadEmbeddedStores()
  return await findHolder(config.dataDir)
}

/** By its code, because the class is only loaded with the package. */
export const isDataDirInUse = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'data_dir_in_use'

/**
 * The secret that a start has created in DATA_DIR, if any.
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

/** Other failures are left to the code that reads the file. */
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
  // Creates one only where the service manages its secrets itself: losing a pepper that nobody backed up would lock everyone out.
  const makesOne = !config.secrets
  if (!makesOne && (await isMissing(join(dataDir, 'pepper')))) return []
  const { ensureLocalSecret, readLocalSecret } = await loadEmbeddedStores()
  if (makesOne) return [await ensureLocalSecret(dataDir, 'pepper')]
  // Used whatever was configured later: the hashes that were made with it need it.
  const kept = await readLocalSecret(dataDir, 'pepper')
  return kept === undefined ? [] : [kept]
}

const openSecrets = async ({ secrets, dataDir }: Config): Promise<readonly string[]> => {
  if (secrets) return secrets
  const { ensureLocalSecret } = await loadEmbeddedStores()
  return [await ensureLocalSecret(dataDir, 'secret')]
}

/** Warnings about the opened stores, logged at every start. Contains no secret. */
export const storesWarnings = (config: Config, { peppers }: StoreCredentials): string[] =>
  config.production && !config.passwordPeppers && peppers.length > 0
    ? [
        'PASSWORD_PEPPER is not set and DATA_DIR contains a pepper, which is used: processes without that file cannot check these passwords',
      ]
    : []

/**
 * Prepares the stores of these settings for connections: the configured ones, or an embedded Postgres and secrets in `DATA_DIR`.
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
