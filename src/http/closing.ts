import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { httpErrors } from './errors.ts'
import type { OnEveryRequest } from './on-every-request.ts'

/** How long a connection whose last answer is out may stay open while the server closes. */
const sweepEveryMs = 20

/**
 * Once closing has begun, requests that still arrive on open connections are sent elsewhere; those under way are
 * finished, and their connections end with them. The framework can refuse too, but not as problem details and without
 * our headers.
 *
 * Connections that are kept alive would keep the server alive with them, so idle ones are looked for until none is left:
 * asking only while closing costs the requests before nothing. One that never sent a byte, as browsers open them in advance, is not idle
 * for Node, which waits for its first request: it is closed as well.
 *
 * @param graceMs after this long whatever is still open is cut off: Node stops looking at its own time limits when it
 *   closes, so one client that trickles bytes could keep the process from ending
 */
export const closeGracefully = (app: FastifyInstance, graceMs: number): OnEveryRequest => {
  let closing = false
  let cutOff: NodeJS.Timeout | undefined
  let sweep: NodeJS.Timeout | undefined
  const open = new Set<Socket>()
  app.server.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  const closeUnused = (): void => {
    app.server.closeIdleConnections()
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
  }
  app.addHook('preClose', async () => {
    closing = true
    sweep = setInterval(closeUnused, sweepEveryMs)
    cutOff = setTimeout(() => app.server.closeAllConnections(), graceMs)
  })
  app.addHook('onClose', async () => {
    clearInterval(sweep)
    clearTimeout(cutOff)
  })

  return (_request, reply) => {
    if (!closing) return
    reply.header('connection', 'close')
    throw httpErrors.error('service_unavailable', { retryAfterSeconds: 1 })
  }
}
