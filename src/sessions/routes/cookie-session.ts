import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { httpErrors } from '../../http/errors.ts'
import type { CookieSession } from '../cookie-session.ts'
import type { PresentedCookie } from '../cookie-session-store.ts'
import { sessionErrors } from '../errors.ts'
import type { HandleCodec } from '../handle.ts'
import { readPresentedCookie } from '../read-presented-cookie.ts'
import { maxDataBytes, type replaceSessionData } from '../replace-session-data.ts'
import { replaceDataSchema, type SessionAnswer, sessionSchema } from '../schemas.ts'
import { cookieSessionOf } from './cookie-callers.ts'
import { dataTag, versionOfTag } from './data-tag.ts'
import { presentedSessionCookie } from './session-cookie.ts'

export type CookieSessionRouteDeps = {
  readonly codec: Pick<HandleCodec, 'read'>
  readonly replaceData: ReturnType<typeof replaceSessionData>
}

const time = (ms: number): string => new Date(ms).toISOString()

const describe = (session: CookieSession): SessionAnswer => ({
  account: { id: session.accountId, email: session.email, roles: [...session.roles] },
  session: {
    id: session.sessionId,
    created_at: time(session.createdAtMs),
    auth_time: time(session.authenticatedAtMs),
    last_used_at: time(session.lastUsedAtMs),
    expires_at: time(session.idleExpiresAtMs),
    absolute_expires_at: time(session.absoluteExpiresAtMs),
  },
  data: session.data === undefined ? {} : JSON.parse(session.data),
})

/** The cookie that has opened the route. */
const presentedOn = (
  codec: CookieSessionRouteDeps['codec'],
  request: FastifyRequest,
): PresentedCookie => {
  const presented = readPresentedCookie(codec, presentedSessionCookie(request) ?? '')
  if (!presented) throw sessionErrors.error('invalid_session')
  return presented
}

export const cookieSessionRoutes =
  ({ codec, replaceData }: CookieSessionRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    app.decorateRequest('cookieSession')

    const reading = { schema: sessionSchema, config: { access: 'cookie' } } as const
    app.get('/session', reading, async (request, reply) => {
      const session = cookieSessionOf(request)
      reply.header('etag', dataTag(session.dataVersion))
      return describe(session)
    })

    app.put(
      '/session/data',
      { schema: replaceDataSchema, config: { access: 'cookie' }, bodyLimit: maxDataBytes },
      async (request, reply) => {
        const follows = versionOfTag(request.headers['if-match'])
        const data = JSON.stringify(request.body)
        // Written out, a number may be longer than it came: 1e20.
        if (Buffer.byteLength(data) > maxDataBytes) throw httpErrors.error('payload_too_large')
        const changed = await replaceData({ presented: presentedOn(codec, request), data, follows })
        return reply.code(204).header('etag', dataTag(changed.dataVersion)).send(null)
      },
    )
  }
