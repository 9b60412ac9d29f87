import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { callerOf } from '../../http/access.ts'
import { clientFacts } from '../../http/client-facts.ts'
import type { Clock } from '../../lib/clock.ts'
import type { endOwnSession, endOwnSessions, Owner } from '../end-own-sessions.ts'
import type { HandleCodec } from '../handle.ts'
import { endAllSchema, endOneSchema, listSchema, type SessionList } from '../schemas.ts'
import type { SessionStore, SessionSummary } from '../session-store.ts'
import { expiredRefreshCookie, presentedRefreshCookie } from './refresh-cookie.ts'
import { expiredSealedCookies } from './sealed-cookie.ts'
import { expiredSessionCookie } from './session-cookie.ts'

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
  kind: summary.kind,
  delivery: summary.delivery,
  device: summary.userAgent,
  address: summary.address,
  created_at: time(summary.createdAtMs),
  last_used_at: time(summary.lastUsedAtMs),
  expires_at: time(summary.expiresAtMs),
})

const ownerOf = (request: FastifyRequest): Owner => {
  const { accountId, sessionId } = callerOf(request)
  return { accountId, sessionId, client: clientFacts(request) }
}

/**
 * Whether the cookie of the request is that of the session that asks, or there is none. An app in another tab may hold the token of an
 * older sign-in: clearing the cookie then would sign the newer one out. A cookie of a session that has ended is cleared by the next refresh.
 * @throws duplicate_cookie
 */
const holdsOwnCookie = (codec: OwnSessionRouteDeps['codec'], request: FastifyRequest): boolean => {
  const cookie = presentedRefreshCookie(request)
  const presented = cookie === undefined ? undefined : codec.read(cookie)
  return presented === undefined || presented.sessionId === callerOf(request).sessionId
}

/** What an answer that ends the session that asks clears: the cookie that opened the route, or those of its token's session. */
const ownExpiredCookies = (
  codec: OwnSessionRouteDeps['codec'],
  request: FastifyRequest,
): readonly string[] => {
  if (callerOf(request).tokenId === undefined) return [expiredSessionCookie()]
  if (!holdsOwnCookie(codec, request)) return []
  return [expiredRefreshCookie(), ...expiredSealedCookies(request)]
}

const clear = (reply: FastifyReply, cookies: readonly string[]): void => {
  if (cookies.length > 0) reply.header('set-cookie', cookies)
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
      { schema: endOneSchema, config: { access: 'session', outlivesCaller: true } },
      async (request, reply) => {
        const owner = ownerOf(request)
        const endsItself = request.params.id === owner.sessionId
        const cookies = endsItself ? ownExpiredCookies(codec, request) : []
        await endOne(request.params.id, owner)
        clear(reply, cookies)
        return reply.code(204).send(null)
      },
    )

    app.delete(
      '/sessions',
      { schema: endAllSchema, config: { access: 'session', outlivesCaller: true } },
      async (request, reply) => {
        const keepsCurrent = request.query.keep === 'current'
        const cookies = keepsCurrent ? [] : ownExpiredCookies(codec, request)
        const ended = await endAll(ownerOf(request), keepsCurrent)
        clear(reply, cookies)
        return { ended }
      },
    )
  }
