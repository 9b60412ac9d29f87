import type { FastifyInstance } from 'fastify'
import { systemClock } from '../lib/clock.ts'
import { isCallerConnected } from './caller-connection.ts'
import type { Log } from './log.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The act is finished even if its caller has gone: it only takes something away that the caller asked to be rid of. A log-out that
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
