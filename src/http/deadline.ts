import type { FastifyInstance } from 'fastify'
import { httpErrors } from './errors.ts'
import type { HttpTimeouts } from './server-options.ts'
import type { Traffic } from './traffic.ts'

/**
 * Answers 503 for a request that nothing has answered within `answerMs` milliseconds of its headers, so that a stuck
 * dependency holds no connection for ever. The work itself goes on; what it returns later is dropped. Requests are looked at
 * every `checkEveryMs`, so the answer may come that much later.
 *
 * Not the framework's `handlerTimeout`: in fastify 5.12.8 that stops counting once a request body has been read.
 */
export const limitAnswerTime = (
  app: FastifyInstance,
  traffic: Traffic,
  { answerMs, checkEveryMs }: Pick<HttpTimeouts, 'answerMs' | 'checkEveryMs'>,
): void => {
  const check = (): void => {
    for (const exchange of traffic.owed()) {
      exchange.checks += 1
      if (exchange.checks * checkEveryMs <= answerMs || exchange.reply.sent) continue
      const cause = new Error(`no answer within ${answerMs} ms`)
      exchange.reply.send(httpErrors.error('service_unavailable', { retryAfterSeconds: 1, cause }))
    }
  }
  const timer = setInterval(check, checkEveryMs)
  app.addHook('onClose', async () => clearInterval(timer))
}
