import type { FastifyReply, FastifyRequest } from 'fastify'
import { credentialCookie, expiredCookie, singleCookie } from '../../http/cookies.ts'
import type { IssuedCookie } from '../issue-cookie.ts'
import type { CookieAnswer } from '../schemas.ts'

const sessionCookieName = '__Host-cardea-session'

/** A link from another site must arrive signed in; what changes anything is guarded by where it comes from. */
const sameSite = 'lax'

/** @throws duplicate_cookie */
export const presentedSessionCookie = (request: FastifyRequest): string | undefined =>
  singleCookie(request, sessionCookieName)

export const expiredSessionCookie = (): string => expiredCookie(sessionCookieName, { sameSite })

/** The answer of a sign-in that is kept by a cookie: the handle is in the cookie and nowhere else. */
export const cookieAnswer = (reply: FastifyReply, issued: IssuedCookie): CookieAnswer => {
  const { sessionId, handle, expiresInSeconds, absoluteExpiresInSeconds } = issued
  const cookie = { maxAgeSeconds: absoluteExpiresInSeconds, sameSite } as const
  reply.header('set-cookie', credentialCookie(sessionCookieName, handle, cookie))
  return { session_id: sessionId, expires_in: expiresInSeconds }
}
