import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import {
  type Config,
  type GivenSettings,
  type LoadOptions,
  loadConfig,
  settingsBeside,
} from '../config/index.ts'
import { type Core, type MachineParts, openCore } from '../core.ts'
import { exitCodes } from '../explain-failure.ts'
import { systemClock, systemRandom } from '../lib/machine.ts'
import { patiently } from '../lib/repeat.ts'
import { awaitDatabase, isSchemaCurrent, patientConfig, prepareSchema } from '../schema.ts'
import {
  findRunningService,
  isDataDirInUse,
  openStores,
  type StoreCredentials,
} from '../store-credentials.ts'
import { CommandError } from './output.ts'

const isTextRecord = (value: unknown): value is Readonly<Record<string, string>> =>
  typeof value === 'object' &&
  value !== null &&
  Object.values(value).every((one) => typeof one === 'string')

const isGivenSettings = (note: unknown): note is GivenSettings =>
  typeof note === 'object' &&
  note !== null &&
  'settings' in note &&
  isTextRecord(note.settings) &&
  'secrets' in note &&
  Array.isArray(note.secrets)

/** The current settings, and a warning if some differ from those of the service. */
const configNow = async (options?: LoadOptions): Promise<{ config: Config; warning?: string }> => {
  const own = loadConfig(undefined, options)
  const running = await findRunningService(own)
  if (running === undefined || !isGivenSettings(running.note)) return { config: own }
  const { environment, differing } = settingsBeside(running.note)
  const config = loadConfig(environment, options)
  if (differing.length === 0) return { config }
  const names = differing.join(', ')
  const service = `the running service (process ${running.pid})`
  return { config, warning: `${names}: set to another value for this command than for ${service}` }
}

/**
 * The settings of a command. If a service runs on the same DATA_DIR, they are those of the service, overridden by the command's own: a
 * client for a service started with `PORT=21000 npm start` must not be created for port 8088.
 * @throws ConfigError
 */
export const commandConfig = async (options?: LoadOptions): Promise<Config> => {
  const { config, warning } = await configNow(options)
  if (warning !== undefined) process.stderr.write(`warning: ${warning}\n`)
  return config
}

const withoutSecrets = (config: Config) => ({ ...config, secrets: undefined })

/** A service may have started or ended since the settings were read, for example while a password was typed. */
export const assertSameSettings = async (config: Config): Promise<void> => {
  const { config: now } = await configNow()
  if (isDeepStrictEqual(withoutSecrets(now), withoutSecrets(config))) return
  throw new CommandError(
    'settings_changed',
    'a service with other settings started or ended on this DATA_DIR meanwhile; nothing was done',
    'run the command again',
    exitCodes.inUse,
  )
}

/** Redis responds in milliseconds or is unreachable. Then the running service, or the next one, fills it from Postgres. */
const redisReadyMs = 1000

/** Prints what a command waits for, so that it does not seem to hang. */
export const printProgress = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

export const commandLineActor = { kind: 'command-line' } as const

export const machine: MachineParts = {
  random: systemRandom,
  report: (error, what) => {
    const text = error instanceof Error ? error.message : String(error)
    process.stderr.write(`warning: ${what}: ${text}\n`)
  },
  reportEnd: () => undefined,
}

/**
 * The stores of a service that runs on the same DATA_DIR, or the same ones opened here. A service that is starting holds the folder before
 * its Postgres responds.
 * @throws DataDirInUse when the folder is held and no Postgres comes up in it, DataDirForbidden, settings_changed
 */
export const openStoresBeside = async (config: Config): Promise<StoreCredentials> => {
  const stores = await patiently(() => openStores(config, { joinsRunning: true }), {
    patienceMs: config.databaseStartTimeoutSeconds * 1000,
    clock: systemClock,
    isPassing: isDataDirInUse,
  })
  try {
    await assertSameSettings(config)
    return stores
  } catch (error) {
    await stores.close()
    throw error
  }
}

const assertSchema = async (database: Core['database']): Promise<void> => {
  if (await isSchemaCurrent(database)) return
  throw new CommandError(
    'schema_behind',
    'the database is not migrated to this version',
    'run `cardea migrate` first',
  )
}

const redisReady = async (redis: Core['redis']): Promise<void> => {
  if (!redis) return
  const waiting = new AbortController()
  const ready = new Promise<void>((resolve) => redis.onReady(resolve))
  const { signal } = waiting
  await Promise.race([ready, sleep(redisReadyMs, undefined, { signal }).catch(() => undefined)])
  waiting.abort()
}

/**
 * Opens the core for a command, calls it, and closes everything. An embedded database is migrated if necessary; an external one is not
 * changed.
 * @throws schema_behind, and what the stores and `act` throw
 */
export const withCore = async <T>(
  config: Config,
  act: (core: Core, stores: StoreCredentials) => Promise<T>,
): Promise<T> => {
  const stores = await openStoresBeside(config)
  try {
    if (config.databaseUrl === undefined) await prepareSchema(config, stores, printProgress)
    else await awaitDatabase(config, stores.databaseUrl, printProgress)
    const core = await openCore(patientConfig(config), stores, machine)
    try {
      await assertSchema(core.database)
      await core.machine.clock.start()
      await redisReady(core.redis)
      return await act(core, stores)
    } finally {
      await core.close()
    }
  } finally {
    await stores.close()
  }
}
