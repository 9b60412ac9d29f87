import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { FastifyRequest } from 'fastify'

/** Closes that are in the kernel already are read within a turn or two of the event loop; this is many. */
const closeArrivesWithinMs = 20

/**
 * Whether nobody can get the response any more, as far as this process has heard. A client that closed only its sending side counts as
 * gone: Node then ends the other side, too (`httpAllowHalfOpen` is off), so no response reaches it. The sockets of `app.inject` know
 * neither state and are never gone.
 */
export const isCallerGone = ({ raw: { socket } }: Pick<FastifyRequest, 'raw'>): boolean =>
  socket.destroyed === true || socket.writable === false

/** The same after a moment, in which a close that happened while the process stood still arrives. */
export const isCallerConnected = async (request: Pick<FastifyRequest, 'raw'>): Promise<boolean> => {
  if (isCallerGone(request)) return false
  await pause(closeArrivesWithinMs)
  await nextTurn()
  return !isCallerGone(request)
}
