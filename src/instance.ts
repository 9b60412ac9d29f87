import { type AppOptions, createApp } from './app.ts'
import { startBackground } from './background.ts'
import { type Core, composeCore, type MachineParts } from './compose/core.ts'
import { type Config, configWarnings } from './config/index.ts'
import { type Log, type LogStream, openLog } from './http/log.ts'
import type { HttpServer } from './http/server.ts'
import { hasCode } from './lib/app-error.ts'
import { type Stores, storesWarnings } from './stores.ts'
import { version } from './version.ts'

export type Instance = {
  readonly core: Core
  /** Where it listens, e.g. `http://127.0.0.1:8088`. */
  readonly address: string
  /** Lets requests under way finish, then lets go of everything it holds. The stores stay. */
  readonly stop: () => Promise<void>
}

export type InstanceOptions = {
  readonly machine: Omit<MachineParts, 'report' | 'reportEnd'>
  readonly app?: AppOptions
  readonly logStream: LogStream
  /** Part of the start, once it listens: a failure ends the instance. */
  readonly onListening?: (address: string) => Promise<void>
}

/**
 * Reports to the log. During the start a store that is slow is tried again, so its failures are not reported unless the start fails of them:
 * a first start on a busy machine prints no warnings.
 */
const reporter = (log: Log) => {
  let isStarting = true
  const report: MachineParts['report'] = (error, what) => {
    if (!(isStarting && hasCode(error, 'store_unavailable'))) log.warn({ err: error }, what)
  }
  return {
    report,
    started: () => {
      isStarting = false
    },
  }
}

/** One running instance over stores that are open and migrated. Several may run at once, in one process or in many. */
export const startInstance = async (
  config: Config,
  stores: Stores,
  { machine, app: appOptions, logStream, onListening }: InstanceOptions,
): Promise<Instance> => {
  const log = openLog({ ...config, logStream })
  const warnings = [...configWarnings(config), ...storesWarnings(config, stores)]
  for (const warning of warnings) log.warn(warning)
  const { report, started } = reporter(log)
  const reportEnd: MachineParts['reportEnd'] = (what) => log.warn(what)
  const patienceMs = config.databaseStartTimeoutSeconds * 1000
  const core = await composeCore(config, stores, { ...machine, report, reportEnd })
  let app: HttpServer | undefined
  try {
    await core.time.start(patienceMs)
    app = await createApp(core, log, appOptions)
    // Without them the service works too: it asks Postgres for each request.
    await core.revocations
      .start(AbortSignal.timeout(patienceMs))
      .catch((error: unknown) => log.warn({ err: error }, 'what is revoked is not known yet'))
    const address = await app.listen({ host: config.host, port: config.port })
    log.info({ address, version, argon2: core.hashedBy }, 'listening')
    await onListening?.(address)
    started()
    const background = startBackground(core)
    const { close } = app
    return {
      core,
      address,
      stop: async () => {
        await core.revocations.stop()
        await close()
        await background.stop()
        await core.close()
        log.info('stopped')
      },
    }
  } catch (error) {
    await core.revocations.stop()
    await app?.close()
    await core.close()
    throw error
  }
}
