import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { bearerTokenIn } from '../../http/access.ts'
import { prefersHtml } from '../../http/prefers-html.ts'
import type { trustedPeers } from '../../http/trusted-peers.ts'
import { loginErrors } from '../../login/index.ts'
import { presentedSessionCookie } from '../../sessions/index.ts'
import type { checkAccess, Presented, Verdict, Wanted } from '../check-access.ts'
import { forwardAuthErrors } from '../errors.ts'
import { safeReturnPath } from '../return-path.ts'
import type { ReturnTokens } from '../return-token.ts'
import { type ForwardAuthQuery, forwardAuthSchema } from '../schemas.ts'

export type ForwardAuthRouteDeps = {
  readonly check: ReturnType<typeof checkAccess>
  readonly returns: ReturnTokens
  readonly isTrustedPeer: ReturnType<typeof trustedPeers>
  /** Those that tokens are made for; the first is the default. */
  readonly audiences: readonly [string, ...string[]]
}

/** Any `Authorization` header decides alone, also one of another scheme. */
const presentedBy = (request: FastifyRequest): Presented => {
  const { authorization } = request.headers
  if (authorization !== undefined) return { kind: 'bearer', token: bearerTokenIn(authorization) }
  const handle = presentedSessionCookie(request)
  return handle === undefined ? { kind: 'nothing' } : { kind: 'cookie', handle }
}

/** The query comes from the proxy's configuration: a mistake in it is refused, so that it never opens a door. */
const wantedBy = (
  { role = [], max_age: maxAge, token, audience }: ForwardAuthQuery,
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
  }
}

/** RFC 6750 section 3, and RFC 9470 section 3 for a sign-in that is too old. A cookie is answered without a challenge. */
const challengeFor = (
  presented: Presented,
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
  { identity, token }: Extract<Verdict, { kind: 'allowed' }>,
): FastifyReply =>
  reply
    .headers({
      'x-auth-account': identity.accountId,
      'x-auth-roles': identity.roles.join(','),
      'x-auth-session': identity.sessionId,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    })
    .code(200)
    .send()

/** For `auth_request` of nginx, ForwardAuth of Traefik, `forward_auth` of Caddy, and what HAProxy asks by Lua. */
export const forwardAuthRoutes =
  ({ check, returns, isTrustedPeer, audiences }: ForwardAuthRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()

    /** Where the client wanted to go counts only from a proxy that we trust to have written it. */
    const returnPathOf = (request: FastifyRequest): string => {
      const uri = isTrustedPeer(request) ? request.headers['x-forwarded-uri'] : undefined
      return (typeof uri === 'string' ? safeReturnPath(uri) : undefined) ?? '/'
    }

    /**
     * 401 with the way to the login page; nginx takes it from there, to others the redirect itself is sent when they ask for it. Whoever
     * sent an `Authorization` header is shown no way: a program would take the page for the answer, and a browser that adds a password
     * to every request would go round for ever, since the page looks at the cookie alone and sends who has a session back.
     */
    const sendToLogin = (
      request: FastifyRequest<{ Querystring: ForwardAuthQuery }>,
      reply: FastifyReply,
      presented: Presented,
      staleAfterSeconds: number | undefined,
    ): FastifyReply => {
      const isTooOld = staleAfterSeconds !== undefined
      if (presented.kind !== 'bearer') {
        const location = `/login?return=${returns.write(returnPathOf(request), isTooOld)}`
        const wantsPage = prefersHtml(request.headers.accept)
        if (request.query.login === 'redirect' && wantsPage) return reply.redirect(location, 302)
        reply.header('location', location)
      }
      const challenge = challengeFor(presented, staleAfterSeconds)
      if (challenge !== undefined) reply.header('www-authenticate', challenge)
      throw forwardAuthErrors.error(isTooOld ? 'sign_in_too_old' : 'sign_in_required')
    }

    app.get(
      '/forward-auth',
      { schema: forwardAuthSchema, config: { access: 'public' } },
      async (request, reply) => {
        const presented = presentedBy(request)
        const wanted = wantedBy(request.query, audiences)
        const verdict = await check(presented, wanted)
        if (verdict.kind === 'allowed') return answerAllowed(reply, verdict)
        const staleAfterSeconds = verdict.kind === 'too_old' ? wanted.maxAgeSeconds : undefined
        return sendToLogin(request, reply, presented, staleAfterSeconds)
      },
    )
  }
