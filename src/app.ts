import type { Core } from './compose.ts'
import { composeService } from './compose.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from './http/server.ts'
import { version } from './version.ts'

export type AppOptions = Pick<HttpServerOptions, 'timeouts'> &
  Partial<Pick<HttpServerOptions, 'logStream'>>

/** The HTTP side of the service: the edge, and every route that a feature offers. Not listening yet. */
export const createApp = async (core: Core, options: AppOptions = {}): Promise<HttpServer> => {
  const { config, machine } = core
  const service = await composeService(core)
  const app = await createHttpServer({
    ...config,
    ...options,
    random: machine.random,
    version,
    authenticate: service.authenticate,
    mayOperate: service.mayOperate,
  })
  for (const warning of service.warnings) app.log.warn(warning)
  for (const mount of service.routes) mount(app)
  return app
}
