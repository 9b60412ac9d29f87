import type { FastifyInstance } from 'fastify'
import { httpErrors } from './errors.ts'

/**
 * Once closing has begun, requests that still arrive on open connections are sent elsewhere; those under way are
 * finished, and their connections end with them. The framework can refuse too, but not as problem details and without
 * our headers.
 *
 * @param graceMs after this long whatever is still open is cut off: Node stops looking at its own time limits when it
 *   closes, so one client that trickles bytes could keep the process from ending
 */
export const closeGracefully = (app: FastifyInstance, graceMs: number): void => {
  let closing = false
  let cutOff: NodeJS.Timeout | undefined
  app.addHook('preClose', async () => {
    closing = true
    cutOff = setTimeout(() => app.server.closeAllConnections(), graceMs)
  })
  app.addHook('onClose', async () => clearTimeout(cutOff))

  app.addHook('onRequest', async () => {
    if (closing) throw httpErrors.error('service_unavailable', { retryAfterSeconds: 1 })
  })
  // An answer that keeps the connection alive would keep the server alive with it.
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close')
  })
}
