import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { assertRight, type Caller, callerOf, type Right, tryCaller } from '../http/access.ts'
import { type CredentialCookie, mayUseCookies, setCookies } from '../http/browser-requests.ts'
import { clientFacts } from '../http/client-facts.ts'
import { problemResponses } from '../http/errors.ts'
import { defineRoute, type Route } from '../http/route.ts'
import { type Clock, idPattern } from '../lib/machine.ts'
import type { HandleCodec } from './credentials.ts'
import type {
  EndCookieSession,
  EndOwnSession,
  EndOwnSessions,
  EndPresentedSession,
  LogOut,
  Owner,
} from './end-session.ts'
import {
  expiredRefreshCookie,
  expiredSealedCookies,
  expiredSessionCookie,
  type HandleRequest,
  handleInBody,
  presentedCookies,
  presentedHandle,
  presentedRefreshCookie,
  presentedSessionCookie,
  presentedTokenSchema,
} from './responses.ts'
import { sessionErrors } from './session.ts'
import type { SessionStore, SessionSummary } from './session-store.ts'

const logoutBody = Type.Object(presentedTokenSchema, { additionalProperties: false })

const logoutSchema = {
  summary: 'End this session',
  body: logoutBody,
  response: { 204: Type.Null(), ...problemResponses(400, 401, 403, 413, 415, 503) },
}

const summarySchema = Type.Object({
  id: Type.String(),
  current: Type.Boolean({ description: 'Whether it is the session that makes the request' }),
  kind: Type.Union([Type.Literal('token'), Type.Literal('cookie'), Type.Literal('sealed')]),
  delivery: Type.Union([Type.Literal('cookie'), Type.Literal('body')]),
  device: Type.String({ description: 'The User-Agent of the login' }),
  address: Type.String({ description: 'Where the login came from' }),
  created_at: Type.String({ format: 'date-time' }),
  last_used_at: Type.String({ format: 'date-time' }),
  expires_at: Type.String({ format: 'date-time', description: 'When it ends if it is not used' }),
})

export const sessionListSchema = Type.Object({ sessions: Type.Array(summarySchema) })

export type SessionList = Static<typeof sessionListSchema>

const listSchema = {
  summary: 'My sessions, last used first',
  response: { 200: sessionListSchema, ...problemResponses(401, 403, 503) },
}

const endOneSchema = {
  summary: 'End one of my sessions',
  params: Type.Object({ id: Type.String({ pattern: idPattern }) }),
  response: { 204: Type.Null(), ...problemResponses(400, 401, 403, 404, 415, 503) },
}

const endAllSchema = {
  summary: 'End all my sessions',
  querystring: Type.Object(
    {
      keep: Type.Optional(Type.Literal('current', { description: 'Spare the session that asks' })),
    },
    { additionalProperties: false },
  ),
  response: {
    200: Type.Object({ ended: Type.Integer({ description: 'How many sessions ended' }) }),
    ...problemResponses(400, 401, 403, 415, 503),
  },
}

export type LogoutRouteDeps = {
  readonly endPresented: EndPresentedSession
  /** Ends the session of a session cookie. */
  readonly endPresentedCookie: EndCookieSession
  readonly logOut: LogOut
  /** The session of an access token, if the request carries a valid one. */
  readonly authenticate: (token: string) => Promise<Caller>
  /** Whether that token may end its session. A token for another service may not. */
  readonly ownerRight: Right
}

export type BrowserEndings = Pick<LogoutRouteDeps, 'endPresented' | 'endPresentedCookie'>

/** Ends the sessions of the cookies in a request. Returns cookies that delete them in the browser. */
export type EndBrowserSessions = (request: FastifyRequest) => Promise<readonly CredentialCookie[]>

/** The function rejects with duplicate_cookie before anything ends, and with store_unavailable. */
export const endBrowserSessions =
  ({ endPresented, endPresentedCookie }: BrowserEndings): EndBrowserSessions =>
  async (request) => {
    const { refresh, session } = presentedCookies(request)
    const client = clientFacts(request)
    if (refresh !== undefined) {
      await endPresented({ presented: refresh, delivery: 'cookie', client })
    }
    if (session !== undefined) await endPresentedCookie(session, client)
    return [
      ...(refresh === undefined ? [] : [expiredRefreshCookie()]),
      ...(session === undefined ? [] : [expiredSessionCookie(request)]),
      ...expiredSealedCookies(request),
    ]
  }

