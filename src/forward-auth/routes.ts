import type { FastifyReply, FastifyRequest } from 'fastify'
import { prefersHtml } from '../http/accept.ts'
import { bearerTokenIn } from '../http/access.ts'
import { clientFacts, type TrustedPeers } from '../http/client-facts.ts'
import { defineRoute, type Route } from '../http/route.ts'
import { loginErrors } from '../login/index.ts'
import { presentedSessionCookie } from '../sessions/index.ts'
import {
  type AccessVerdict,
  type CheckAccess,
  forwardAuthErrors,
  type PresentedCredential,
  type Wanted,
} from './check-access.ts'
import { type ReturnRules, type ReturnTokens, returnAddressOf } from './return-address.ts'
import { type ForwardAuthQuery, forwardAuthSchema } from './schemas.ts'

export type ForwardAuthRouteDeps = {
  readonly check: CheckAccess
  readonly returns: ReturnTokens
  readonly returnRules: ReturnRules
  /** Without a query. A path of the same host, or a full address when one page serves several hosts. */
  readonly loginPage: string
  readonly isTrustedPeer: TrustedPeers
  /** The audiences of tokens; the first is the default. */
  readonly audiences: readonly [string, ...string[]]
}

/** An `Authorization` header of any scheme is the only credential that decides. */
const presentedBy = (request: FastifyRequest): PresentedCredential => {
  const { authorization } = request.headers
  if (authorization !== undefined) return { kind: 'bearer', token: bearerTokenIn(authorization) }
  const handle = presentedSessionCookie(request)
  if (handle === undefined) return { kind: 'nothing' }
  return { kind: 'cookie', handle, client: clientFacts(request) }
}

/** The query comes from the proxy's configuration. A mistake in it is an error, so that it never grants access. */
const wantedBy = (
  { role = [], max_age: maxAge, token, email, audience }: ForwardAuthQuery,
  audiences: ForwardAuthRouteDeps['audiences'],
): Wanted => {
  if (audience !== undefined && !audiences.includes(audience)) {
    throw loginErrors.error('unknown_audience')
  }
  return {
    roles: [role].flat(),
    maxAgeSeconds: maxAge === undefined ? undefined : Number(maxAge),
    audience,
    tokenAudience: token === undefined ? undefined : (audience ?? audiences[0]),
    email: email !== undefined,
  }
}

/** RFC 6750 section 3, and RFC 9470 section 3 for a login that is too old. Responses about a cookie carry no challenge. */
const challengeFor = (
  presented: PresentedCredential,
  maxAgeSeconds: number | undefined,
): string | undefined => {
  const realm = 'Bearer realm="cardea"'
  if (presented.kind === 'cookie') return undefined
  if (presented.kind === 'nothing') return realm
  return maxAgeSeconds === undefined
    ? `${realm}, error="invalid_token"`
    : `${realm}, error="insufficient_user_authentication", max_age="${maxAgeSeconds}"`
}

/** The identity is only in headers, so that a proxy that forwards the body by mistake reveals nothing. */
const respondAllowed = (
  reply: FastifyReply,
  { identity, token, email }: Extract<AccessVerdict, { kind: 'allowed' }>,
): FastifyReply =>
  reply
    .headers({
      'x-auth-account': identity.accountId,
      'x-auth-roles': identity.roles.join(','),
      'x-auth-session': identity.sessionId,
      // UTF-8 bytes as latin1: Node writes headers in latin1 and refuses other characters.
      ...(email !== undefined && { 'x-auth-email': Buffer.from(email).toString('latin1') }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    })
    .code(200)
    .send()

type SentToLogin = {
  readonly presented: PresentedCredential
  /** A user is logged in, but authenticated too long ago. */
  readonly staleAfterSeconds: number | undefined
  /** What was wrong with the presented credential. */
  readonly cause: unknown
}

/** For `auth_request` of nginx, ForwardAuth of Traefik, `forward_auth` of Caddy, and a Lua request of HAProxy. */
export const forwardAuthRoutes = ({
  check,
  returns,
  returnRules,
  loginPage,
  isTrustedPeer,
  audiences,
}: ForwardAuthRouteDeps): Route[] => {
  /** The original address is only read from headers of a trusted proxy. */
  const returnAddress = (request: FastifyRequest): string => {
    const said = (name: string): string | undefined => {
      const value = isTrustedPeer(request) ? request.headers[name] : undefined
      return typeof value === 'string' ? value : undefined
    }
    const page = { host: said('x-forwarded-host'), uri: said('x-forwarded-uri') }
    return returnAddressOf(page, returnRules)
  }

  /**
   * Sends 401 with the address of the login page. nginx redirects to it by itself; other proxies get a redirect when they request it. A
   * request with an `Authorization` header gets no address: a program would take the page for the response, and a browser that adds a
   * password to every request would loop forever, because the page reads only the cookie and redirects users with a session back.
   */
  const sendToLogin = (
    request: FastifyRequest<{ Querystring: ForwardAuthQuery }>,
    reply: FastifyReply,
    { presented, staleAfterSeconds, cause }: SentToLogin,
  ): FastifyReply => {
    const isTooOld = staleAfterSeconds !== undefined
    if (presented.kind !== 'bearer') {
      const location = `${loginPage}?return=${returns.write(returnAddress(request), isTooOld)}`
      const wantsPage = prefersHtml(request.headers.accept)
      if (request.query.login === 'redirect' && wantsPage) return reply.redirect(location, 302)
      reply.header('location', location)
    }
    const challenge = challengeFor(presented, staleAfterSeconds)
    if (challenge !== undefined) reply.header('www-authenticate', challenge)
    throw forwardAuthErrors.error(isTooOld ? 'sign_in_too_old' : 'sign_in_required', { cause })
  }
  return [
    defineRoute({
      method: 'GET',
      path: '/forward-auth',
      access: 'public',
      schema: forwardAuthSchema,
      handler: async (request, reply) => {
        const presented = presentedBy(request)
        const wanted = wantedBy(request.query, audiences)
        const verdict = await check(presented, wanted)
        if (verdict.kind === 'allowed') return respondAllowed(reply, verdict)
        const staleAfterSeconds = verdict.kind === 'too_old' ? wanted.maxAgeSeconds : undefined
        const cause = verdict.kind === 'signed_out' ? verdict.cause : undefined
        return sendToLogin(request, reply, { presented, staleAfterSeconds, cause })
      },
    }),
  ]
}
