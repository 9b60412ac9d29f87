import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import type { Reference } from '../../audit/index.ts'
import { clientFacts } from '../../http/client-facts.ts'
import type { Log } from '../../http/log.ts'
import { sessionErrors } from '../errors.ts'
import type { refreshSession } from '../refresh-session.ts'
import { refreshSchema } from '../schemas.ts'
import { presentedHandle } from './presented-handle.ts'
import { expiredRefreshCookie } from './refresh-cookie.ts'
import type { SealedAnswer } from './sealed-answer.ts'
import { expiredSealedCookies } from './sealed-cookie.ts'
import { tokenAnswer } from './token-answer.ts'

export type RefreshRouteDeps = {
  readonly refresh: ReturnType<typeof refreshSession>
  /** A refresh is logged and not audited: it is one statement, and the log names the session only by this. */
  readonly reference: Reference
  readonly log: Pick<Log, 'info'>
  readonly answerSealed: SealedAnswer
}

export const refreshRoutes =
  ({ refresh, reference, log, answerSealed }: RefreshRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    app.post(
      '/refresh',
      { schema: refreshSchema, config: { access: 'public' } },
      async (request, reply) => {
        const handle = presentedHandle(request)
        if (!handle) throw sessionErrors.error('missing_refresh_token')
        const result = await refresh({ ...handle, client: clientFacts(request) })
        if (result.kind === 'refused') {
          if (result.clearsCookie && handle.delivery === 'cookie') {
            reply.header('set-cookie', [expiredRefreshCookie(), ...expiredSealedCookies(request)])
          }
          throw result.error
        }
        const session = reference(result.issued.sessionId)
        const fields = { request_id: request.id, event: 'token_refreshed', session }
        log.info(fields, 'session refreshed')
        if (result.issued.kind === 'sealed') return answerSealed(reply, result.issued)
        return tokenAnswer(reply, result.issued, handle.delivery)
      },
    )
  }
