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
  /** Without a query: a path of the same host, or a whole address when one page serves several hosts. */
  readonly loginPage: string
  readonly isTrustedPeer: TrustedPeers
  /** Those that tokens are made for; the first is the default. */
  readonly audiences: readonly [string, ...string[]]
}

/** Any `Authorization` header decides alone, also one of another scheme. */
const presentedBy = (request: FastifyRequest): PresentedCredential => {
  const { authorization } = request.headers
  if (authorization !== undefined) return { kind: 'bearer', token: bearerTokenIn(authorization) }
  const handle = presentedSessionCookie(request)
  if (handle === undefined) return { kind: 'nothing' }
  return { kind: 'cookie', handle, client: clientFacts(request) }
}

/** The query comes from the proxy's configuration: a mistake in it is refused, so that it never opens a door. */
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

/** RFC 6750 section 3, and RFC 9470 section 3 for a login that is too old. A cookie is answered without a challenge. */
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

/** Identity in headers only, so that a proxy which passes a body on by mistake tells nothing. */
const answerAllowed = (
  reply: FastifyReply,
  { identity, token, email }: Extract<AccessVerdict, { kind: 'allowed' }>,
): FastifyReply =>
  reply
    .headers({
      'x-auth-account': identity.accountId,
      'x-auth-roles': identity.roles.join(','),
      'x-auth-session': identity.sessionId,
      // As bytes of UTF-8: Node writes a header in latin1, and refuses what does not fit into it.
      ...(email !== undefined && { 'x-auth-email': Buffer.from(email).toString('latin1') }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    })
    .code(200)
    .send()

type SentToLogin = {
  readonly presented: PresentedCredential
  /** Somebody is logged in, and for too long. */
  readonly staleAfterSeconds: number | undefined
  /** What is wrong with what was presented. */
  readonly cause: unknown
}

/** For `auth_request` of nginx, ForwardAuth of Traefik, `forward_auth` of Caddy, and what HAProxy asks by Lua. */
export const forwardAuthRoutes = ({
  check,
  returns,
  returnRules,
  loginPage,
  isTrustedPeer,
  audiences,
}: ForwardAuthRouteDeps): Route[] => {
  /** Where the client wanted to go counts only from a proxy that we trust to have written it. */
  const returnAddress = (request: FastifyRequest): string => {
    const said = (name: string): string | undefined => {
      const value = isTrustedPeer(request) ? request.headers[name] : undefined
      return typeof value === 'string' ? value : undefined
    }
    const asked = { host: said('x-forwarded-host'), uri: said('x-forwarded-uri') }
    return returnAddressOf(asked, returnRules)
  }

  /**
   * 401 with the way to the login page; nginx takes it from there, to others the redirect itself is sent when they ask for it. Whoever
   * sent an `Authorization` header is shown no way: a program would take the page for the answer, and a browser that adds a password
   * to every request would go round for ever, since the page looks at the cookie alone and sends who has a session back.
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
        if (verdict.kind === 'allowed') return answerAllowed(reply, verdict)
        const staleAfterSeconds = verdict.kind === 'too_old' ? wanted.maxAgeSeconds : undefined
        const cause = verdict.kind === 'signed_out' ? verdict.cause : undefined
        return sendToLogin(request, reply, { presented, staleAfterSeconds, cause })
      },
    }),
  ]
}
