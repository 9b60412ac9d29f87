import { defineRoute, type Route } from '../http/route.ts'
import { unlessUnauthorized } from '../lib/app-error.ts'
import type { Clock } from '../lib/machine.ts'
import type { AccessTokenClaims } from '../tokens/index.ts'
import { type ActiveToken, introspectSchema } from './schemas.ts'

export type IntrospectTokenDeps = {
  readonly clock: Pick<Clock, 'nowMs'>
  /**
   * The service's own check: signature, claims, and that nothing it depends on was revoked. It accepts every audience that this
   * issuer mints tokens for. Throws an `AppError` of status 401 for a token that is not good, 503 when that cannot be known.
   */
  readonly check: (token: string) => Promise<AccessTokenClaims>
}

export type Introspection =
  | { readonly active: false }
  | { readonly active: true; readonly claims: AccessTokenClaims }

const inactive: Introspection = { active: false }

/**
 * Whether an access token is good at this moment, and what it says. Any service client may ask about a token for any audience.
 * Not good comes without a reason: it would tell whoever tries out tokens how close they are (RFC 7662 section 2.2).
 * @throws store_unavailable and whatever else `check` throws when it cannot know: never "not active" then
 */
export const introspectToken =
  ({ clock, check }: IntrospectTokenDeps) =>
  async (token: string): Promise<Introspection> => {
    const claims = await unlessUnauthorized(check(token))
    // The check bears with clocks that are off by some seconds; here the answer is of this moment, and an `exp` in the past would
    // contradict it.
    return claims && claims.exp * 1000 > clock.nowMs() ? { active: true, claims } : inactive
  }

export type IntrospectRouteDeps = { readonly introspect: ReturnType<typeof introspectToken> }

/** Named one by one, so that a claim added to tokens later does not get out by itself. */
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

/** RFC 7662: a service client asks whether a token is good at this moment. */
export const introspectRoutes = ({ introspect }: IntrospectRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/oauth/introspect',
    access: 'service',
    protocol: 'oauth',
    schema: introspectSchema,
    handler: async (request) => {
      const answer = await introspect(request.body.token)
      return answer.active ? describe(answer.claims) : { active: false as const }
    },
  }),
]
