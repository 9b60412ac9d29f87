import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { startBackground } from './background.ts'
import { type Config, ConfigError, configWarnings } from './config/index.ts'
import { type Core, type MachineParts, openCore } from './core.ts'
import { basePathOf, routeHiding } from './http/base-path.ts'
import { type Log, type LogStream, openLog } from './http/log.ts'
import { mountRoutes } from './http/route.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from './http/server.ts'
import { hasCode } from './lib/app-error.ts'
import { patiently } from './lib/repeat.ts'
import { type StoreCredentials, storesWarnings } from './store-credentials.ts'
import { composeService } from './wiring.ts'

/** As in package.json, which lies one folder above this file, compiled or not. */
const manifest: { readonly version: string } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)

export const { version } = manifest

/** Making the first keys takes several statements, of which a busy machine may need longer than a request would wait. */
const openKeys = ({ config, machine, keys }: Core): Promise<void> =>
  patiently(keys.open, {
    patienceMs: config.databaseStartTimeoutSeconds * 1000,
    clock: machine.clock,
    isPassing: (error) => hasCode(error, 'store_unavailable'),
  })

export type AppOptions = Pick<HttpServerOptions, 'timeouts' | 'draining'>

const assertUsableBasePath = (issuer: string, { knownPaths }: HttpServer): void => {
  const basePath = basePathOf(issuer)
  const route = routeHiding(basePath, knownPaths)
  if (route === undefined) return
  const message = `has the path ${basePath}, which is also that of the route ${route}: choose another path`
  throw new ConfigError([{ name: 'ISSUER', message }])
}

/**
 * The HTTP side of the service: the edge, and every route that a feature offers. Not listening yet.
 * @throws ConfigError for an `ISSUER` whose path is one of a route
 */
export const createApp = async (
  core: Core,
  log: Log,
  options: AppOptions = {},
): Promise<HttpServer> => {
  const { config, machine } = core
  await openKeys(core)
  const service = composeService(core, log, options.draining)
  const app = await createHttpServer({
    ...config,
    ...options,
    log,
    random: machine.random,
    time: core.machine.clock,
    version,
    brand: service.brand,
    ...service.access,
  })
  for (const warning of service.warnings) log.warn(warning)
  app.decorateRequest('cookieSession')
  mountRoutes(app, service.routes)
  assertUsableBasePath(config.issuer, app)
  return app
}

export type Instance = {
  readonly core: Core
  /** Where it listens, e.g. `http://127.0.0.1:8088`. */
  readonly address: string
  /**
   * Reports "not ready" and still serves every request for this many seconds, closing each connection after its response: load balancers
   * notice and send new requests elsewhere. Resolves when the time is over, or when `stop` is called.
   */
  readonly drain: (seconds: number) => Promise<void>
  /** Lets requests under way finish, then lets go of everything it holds. The stores stay. */
  readonly stop: () => Promise<void>
}

export type InstanceOptions = {
  readonly machine: Omit<MachineParts, 'report' | 'reportEnd'>
  readonly app?: AppOptions
  readonly logStream: LogStream
  /** For the log, besides those of the settings and the stores. */
  readonly warnings?: readonly string[]
  /** Part of the start, once it listens: a failure ends the instance. */
  readonly onListening?: (address: string) => Promise<void>
}

/** Postgres did not reply in time, to a statement or to the replica. The start asks again. */
const isSlowStore = (error: unknown): boolean =>
  hasCode(error, 'store_unavailable') || (error instanceof Error && error.name === 'CallTimeout')

type Reporter = Pick<MachineParts, 'report' | 'reportEnd'> & {
  /** The start is over, or has failed. */
  readonly startEnded: () => void
}

/** A Redis that has not replied by then is away for now, which keeps nobody from starting. */
const redisLoginPatienceMs = 5_000

/**
 * Reports to the log. A first start on a busy machine prints no warnings: during the start Postgres is asked again when it is slow, so its
 * failures are not reported unless the start fails of them, and other failures are reported at its end, if they have not ended by then.
 */
const reporter = (log: Log): Reporter => {
  const held = new Map<string, unknown>()
  let isStarting = true
  return {
    report: (error, what) => {
      if (!isStarting) log.warn({ err: error }, what)
      else if (!isSlowStore(error)) held.set(what, error)
    },
    reportEnd: (what, begun) => {
      const wasHeld = begun.map((one) => held.delete(one)).includes(true)
      if (!wasHeld) log.warn(what)
    },
    startEnded: () => {
      isStarting = false
      for (const [what, error] of held) log.warn({ err: error }, what)
      held.clear()
    },
  }
}

/** One running instance over stores that are open and migrated. Several may run at once, in one process or in many. */
export const startInstance = async (
  config: Config,
  stores: StoreCredentials,
  { machine, app: appOptions, logStream, warnings: more = [], onListening }: InstanceOptions,
): Promise<Instance> => {
  const log = openLog({ ...config, logStream })
  const warnings = [...more, ...configWarnings(config), ...storesWarnings(config, stores)]
  for (const warning of warnings) log.warn(warning)
  const { report, reportEnd, startEnded } = reporter(log)
  const patienceMs = config.databaseStartTimeoutSeconds * 1000
  const core = await openCore(config, stores, { ...machine, report, reportEnd })
  let app: HttpServer | undefined
  const draining = new AbortController()
  const stopping = new AbortController()
  try {
    // One that is away for a moment is tried by whatever needs it next.
    await core.assertFit().catch((error: unknown) => {
      if (!hasCode(error, 'store_unavailable')) throw error
    })
    // What is wrong with the login now stays wrong: better no start than one that looks well and shares no limits.
    if (config.production) await core.redis?.assertLogin(redisLoginPatienceMs)
    await core.machine.clock.start(patienceMs)
    app = await createApp(core, log, { ...appOptions, draining: draining.signal })
    // Without them the service works too: it asks Postgres for each request.
    await core.revocations
      .start(AbortSignal.timeout(patienceMs))
      .catch((error: unknown) => log.warn({ err: error }, 'what is revoked is not known yet'))
    const address = await app.listen({ host: config.host, port: config.port })
    log.info({ address, version, argon2: core.hashedBy }, 'listening')
    await onListening?.(address)
    startEnded()
    const background = startBackground(core)
    const { close } = app
    return {
      core,
      address,
      drain: async (seconds) => {
        draining.abort()
        if (seconds > 0) log.info({ seconds }, 'stopping: not ready any more, and still serving')
        const { signal } = stopping
        await pause(seconds * 1000, undefined, { signal }).catch(() => undefined)
      },
      stop: async () => {
        stopping.abort()
        await core.revocations.stop()
        await close()
        await background.stop()
        await core.close()
        log.info('stopped')
      },
    }
  } catch (error) {
    startEnded()
    await core.revocations.stop()
    await app?.close()
    await core.close()
    throw error
  }
}
