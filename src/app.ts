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

/** The version in package.json, which is one folder above this file, both in the source and in the build. */
const manifest: { readonly version: string } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)

export const { version } = manifest

/** Creating the first keys takes several statements. A busy machine may need longer for them than a request would wait. */
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
 * Builds the HTTP server with every route of the features. It does not listen yet.
 * @throws ConfigError when the path of `ISSUER` hides a route
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
  /** The address it listens on, e.g. `http://127.0.0.1:8088`. */
  readonly address: string
  /**
   * Reports "not ready" for this many seconds but still serves every request, and closes each connection after its response. Load balancers
   * notice and send new requests elsewhere. Resolves after that time, or when `stop` is called.
   */
  readonly drain: (seconds: number) => Promise<void>
  /** Lets running requests finish, then closes everything. The stores keep running. */
  readonly stop: () => Promise<void>
}

export type InstanceOptions = {
  readonly machine: Omit<MachineParts, 'report' | 'reportEnd'>
  readonly app?: AppOptions
  readonly logStream: LogStream
  /** Logged in addition to the warnings about settings and stores. */
  readonly warnings?: readonly string[]
  /** Part of the start, called once the server listens. If it fails, the start fails. */
  readonly onListening?: (address: string) => Promise<void>
}

/** Postgres did not respond in time, to a statement or to the replica. The start retries. */
const isSlowStore = (error: unknown): boolean =>
  hasCode(error, 'store_unavailable') || (error instanceof Error && error.name === 'CallTimeout')

type Reporter = Pick<MachineParts, 'report' | 'reportEnd'> & {
  /** The start is over, or has failed. */
  readonly startEnded: () => void
}

/** A Redis that has not responded by then counts as unreachable, which does not prevent the start. */
const redisLoginPatienceMs = 5_000

/**
 * Reports to the log. A first start on a busy machine must print no warnings. During the start, slow responses of Postgres are retried and
 * not reported, unless the start fails because of them. Other failures are reported when the start ends, if they still persist.
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

/** Starts the service on stores that are open and migrated. Several may run at once, in one process or in many. */
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
    // An unreachable Postgres is tried again by the next step that needs it.
    await core.assertFit().catch((error: unknown) => {
      if (!hasCode(error, 'store_unavailable')) throw error
    })
    // A wrong login does not fix itself. In production the start fails, because a service without Redis would look healthy but share no
    // limits.
    if (config.production) await core.redis?.assertLogin(redisLoginPatienceMs)
    await core.machine.clock.start(patienceMs)
    app = await createApp(core, log, { ...appOptions, draining: draining.signal })
    // Without the revocations in memory the service still works: it asks Postgres for each request.
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
