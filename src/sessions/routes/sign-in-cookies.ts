import type { FastifyRequest } from 'fastify'
import type { SessionKind } from '../session.ts'
import type { PresentedCookies, Superseded } from '../supersede-sessions.ts'
import { expiredRefreshCookie, presentedRefreshCookie } from './refresh-cookie.ts'
import { expiredSealedCookies } from './sealed-cookie.ts'
import { expiredSessionCookie, presentedSessionCookie } from './session-cookie.ts'

/**
 * What a browser holds when somebody signs in with it. Read before the password is looked at: refused later, the sign-in would leave a
 * session that nobody has the handle of.
 * @throws duplicate_cookie
 */
export const presentedCookies = (request: FastifyRequest): PresentedCookies => ({
  session: presentedSessionCookie(request),
  refresh: presentedRefreshCookie(request),
})

/** What the answer to a sign-in takes out of the browser, besides what it sets anew. */
export const expiredAtSignIn = (
  request: FastifyRequest,
  kind: SessionKind,
  superseded: Superseded,
): readonly string[] => [
  ...(superseded.session && kind !== 'cookie' ? [expiredSessionCookie()] : []),
  ...(superseded.refresh && kind === 'cookie' ? [expiredRefreshCookie()] : []),
  ...(kind === 'sealed' ? [] : expiredSealedCookies(request)),
]
