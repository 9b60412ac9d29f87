import type { Core } from './compose/core.ts'
import { composeService } from './compose/web.ts'
import type { Log } from './http/log.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from './http/server.ts'
import { version } from './version.ts'

export type AppOptions = Pick<HttpServerOptions, 'timeouts'>

/** The HTTP side of the service: the edge, and every route that a feature offers. Not listening yet. */
export const createApp = async (
  core: Core,
  log: Log,
  options: AppOptions = {},
): Promise<HttpServer> => {
  const { config, machine } = core
  const service = await composeService(core, log)
  const app = await createHttpServer({
    ...config,
    ...options,
    log,
    random: machine.random,
    time: core.time,
    version,
    authenticate: service.authenticate,
    authenticateCookie: service.authenticateCookie,
    mayOperate: service.mayOperate,
    authenticateService: service.authenticateService,
  })
  for (const warning of service.warnings) log.warn(warning)
  for (const mount of service.routes) mount(app)
  return app
}
