import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { callerOf } from '../../http/access.ts'
import { clientFacts } from '../../http/client-facts.ts'
import { readSingleCookie } from '../../http/cookies.ts'
import type { Clock } from '../../lib/clock.ts'
import type { endOwnSession, endOwnSessions, Owner } from '../end-own-sessions.ts'
import type { HandleCodec } from '../handle.ts'
import { endAllSchema, endOneSchema, listSchema, type SessionList } from '../schemas.ts'
import type { SessionStore, SessionSummary } from '../session-store.ts'
import { expiredRefreshCookie, refreshCookieName } from './refresh-cookie.ts'

export type OwnSessionRouteDeps = {
  readonly clock: Clock
  readonly codec: Pick<HandleCodec, 'read'>
  readonly sessions: Pick<SessionStore, 'listOfAccount'>
  readonly endOne: ReturnType<typeof endOwnSession>
  readonly endAll: ReturnType<typeof endOwnSessions>
}

const time = (ms: number): string => new Date(ms).toISOString()

/** One sign-in as it is shown to its owner or to an operator. */
export const describeSession = (
  summary: SessionSummary,
  currentId?: string,
): SessionList['sessions'][number] => ({
  id: summary.sessionId,
  current: summary.sessionId === currentId,
  delivery: summary.delivery,
  device: summary.userAgent,
  address: summary.address,
  created_at: time(summary.authenticatedAtMs),
  last_used_at: time(summary.lastUsedAtMs),
  expires_at: time(summary.expiresAtMs),
})

const ownerOf = (request: FastifyRequest): Owner => {
  const { accountId, sessionId } = callerOf(request)
  return { accountId, sessionId, client: clientFacts(request) }
}

const clearCookieOf = (reply: FastifyReply): FastifyReply =>
  reply.header('set-cookie', expiredRefreshCookie())

/**
 * Whether the cookie of the request is that of the session that asks, or there is none. An app in another tab may hold the token of an
 * older sign-in: clearing the cookie then would sign the newer one out. A cookie of a session that has ended is cleared by the next refresh.
 * @throws duplicate_cookie
 */
const holdsOwnCookie = (codec: OwnSessionRouteDeps['codec'], request: FastifyRequest): boolean => {
  const cookie = readSingleCookie(request.headers.cookie, refreshCookieName)
  const presented = cookie === undefined ? undefined : codec.read(cookie)
  return presented === undefined || presented.sessionId === callerOf(request).sessionId
}

export const ownSessionRoutes =
  ({ clock, codec, sessions, endOne, endAll }: OwnSessionRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()

    app.get('/sessions', { schema: listSchema, config: { access: 'session' } }, async (request) => {
      const { accountId, sessionId } = callerOf(request)
      const summaries = await sessions.listOfAccount(accountId, clock.nowMs())
      return { sessions: summaries.map((summary) => describeSession(summary, sessionId)) }
    })

    app.delete(
      '/sessions/:id',
      { schema: endOneSchema, config: { access: 'session' } },
      async (request, reply) => {
        const owner = ownerOf(request)
        const clearsCookie = request.params.id === owner.sessionId && holdsOwnCookie(codec, request)
        await endOne(request.params.id, owner)
        if (clearsCookie) clearCookieOf(reply)
        return reply.code(204).send(null)
      },
    )

    app.delete(
      '/sessions',
      { schema: endAllSchema, config: { access: 'session' } },
      async (request, reply) => {
        const keepsCurrent = request.query.keep === 'current'
        const clearsCookie = !keepsCurrent && holdsOwnCookie(codec, request)
        const ended = await endAll(ownerOf(request), keepsCurrent)
        if (clearsCookie) clearCookieOf(reply)
        return { ended }
      },
    )
  }
