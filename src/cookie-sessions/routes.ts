import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import type { Caller } from '../http/access.ts'
import { setCookies } from '../http/browser-requests.ts'
import { clientFacts } from '../http/client-facts.ts'
import { httpErrors, problemResponses } from '../http/errors.ts'
import { defineRoute, type Route } from '../http/route.ts'
import {
  type CookieResponse,
  type HandleCodec,
  presentedSessionCookie,
  sessionCookie,
  sessionErrors,
} from '../sessions/index.ts'
import type { CookieSession } from './cookie-session.ts'
import type { PresentedCookie } from './cookie-session-store.ts'
import {
  type CheckCookieSession,
  type ExplainRefusedCookie,
  readPresentedCookie,
} from './find-cookie-session.ts'
import type { IssuedCookie } from './issue-cookie.ts'
import { maxDataBytes, type ReplaceSessionData } from './session-data.ts'

const timeSchema = Type.String({ format: 'date-time' })

const sessionResponseSchema = Type.Object({
  account: Type.Object({
    id: Type.String(),
    email: Type.String(),
    roles: Type.Array(Type.String()),
  }),
  session: Type.Object({
    id: Type.String(),
    created_at: timeSchema,
    auth_time: Type.String({
      format: 'date-time',
      description: 'The last login of this session',
    }),
    last_used_at: Type.String({ format: 'date-time', description: 'To the minute or so' }),
    expires_at: Type.String({ format: 'date-time', description: 'When it ends if it is not used' }),
    absolute_expires_at: timeSchema,
  }),
  data: Type.Object(
    {},
    { additionalProperties: true, description: 'As `PUT /session/data` left it' },
  ),
})

export type SessionAnswer = Static<typeof sessionResponseSchema>

const sessionSchema = {
  summary: 'The session of my cookie',
  response: { 200: sessionResponseSchema, ...problemResponses(400, 401, 503) },
}

const replaceDataSchema = {
  summary: 'Replace what the web application keeps with the session',
  body: Type.Object({}, { additionalProperties: true }),
  response: {
    204: Type.Null(),
    ...problemResponses(400, 401, 403, 412, 413, 415, 428, 503),
  },
}

/** The response of a login with a session cookie. The handle is only in the cookie. */
export const cookieResponse = (reply: FastifyReply, issued: IssuedCookie): CookieResponse => {
  const { sessionId, handle, expiresInSeconds, absoluteExpiresInSeconds, persists } = issued
  const maxAgeSeconds = persists ? absoluteExpiresInSeconds : undefined
  setCookies(reply, [sessionCookie(reply, handle, maxAgeSeconds)])
  return { session_id: sessionId, expires_in: expiresInSeconds }
}

/** The strong entity tag of a version of the data (RFC 9110 section 8.8.3). */
const dataTag = (version: number): string => `"${version}"`

const strongTag = /^"([\x21\x23-\x7e\x80-\xff]*)"$/

const ourTag = /^(?:0|[1-9]\d{0,8})$/

/**
 * The version in `If-Match`; undefined for `*`, which matches any version.
 * @throws precondition_required without the header; invalid_request for anything except one strong tag or `*` (RFC 9110 section 13.1.1
 * requires a strong comparison, and a list of versions is meaningless here); precondition_failed for a tag that this service never issues
 */
const versionOfTag = (header: string | undefined): number | undefined => {
  if (header === undefined) throw sessionErrors.error('precondition_required')
  if (header === '*') return undefined
  const tag = strongTag.exec(header)?.[1]
  if (tag === undefined) {
    throw httpErrors.error('invalid_request', { detail: 'If-Match must be one strong entity tag.' })
  }
  if (!ourTag.test(tag)) throw sessionErrors.error('precondition_failed')
  return Number(tag)
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the access check, where a session cookie authorized the request. Read it with `cookieSessionOf`. */
    cookieSession: CookieSession | undefined
  }
}

/** The session of a caller on a route whose access is `cookie`. Throws on other routes, because the call is a programming mistake there. */
export const cookieSessionOf = (request: FastifyRequest): CookieSession => {
  const { cookieSession: session } = request
  if (!session) throw new TypeError('no session cookie opened this route')
  return session
}

/**
 * The caller of the request's session cookie; nothing without one.
 * @throws duplicate_cookie, invalid_session, or a 503 error when it cannot decide
 */
export const cookieAuthentication = (
  check: CheckCookieSession,
  explainRefused: ExplainRefusedCookie,
) =>
  async function authenticateCookie(request: FastifyRequest): Promise<Caller | undefined> {
    const handle = presentedSessionCookie(request)
    if (handle === undefined) return undefined
    const session = await check(handle)
    // The cookie is kept: the response to an older one must not clear the one that a step-up has just set.
    if (!session) {
      const reason = await explainRefused(handle, clientFacts(request))
      throw sessionErrors.error('invalid_session', { ...(reason && { reason }) })
    }
    request.cookieSession = session
    return {
      accountId: session.accountId,
      sessionId: session.sessionId,
      tokenId: undefined,
      roles: session.roles,
      scopes: session.scope.split(' '),
      audience: [session.audience],
    }
  }

export type CookieSessionRouteDeps = {
  readonly codec: Pick<HandleCodec, 'read'>
  readonly replaceData: ReplaceSessionData
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

/** The cookie that authorized the request. */
const presentedOn = (
  codec: CookieSessionRouteDeps['codec'],
  request: FastifyRequest,
): PresentedCookie => {
  const presented = readPresentedCookie(codec, presentedSessionCookie(request) ?? '')
  if (!presented) throw sessionErrors.error('invalid_session')
  return presented
}

export const cookieSessionRoutes = ({ codec, replaceData }: CookieSessionRouteDeps): Route[] => {
  return [
    defineRoute({
      method: 'GET',
      path: '/session',
      access: 'cookie',
      schema: sessionSchema,
      handler: async (request, reply) => {
        const session = cookieSessionOf(request)
        reply.header('etag', dataTag(session.dataVersion))
        return describe(session)
      },
    }),
    defineRoute({
      method: 'PUT',
      path: '/session/data',
      access: 'cookie',
      schema: replaceDataSchema,
      bodyLimit: maxDataBytes,
      handler: async (request, reply) => {
        const follows = versionOfTag(request.headers['if-match'])
        const data = JSON.stringify(request.body)
        // A number may become longer when it is serialized: 1e20.
        if (Buffer.byteLength(data) > maxDataBytes) throw httpErrors.error('payload_too_large')
        const changed = await replaceData({ presented: presentedOn(codec, request), data, follows })
        return reply.code(204).header('etag', dataTag(changed.dataVersion)).send(null)
      },
    }),
  ]
}
