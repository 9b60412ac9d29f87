import type { FastifyRequest } from 'fastify'
import type { Caller } from '../../http/access.ts'
import { clientFacts } from '../../http/client-facts.ts'
import type { CheckCookieSession } from '../check-cookie-session.ts'
import type { CookieSession } from '../cookie-session.ts'
import { sessionErrors } from '../errors.ts'
import type { ExplainRefusedCookie } from '../explain-refused-cookie.ts'
import { presentedSessionCookie } from './session-cookie.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the check of callers, where a session cookie opened the route; read it with `cookieSessionOf`. */
    cookieSession: CookieSession | undefined
  }
}

/** The session of a caller on a route whose access is `cookie`. Anywhere else asking is a mistake, and throws. */
export const cookieSessionOf = (request: FastifyRequest): CookieSession => {
  const { cookieSession: session } = request
  if (!session) throw new TypeError('no session cookie opened this route')
  return session
}

/**
 * Who calls, by the session cookie of the request; nothing when there is none.
 * @throws duplicate_cookie, invalid_session, or 503 when it cannot be known
 */
export const cookieAuthentication =
  (check: CheckCookieSession, explainRefused: ExplainRefusedCookie) =>
  async (request: FastifyRequest): Promise<Caller | undefined> => {
    const handle = presentedSessionCookie(request)
    if (handle === undefined) return undefined
    const session = await check(handle)
    // The cookie stays: an answer to an older one must not clear the one that a step-up has just set.
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
