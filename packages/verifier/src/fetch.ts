/**
 * `@cardea/verifier/fetch`: guards handlers that take a `Request` and return a `Response`, as in Hono, Next.js, Remix, Deno, Bun.
 *
 * ```ts
 * import { createVerifier } from '@cardea/verifier'
 * import { cardea } from '@cardea/verifier/fetch'
 *
 * const verifier = createVerifier({ issuer, audience, client: { id, secret } })
 * const { protect } = cardea(verifier)
 * const mayReadOrders = protect({ scopes: ['account'] })
 *
 * export const GET = async (request: Request): Promise<Response> => {
 *   const found = await mayReadOrders(request)
 *   if (found instanceof Response) return found
 *   return Response.json({ of: found.claims.sub })
 * }
 * ```
 *
 * The verifier follows revocations in the background, so the process must keep running between requests. If it is frozen after each
 * response, the first request after a pause finds the verifier STALE.
 */
import {
  createGuard,
  type GuardOptions,
  guardOptionNames,
  type TokenVerifier,
} from './guards/guard.ts'
import { presentedToFetch } from './guards/presented.ts'
import { readinessOf } from './guards/readiness.ts'
import { problemText } from './guards/refusal.ts'
import { type OnRefusal, reportRefusal } from './guards/report-refusal.ts'
import { refuseUnknown } from './known-members.ts'
import type { AccessTokenClaims } from './tokens/access-token-claims.ts'
import type { VerifyOptions } from './verifier/options.ts'
import type { Verifier } from './verifier/verifier.ts'

export type { Problem, Refusal, RefusalCode } from './guards/refusal.ts'
export type { OnRefusal } from './guards/report-refusal.ts'

export type FetchOptions = GuardOptions & {
  /** Called for each refusal, for the log and for metrics. Without it, unexpected errors become a warning of the process. */
  readonly onRefusal?: OnRefusal
}

/** Resolves with the claims of the request's token, or with the error response to return. Never rejects. */
export type RequestGuard = (
  request: Request,
) => Promise<{ readonly claims: AccessTokenClaims } | Response>

/** The guards that `cardea` makes for one verifier. */
export type FetchGuards = {
  /**
   * Makes the guard of a route: the token must be valid and have all of the scopes and roles.
   *
   * @throws {TypeError} at once, for invalid requirements
   */
  readonly protect: (requirements?: VerifyOptions) => RequestGuard
  /** 200 once tokens can be checked, 503 before, with the state in the body. */
  readonly readiness: () => Response
}

/**
 * The guards of one verifier. The caller owns the verifier.
 *
 * @throws {TypeError} at once, for unknown or invalid options
 */
export const cardea = (
  verifier: TokenVerifier & Pick<Verifier, 'state'>,
  { onRefusal, ...options }: FetchOptions = {},
): FetchGuards => {
  refuseUnknown('cardea', options, { ...guardOptionNames, onRefusal: true })
  createGuard(verifier, options)
  return {
    protect: (requirements) => {
      const check = createGuard(verifier, options, requirements)
      return async (request) => {
        const { claims, refusal } = await check(presentedToFetch(request))
        if (refusal === undefined) return { claims }
        reportRefusal(refusal, onRefusal)
        const { status, headers } = refusal
        return new Response(problemText(refusal), { status, headers })
      }
    },
    readiness: () => {
      const { status, headers, body } = readinessOf(verifier)
      return new Response(JSON.stringify(body), { status, headers })
    },
  }
}
