import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply } from 'fastify'

/** A request and what is, or will be, its answer. */
export type Exchange = {
  readonly reply: FastifyReply
  /** How often it was looked at and found unanswered. */
  checks: number
}

/** Which answers are owed on which connection. */
export type Traffic = {
  readonly begin: (reply: FastifyReply) => void
  /** Of one connection: those that are not answered yet, and the last one in any case; oldest first. */
  readonly on: (socket: Socket) => readonly Exchange[]
  /** Those on all open connections that are not answered yet. */
  readonly owed: () => Exchange[]
}

export const isOwed = ({ reply }: Exchange): boolean =>
  !reply.raw.writableFinished && !reply.raw.destroyed

/** Clients that pipeline at all, such as libraries for tests, send a few; browsers and proxies send none. */
const maxPipelined = 16

/**
 * Closes a connection that has sent more requests than it has responses to. Node parses all that has arrived before it can stop reading, so
 * one client with some 60 KB of short requests would otherwise have thousands of responses computed and kept in memory at once.
 */
export const dropPipelines = (app: FastifyInstance, traffic: Traffic): void => {
  app.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw
    if (!socket.destroyed && traffic.on(socket).filter(isOwed).length < maxPipelined) {
      done()
      return
    }
    socket.destroy()
    reply.hijack()
  })
}

/**
 * Keeps no listener and no timer for a request: what has been answered is forgotten when the next request of its connection comes, or
 * when the connection closes. A listener and a timer each would cost a refresh about a twentieth of its time.
 */
export const followTraffic = (): Traffic => {
  const connections = new Map<Socket, Exchange[]>()
  return {
    begin: (reply) => {
      const { socket } = reply.request.raw
      const exchange = { reply, checks: 0 }
      const known = connections.get(socket)
      if (known === undefined) socket.once('close', () => connections.delete(socket))
      connections.set(
        socket,
        known?.some(isOwed) ? [...known.filter(isOwed), exchange] : [exchange],
      )
    },
    on: (socket) => connections.get(socket) ?? [],
    owed: () => [...connections.values()].flatMap((exchanges) => exchanges.filter(isOwed)),
  }
}
