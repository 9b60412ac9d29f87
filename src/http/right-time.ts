import type { FastifyInstance } from 'fastify'
import type { OnEveryRequest } from './on-every-request.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers without asking what time it is, so it does not wait until that is known. */
    timeless?: boolean
  }
}

export type TimeOptions = {
  readonly time: {
    readonly nowMs: () => number
    /** By how much the machine's wall clock is ahead of that, milliseconds. */
    readonly aheadMs: () => number
    /** What to wait for before anything is decided by time; usually nothing. Rejects with an `AppError` of status 503. */
    readonly settle: () => Promise<void> | undefined
  }
}

/** `Date` (RFC 9110 section 6.6.1) has whole seconds; Node writes the wall clock's. */
const visibleMs = 1_000

/** Verifiers compare their clock with `Date`, so it must tell the time that decides and not that of a wall clock that is wrong. */
export const correctDate =
  ({ time }: TimeOptions): OnEveryRequest =>
  (_request, reply) => {
    if (Math.abs(time.aheadMs()) < visibleMs) return
    reply.header('date', new Date(time.nowMs()).toUTCString())
  }

/** After a suspension of the machine, requests wait until its clock has been compared with Postgres's again. */
export const awaitRightTime = (app: FastifyInstance, { time }: TimeOptions): void => {
  app.addHook('onRequest', (request, _reply, done) => {
    const settling = request.routeOptions.config.timeless ? undefined : time.settle()
    if (settling === undefined) done()
    else settling.then(() => done(), done)
  })
}
