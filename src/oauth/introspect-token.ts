import { defineRoute, type Route } from '../http/route.ts'
import { unlessUnauthorized } from '../lib/app-error.ts'
import type { Clock } from '../lib/machine.ts'
import type { AccessTokenClaims } from '../tokens/index.ts'
import { type ActiveToken, introspectSchema } from './schemas.ts'

export type IntrospectTokenDeps = {
  readonly clock: Pick<Clock, 'nowMs'>
  /**
   * The service's own check: signature, claims and revocations. It accepts every audience for which this issuer issues tokens. Throws an
   * `AppError` with status 401 for an invalid token, 503 when it cannot decide.
   */
  readonly check: (token: string) => Promise<AccessTokenClaims>
}

export type Introspection =
  | { readonly active: false }
  | { readonly active: true; readonly claims: AccessTokenClaims }

const inactive: Introspection = { active: false }

/**
 * Whether an access token is active, and its claims. Any service client may ask about a token for any audience. An inactive token gets no
 * reason, which would help an attacker who tries tokens (RFC 7662 section 2.2).
 * @throws store_unavailable and other errors of `check` when it cannot decide, instead of returning "not active"
 */
export const introspectToken =
  ({ clock, check }: IntrospectTokenDeps) =>
  async (token: string): Promise<Introspection> => {
    const claims = await unlessUnauthorized(check(token))
    // The check allows for clock differences of some seconds. This response is about the current moment, and an `exp` in the past would
    // contradict it.
    return claims && claims.exp * 1000 > clock.nowMs() ? { active: true, claims } : inactive
  }

export type IntrospectRouteDeps = { readonly introspect: ReturnType<typeof introspectToken> }

/** Listed one by one, so that a claim that is added to tokens later is not exposed automatically. */
const describe = (claims: AccessTokenClaims): ActiveToken => ({
  active: true,
  token_type: 'Bearer',
  iss: claims.iss,
  sub: claims.sub,
  aud: typeof claims.aud === 'string' ? claims.aud : [...claims.aud],
  client_id: claims.client_id,
  iat: claims.iat,
  exp: claims.exp,
  jti: claims.jti,
  sid: claims.sid,
  scope: claims.scope,
  roles: [...claims.roles],
  auth_time: claims.auth_time,
  acr: claims.acr,
  amr: [...claims.amr],
  aep: [...claims.aep],
})

/** RFC 7662: a service client asks whether a token is active. */
export const introspectRoutes = ({ introspect }: IntrospectRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/oauth/introspect',
    access: 'service',
    protocol: 'oauth',
    schema: introspectSchema,
    handler: async (request) => {
      const result = await introspect(request.body.token)
      return result.active ? describe(result.claims) : { active: false as const }
    },
  }),
]
