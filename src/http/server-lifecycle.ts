import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { systemClock } from '../lib/machine.ts'
import { isCallerConnected } from './client-facts.ts'
import { httpErrors } from './errors.ts'
import type { Log } from './log.ts'
import type { OnEveryRequest } from './request-checks.ts'

/** Time limits for slow clients, in milliseconds. All are finite: the defaults of Node wait forever. */
export type HttpTimeouts = {
  /** From the first byte (or the connection) to the end of the headers. */
  readonly headersMs: number
  /** From the first byte to the end of the body. */
  readonly requestMs: number
  /** From the end of the headers to the response. Longer than `requestMs`, so that a slow body gets a 4xx. */
  readonly responseMs: number
  /** Without any byte in either direction. */
  readonly idleMs: number
  /** Between two requests on a connection. Longer than the minute after which most proxies close theirs. */
  readonly keepAliveMs: number
  /** From the start of closing to the end of the last connection. */
  readonly closeMs: number
  /** How often connections are checked against these limits. */
  readonly checkEveryMs: number
}

export const defaultTimeouts: HttpTimeouts = {
  headersMs: 5_000,
  requestMs: 10_000,
  responseMs: 15_000,
  idleMs: 30_000,
  keepAliveMs: 65_000,
  closeMs: 15_000,
  checkEveryMs: 1_000,
}

/** A request and its response. */
export type Exchange = {
  readonly reply: FastifyReply
  /** How often the check found it without a response. */
  checks: number
}

/** The requests on each connection that have no response yet. */
export type InFlightRequests = {
  readonly begin: (reply: FastifyReply) => void
  /** The requests of one connection without a response, oldest first, and always the last one. */
  readonly on: (socket: Socket) => readonly Exchange[]
  /** The requests of all open connections without a response. */
  readonly owed: () => Exchange[]
}

export const isOwed = ({ reply }: Exchange): boolean =>
  !reply.raw.writableFinished && !reply.raw.destroyed

/** The few clients that pipeline, such as test libraries, send a few requests. Browsers and proxies do not pipeline. */
const maxPipelined = 16

export const beginExchange = (inFlight: InFlightRequests): OnEveryRequest =>
  function beginExchange(_request, reply) {
    inFlight.begin(reply)
  }

/**
 * Closes a connection that has sent too many requests before it read the responses. Node parses everything that has arrived before it can
 * stop reading. One client with some 60 KB of short requests could otherwise make the server compute thousands of responses and keep them
 * in memory.
 */
export const dropPipelines = (app: FastifyInstance, inFlight: InFlightRequests): void => {
  app.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw
    if (!socket.destroyed && inFlight.on(socket).filter(isOwed).length < maxPipelined) {
      done()
      return
    }
    socket.destroy()
    reply.hijack()
  })
}

/**
 * Uses no listener and no timer per request: finished requests are removed when the next request of the connection comes, or when it
 * closes. A listener and a timer for each would cost a refresh about a twentieth of its time.
 */
