import type { FastifyInstance } from 'fastify'
import { httpErrors } from './errors.ts'
import { onEveryRequest } from './on-every-request.ts'

/**
 * Answers 503 for a request that nothing has answered within `answerMs` milliseconds of its headers, so that a stuck
 * dependency holds no connection for ever. The work itself goes on; what it returns later is dropped.
 *
 * Not the framework's `handlerTimeout`: in fastify 5.12.8 that stops counting once a request body has been read.
 */
export const limitAnswerTime = (app: FastifyInstance, answerMs: number): void => {
  onEveryRequest(app, (_request, reply) => {
    const timer = setTimeout(() => {
      if (reply.sent) return
      const cause = new Error(`no answer within ${answerMs} ms`)
      reply.send(httpErrors.error('service_unavailable', { retryAfterSeconds: 1, cause }))
    }, answerMs)
    reply.raw.once('close', () => clearTimeout(timer))
  })
}
