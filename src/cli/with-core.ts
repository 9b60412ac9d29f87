import { setTimeout as sleep } from 'node:timers/promises'
import { type Core, composeCore, type MachineParts } from '../compose/core.ts'
import type { Config } from '../config/index.ts'
import { DataDirInUse } from '../infra/data-dir-lock.ts'
import { systemClock } from '../lib/clock.ts'
import { patiently } from '../lib/patiently.ts'
import { systemRandom } from '../lib/random.ts'
import { awaitDatabase, isSchemaCurrent, patientConfig, prepareSchema } from '../schema.ts'
import { openStores, type Stores } from '../stores.ts'
import { CommandError } from './command-error.ts'

/** Redis answers in milliseconds or is away; then the running service, or the next one, fills it from Postgres. */
const redisReadyMs = 1000

/** What a command waits for, so that nobody thinks that it hangs. */
export const tellProgress = (text: string): void => {
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
 * The stores of a running service on the same DATA_DIR, or the same ones opened here. A service that is just starting holds the folder
 * before its Postgres answers.
 * @throws DataDirInUse when the folder is held and no Postgres comes up in it
 */
export const openStoresBeside = (config: Config): Promise<Stores> =>
  patiently(() => openStores(config, { joinsRunning: true }), {
    patienceMs: config.databaseStartTimeoutSeconds * 1000,
    clock: systemClock,
    isPassing: (error) => error instanceof DataDirInUse,
  })

const demandSchema = async (database: Core['database']): Promise<void> => {
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
 * Opens what a command works on, lets it act, and closes everything. An embedded database is migrated if it must be; one that others
 * run is left as it is.
 * @throws schema_behind, and what the stores and `act` throw
 */
export const withCore = async <T>(config: Config, act: (core: Core) => Promise<T>): Promise<T> => {
  const stores = await openStoresBeside(config)
  try {
    if (config.databaseUrl === undefined) await prepareSchema(config, stores, tellProgress)
    else await awaitDatabase(config, stores.databaseUrl, tellProgress)
    const core = await composeCore(patientConfig(config), stores, machine)
    try {
      await demandSchema(core.database)
      await core.time.start()
      await redisReady(core.redis)
      return await act(core)
    } finally {
      await core.close()
    }
  } finally {
    await stores.close()
  }
}