export const logoutRoutes = ({
  endPresented,
  endPresentedCookie,
  logOut,
  authenticate,
  ownerRight,
}: LogoutRouteDeps): Route[] => {
  const presentedBy = (request: HandleRequest) => {
    const usesCookies = mayUseCookies(request)
    // A page of another site without a token and without a body would need a cookie, so reading one throws.
    const bringsToken = !usesCookies && request.headers.authorization !== undefined
    return {
      handle: bringsToken ? handleInBody(request) : presentedHandle(request),
      cookie: usesCookies ? presentedSessionCookie(request) : undefined,
    }
  }

  /**
   * Ends the session of every credential in the request that may end it. A token without the right does not block the others.
   * @throws insufficient_scope when the only credential is such a token
   */
  const endPresentedSessions = async (
    request: HandleRequest,
    reply: FastifyReply,
  ): Promise<{ byToken: boolean; byCookie: boolean }> => {
    const { handle, cookie } = presentedBy(request)
    const caller = await tryCaller(request, authenticate)
    const isOwner = caller !== undefined && ownerRight.lackedBy(caller).length === 0
    if (caller && !handle && cookie === undefined) assertRight(reply, ownerRight, caller)
    const client = clientFacts(request)
    if (handle) await endPresented({ ...handle, client })
    if (cookie !== undefined) await endPresentedCookie(cookie, client)
    if (isOwner) await logOut({ ...caller, client })
    return { byToken: handle !== undefined || isOwner, byCookie: cookie !== undefined }
  }
  return [
    defineRoute({
      method: 'POST',
      path: '/logout',
      access: 'public',
      outlivesCaller: true,
      worksWithoutCookies: true,
      schema: logoutSchema,
      handler: async (request, reply) => {
        const { byToken, byCookie } = await endPresentedSessions(request, reply)
        if (!byToken && !byCookie) throw sessionErrors.error('missing_refresh_token')
        // Sends no `Clear-Site-Data`: the other data of this origin belongs to the app that shares it
        // (docs/decisions/0010-logout-clears-its-own-cookies.md).
        if (mayUseCookies(request)) {
          setCookies(reply, [
            // A browser with only a session cookie gets no header about the other cookies.
            ...(byToken ? [expiredRefreshCookie()] : []),
            ...(byCookie ? [expiredSessionCookie(request)] : []),
            ...expiredSealedCookies(request),
          ])
        }
        return reply.code(204).send(null)
      },
    }),
  ]
}

export type OwnSessionRouteDeps = {
  readonly clock: Clock
  readonly codec: Pick<HandleCodec, 'read'>
  readonly sessions: Pick<SessionStore, 'listOfAccount'>
  readonly endOne: EndOwnSession
  readonly endAll: EndOwnSessions
}

const time = (ms: number): string => new Date(ms).toISOString()

/** One login as shown to its owner or to an operator. */
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
 * Whether the refresh cookie belongs to the session that makes the request, or there is none. An app in another tab may hold the token of
 * an older login, and clearing the cookie would log the newer one out. The next refresh clears the cookie of an ended session.
 * @throws duplicate_cookie
 */
const holdsOwnCookie = (codec: OwnSessionRouteDeps['codec'], request: FastifyRequest): boolean => {
  const cookie = presentedRefreshCookie(request)
  const presented = cookie === undefined ? undefined : codec.read(cookie)
  return presented === undefined || presented.sessionId === callerOf(request).sessionId
}

/**
 * The cookies to delete when the session that makes the request ends: the cookie that authorized the request, or those of the token's
 * session. None for a page of another site.
 */
const ownExpiredCookies = (
  codec: OwnSessionRouteDeps['codec'],
  request: FastifyRequest,
): readonly CredentialCookie[] => {
  if (!mayUseCookies(request)) return []
  if (callerOf(request).tokenId === undefined) return [expiredSessionCookie(request)]
  if (!holdsOwnCookie(codec, request)) return []
  return [expiredRefreshCookie(), ...expiredSealedCookies(request)]
}

export const ownSessionRoutes = ({
  clock,
  codec,
  sessions,
  endOne,
  endAll,
}: OwnSessionRouteDeps): Route[] => [
  defineRoute({
    method: 'GET',
    path: '/sessions',
    access: 'session',
    schema: listSchema,
    handler: async (request) => {
      const { accountId, sessionId } = callerOf(request)
      const summaries = await sessions.listOfAccount(accountId, clock.nowMs())
      return { sessions: summaries.map((summary) => describeSession(summary, sessionId)) }
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/sessions/:id',
    access: 'session',
    outlivesCaller: true,
    schema: endOneSchema,
    handler: async (request, reply) => {
      const owner = ownerOf(request)
      const endsItself = request.params.id === owner.sessionId
      const cookies = endsItself ? ownExpiredCookies(codec, request) : []
      await endOne(request.params.id, owner)
      setCookies(reply, cookies)
      return reply.code(204).send(null)
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/sessions',
    access: 'session',
    outlivesCaller: true,
    schema: endAllSchema,
    handler: async (request, reply) => {
      const keepsCurrent = request.query.keep === 'current'
      const cookies = keepsCurrent ? [] : ownExpiredCookies(codec, request)
      const ended = await endAll(ownerOf(request), keepsCurrent)
      setCookies(reply, cookies)
      return { ended }
    },
  }),
]
