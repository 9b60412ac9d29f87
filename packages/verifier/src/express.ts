/**
 * `@cardea/verifier/express`: guards routes of Express 4 and 5, Connect, and anything else that uses `node:http` requests and `next`.
 *
 * ```ts
 * import express from 'express'
 * import { createVerifier } from '@cardea/verifier'
 * import { cardea, claimsOf } from '@cardea/verifier/express'
 *
 * const verifier = createVerifier({ issuer, audience, client: { id, secret } })
 * const { protect, readiness } = cardea(verifier)
 *
 * const app = express()
 * app.get('/ready', readiness)
 * app.get('/orders', protect({ scopes: ['account'], policy: { bounded: 60 } }), (request, response) => {
 *   response.json({ of: claimsOf(request).sub })
 * })
 * ```
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  createGuard,
  type GuardOptions,
  guardOptionNames,
  type TokenVerifier,
} from './guards/guard.ts'
import { presentedToNode } from './guards/presented.ts'
import { readinessOf } from './guards/readiness.ts'
import { problemText, type Refusal } from './guards/refusal.ts'
import { type OnRefusal, reportRefusal } from './guards/report-refusal.ts'
import { refuseUnknown } from './known-members.ts'
import type { AccessTokenClaims } from './tokens/access-token-claims.ts'
import type { VerifyOptions } from './verifier/options.ts'
import type { Verifier } from './verifier/verifier.ts'

export type { Problem, Refusal, RefusalCode } from './guards/refusal.ts'
export type { OnRefusal } from './guards/report-refusal.ts'

/** A middleware function as in Express and Connect. */
export type Middleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void

export type ExpressOptions = GuardOptions & {
  /** Called for each refusal, for the log and for metrics. Without it, unexpected errors become a warning of the process. */
  readonly onRefusal?: OnRefusal
}

/** The guards that `cardea` makes for one verifier. */
export type ExpressGuards = {
  /**
   * Passes a request whose access token is valid and has all of the scopes and roles; sends an error response otherwise.
   *
   * @throws {TypeError} at once, for invalid requirements
   */
  readonly protect: (requirements?: VerifyOptions) => Middleware
  /** Responds 200 once tokens can be checked, 503 before, with the state in the body. */
  readonly readiness: (request: IncomingMessage, response: ServerResponse) => void
}

const found = new WeakMap<object, AccessTokenClaims>()

/**
 * The claims of the token of a request. Only behind `protect()`; elsewhere the call is a programming mistake.
 *
 * @throws {TypeError} when no `protect()` has passed the request
 */
export const claimsOf = (request: object): AccessTokenClaims => {
  const claims = found.get(request)
  if (claims === undefined) throw new TypeError('no protect() runs before this handler')
  return claims
}

/** The id that `pino-http`, `express-request-id` and others set on a request. */
const requestIdOf = (request: object): string | undefined => {
  const id = 'id' in request ? request.id : undefined
  return typeof id === 'string' || typeof id === 'number' ? String(id) : undefined
}

const refuse = (refusal: Refusal, request: IncomingMessage, response: ServerResponse): void => {
  // Other code, such as a timeout, may have responded during the check. Writing a second head throws.
  if (response.headersSent || response.writableEnded) return
  response.writeHead(refusal.status, refusal.headers)
  response.end(problemText(refusal, requestIdOf(request)))
}

/**
 * The guards of one verifier. The caller owns the verifier and closes it when the server has stopped.
 *
 * @throws {TypeError} at once, for unknown or invalid options
 */
export const cardea = (
  verifier: TokenVerifier & Pick<Verifier, 'state'>,
  { onRefusal, ...options }: ExpressOptions = {},
): ExpressGuards => {
  refuseUnknown('cardea', options, { ...guardOptionNames, onRefusal: true })
  // Checks the options at the start and not at the first route.
  createGuard(verifier, options)
  return {
    protect: (requirements) => {
      const check = createGuard(verifier, options, requirements)
      return async (request, response, next) => {
        const { claims, refusal } = await check(presentedToNode(request))
        if (refusal !== undefined) {
          reportRefusal(refusal, onRefusal)
          return refuse(refusal, request, response)
        }
        found.set(request, claims)
        next()
      }
    },
    readiness: (_request, response) => {
      const { status, headers, body } = readinessOf(verifier)
      response.writeHead(status, headers)
      response.end(JSON.stringify(body))
    },
  }
}
