import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { systemClock } from '../lib/machine.ts'
import { isCallerConnected } from './client-facts.ts'
import { httpErrors } from './errors.ts'
import type { Log } from './log.ts'
import type { OnEveryRequest } from './request-checks.ts'

/** Milliseconds after which a client that does not go on is dropped. All finite: the default is to wait for ever. */
export type HttpTimeouts = {
  /** From the first byte (or the opening) to the end of the headers. */
  readonly headersMs: number
  /** From the first byte to the end of the body. */
  readonly requestMs: number
  /** From the end of the headers to the answer; longer than `requestMs`, so that a slow body is the client's fault. */
  readonly answerMs: number
  /** Without a byte in either direction. */
  readonly idleMs: number
  /** Between two requests of a connection; longer than the minute after which most proxies close theirs. */
  readonly keepAliveMs: number
  /** From the order to close to the end of the last connection. */
  readonly closeMs: number
  /** How often connections are held against these limits. */
  readonly checkEveryMs: number
}

export const defaultTimeouts: HttpTimeouts = {
  headersMs: 5_000,
  requestMs: 10_000,
  answerMs: 15_000,
  idleMs: 30_000,
  keepAliveMs: 65_000,
  closeMs: 15_000,
  checkEveryMs: 1_000,
}

/** A request and what is, or will be, its answer. */
export type Exchange = {
  readonly reply: FastifyReply
  /** How often it was looked at and found unanswered. */
  checks: number
}

/** Which answers are owed on which connection. */
export type InFlightRequests = {
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

/** The response to a request is owed from here on. */
export const beginExchange = (inFlight: InFlightRequests): OnEveryRequest =>
  function beginExchange(_request, reply) {
    inFlight.begin(reply)
  }

/**
 * Closes a connection that has sent more requests than it has responses to. Node parses all that has arrived before it can stop reading, so
 * one client with some 60 KB of short requests would otherwise have thousands of responses computed and kept in memory at once.
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
 * Keeps no listener and no timer for a request: what has been answered is forgotten when the next request of its connection comes, or
 * when the connection closes. A listener and a timer each would cost a refresh about a twentieth of its time.
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

/** How long a connection whose last answer is out may stay open while the server closes. */
const sweepEveryMs = 20

/** Half a second: a client that has just connected is about to send its request. */
const firstRequestWithinSweeps = 25

/** More connections than wait at a port, unless they come faster than they are taken. */
const mostTurns = 10_000

/**
 * While the service drains, and once closing has begun, each response ends its connection: proxies keep none that would be closed under a
 * request. Requests that still arrive on open connections are served like those under way. To refuse them would lose requests, because a
 * proxy sends a POST once only.
 *
 * Connections that are kept alive would keep the server alive with them, so idle ones are looked for until none is left:
 * asking only while closing costs the requests before nothing. One that never sent a byte, as browsers open them in advance, is not idle
 * for Node, which waits for its first request: it is closed as well.
 *
 * @param draining aborted when the process was asked to stop, and still takes new connections
 * @param graceMs after this long whatever is still open is cut off: Node stops looking at its own time limits when it
 *   closes, so one client that trickles bytes could keep the process from ending
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
   * Connections that the kernel has made and this process has not taken are reset when the port closes, with the requests in them. The
   * event loop takes one in a turn, so the port is closed after a whole turn that found none.
   */
  const takeWaiting = async (): Promise<void> => {
    // To the end of the present turn, in which nothing may be taken any more.
    await nextTurn()
    for (let turns = 0; turns < mostTurns; turns += 1) {
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
     * The act is finished even if its caller has gone: it only takes something away that the caller asked to be rid of. A logout that
     * was sent by a page on its way out counts.
     */
    outlivesCaller?: boolean
  }

  interface FastifyRequest {
    /** When the process read the request, less how long it had stood still just before. Monotonic milliseconds of the machine. */
    receivedMs: number
  }
}

const tickMs = 250

/** The event loop was this much late: whoever asked before may have given up meanwhile. */
const stallMs = 1_000

/** Requests that came during a stall are read within this time of its end. */
const aftermathMs = 2_000

/**
 * After the event loop stood still (a frozen process, a paused machine, a long collection of memory) a request is only begun when its
 * connection is still open. The kernel kept what clients sent who have left long ago, and their old handles would look like theft.
 * Costs one reading of the clock a request otherwise.
 */
export const dropGoneAfterStall = (app: FastifyInstance, log: Log): void => {
  // The clock of the machine, also in tests that set the time of the service.
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
    // After a stall the requests may be read before the timer runs.
    if (systemClock.monotonicMs() - tickedAtMs >= tickMs + stallMs) tick()
    return systemClock.monotonicMs() < aftermathEndsAtMs
  }

  let timer: NodeJS.Timeout | undefined
  // A start keeps the event loop busy, and nobody has asked anything yet.
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
 * Answers 503 for a request that nothing has answered within `answerMs` milliseconds of its headers, so that a stuck
 * dependency holds no connection for ever. The work itself goes on; what it returns later is dropped. Requests are looked at
 * every `checkEveryMs`, so the answer may come that much later.
 *
 * Not the framework's `handlerTimeout`: in fastify 5.12.8 that stops counting once a request body has been read.
 */
export const limitAnswerTime = (
  app: FastifyInstance,
  inFlight: InFlightRequests,
  { answerMs, checkEveryMs }: Pick<HttpTimeouts, 'answerMs' | 'checkEveryMs'>,
): void => {
  const check = (): void => {
    for (const exchange of inFlight.owed()) {
      exchange.checks += 1
      if (exchange.checks * checkEveryMs <= answerMs || exchange.reply.sent) continue
      const cause = new Error(`no answer within ${answerMs} ms`)
      exchange.reply.send(httpErrors.error('service_unavailable', { retryAfterSeconds: 1, cause }))
    }
  }
  const timer = setInterval(check, checkEveryMs)
  app.addHook('onClose', async () => clearInterval(timer))
}