export const trackInFlightRequests = (): InFlightRequests => {
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

/** How long a connection may stay open after its last response while the server closes. */
const sweepEveryMs = 20

/** Half a second: a client that has just connected is about to send its request. */
const firstRequestWithinSweeps = 25

/** More than the backlog of a port can hold, unless connections arrive faster than they are accepted. */
const maxTurns = 10_000

/**
 * While the service drains or closes, each response ends its connection, so that a proxy keeps no connection that would close under a
 * request. Requests that still arrive on open connections are served normally: refusing them would lose them, because a proxy sends a POST
 * only once.
 *
 * Kept-alive connections would keep the server alive, so idle ones are closed repeatedly until none is left. This costs nothing before the
 * close. Browsers open connections in advance, and Node does not count one without a byte as idle, because it waits for its first request.
 * These are closed as well.
 *
 * @param draining aborted when the process received a stop signal but still accepts connections
 * @param graceMs after this time all open connections are destroyed. Node stops checking its own time limits when it closes, so a client
 * that sends single bytes could keep the process from exiting
 */
export const closeGracefully = (
  app: FastifyInstance,
  draining: AbortSignal | undefined,
  graceMs: number,
): OnEveryRequest => {
  let closing = false
  let cutOff: NodeJS.Timeout | undefined
  let sweep: NodeJS.Timeout | undefined
  let taken = 0
  let sweeps = 0
  const open = new Set<Socket>()
  app.server.on('connection', (socket) => {
    taken += 1
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  const closeUnused = (): void => {
    app.server.closeIdleConnections()
    sweeps += 1
    if (sweeps <= firstRequestWithinSweeps) return
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
  }
  /**
   * Closing the port resets connections that the kernel has accepted but this process has not, together with their requests. The event loop
   * accepts one per turn, so the port is closed after a turn that accepted none.
   */
  const takeWaiting = async (): Promise<void> => {
    // To the end of the current turn, which must accept none.
    await nextTurn()
    for (let turns = 0; turns < maxTurns; turns += 1) {
      const before = taken
      await nextTurn()
      if (taken === before) return
    }
  }
  app.addHook('preClose', async () => {
    closing = true
    sweep = setInterval(closeUnused, sweepEveryMs)
    cutOff = setTimeout(() => app.server.closeAllConnections(), graceMs)
    await takeWaiting()
  })
  app.addHook('onClose', async () => {
    clearInterval(sweep)
    clearTimeout(cutOff)
  })

  return function endConnection(_request, reply) {
    if (closing || draining?.aborted) reply.header('connection', 'close')
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The operation runs even if its caller has disconnected, because it only removes access that the caller wanted removed. A logout that
     * a page sends while it is closed must not be lost.
     */
    outlivesCaller?: boolean
  }

  interface FastifyRequest {
    /** When the process read the request, minus the time it was stalled just before. Monotonic milliseconds of the machine. */
    receivedMs: number
  }
}

const tickMs = 250

/** A delay of the event loop from which on clients may have given up. */
const stallMs = 1_000

/** Requests that arrived during a stall are read within this time after it. */
const aftermathMs = 2_000

/**
 * After a stall of the event loop (a frozen process, a paused machine, a long garbage collection) a request is only started when its
 * connection is still open. The kernel keeps requests of clients that disconnected long ago, and their old handles would look like theft.
 * Otherwise this costs one clock read per request.
 */
export const dropGoneAfterStall = (app: FastifyInstance, log: Log): void => {
  // The clock of the machine, even in tests that set the time of the service.
  let tickedAtMs = systemClock.monotonicMs()
  let aftermathEndsAtMs = Number.NEGATIVE_INFINITY
  let stalledMs = 0

  const tick = (): void => {
    const nowMs = systemClock.monotonicMs()
    const lateMs = nowMs - tickedAtMs - tickMs
    tickedAtMs = nowMs
    if (lateMs < stallMs) return
    aftermathEndsAtMs = nowMs + aftermathMs
    stalledMs = Math.round(lateMs)
    const fields = { event: 'process_stalled', stalled_ms: stalledMs }
    log.info(fields, 'the process stood still: requests of clients that left meanwhile are dropped')
  }
  const isAfterStall = (): boolean => {
    // After a stall, requests may be read before the timer runs.
    if (systemClock.monotonicMs() - tickedAtMs >= tickMs + stallMs) tick()
    return systemClock.monotonicMs() < aftermathEndsAtMs
  }

  let timer: NodeJS.Timeout | undefined
  // The start keeps the event loop busy, and no request has arrived yet.
  app.addHook('onListen', async () => {
    tickedAtMs = systemClock.monotonicMs()
    timer = setInterval(tick, tickMs)
  })
  app.addHook('onClose', async () => clearInterval(timer))

  app.decorateRequest('receivedMs', 0)
  app.addHook('onRequest', (request, reply, done) => {
    const isLate = isAfterStall()
    request.receivedMs = systemClock.monotonicMs() - (isLate ? stalledMs : 0)
    if (!isLate || request.routeOptions.config?.outlivesCaller) {
      done()
      return
    }
    void isCallerConnected(request).then((isConnected) => {
      if (isConnected) {
        done()
        return
      }
      log.debug({ request_id: request.id, event: 'caller_gone' }, 'not begun: its caller has gone')
      reply.hijack()
    })
  })
}

/**
 * Sends 503 for a request that has no response within `responseMs` milliseconds of its headers, so that a stuck dependency cannot hold
 * connections forever. The work itself continues, and its result is dropped. Requests are checked every `checkEveryMs`, so the response may
 * come that much later.
 *
 * Fastify's `handlerTimeout` is not used: in fastify 5.12.8 it stops counting once a request body has been read.
 */
export const limitResponseTime = (
  app: FastifyInstance,
  inFlight: InFlightRequests,
  { responseMs, checkEveryMs }: Pick<HttpTimeouts, 'responseMs' | 'checkEveryMs'>,
): void => {
  const check = (): void => {
    for (const exchange of inFlight.owed()) {
      exchange.checks += 1
      if (exchange.checks * checkEveryMs <= responseMs || exchange.reply.sent) continue
      const cause = new Error(`no response within ${responseMs} ms`)
      exchange.reply.send(httpErrors.error('service_unavailable', { retryAfterSeconds: 1, cause }))
    }
  }
  const timer = setInterval(check, checkEveryMs)
  app.addHook('onClose', async () => clearInterval(timer))
}
