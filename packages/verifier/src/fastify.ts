/**
 * `@cardea/verifier/fastify`: a plugin for Fastify 5 that makes a verifier, guards routes with it and closes it with the app.
 *
 * ```ts
 * import Fastify from 'fastify'
 * import { cardea } from '@cardea/verifier/fastify'
 *
 * const app = Fastify({ logger: true })
 * await app.register(cardea, { issuer, audience, client: { id, secret } })
 *
 * app.get('/orders', { onRequest: app.protect({ scopes: ['account'] }) }, (request) => ({ of: request.auth.sub }))
 * ```
 *
 * Use the `onRequest` hook, so that the body of a refused request is not read. Guard a whole scope with
 * `scope.addHook('onRequest', scope.protect())`.
 */
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { createGuard, type GuardOptions, guardOptionNames } from './guards/guard.ts'
import { presentedToNode } from './guards/presented.ts'
import { readinessOf } from './guards/readiness.ts'
import { problemText, type Refusal } from './guards/refusal.ts'
import { refuseUnknown } from './known-members.ts'
import type { AccessTokenClaims } from './tokens/access-token-claims.ts'
import { createVerifier } from './verifier/create-verifier.ts'
import {
  type VerifierOptions,
  type VerifyOptions,
  verifierOptionNames,
} from './verifier/options.ts'
import type { Verifier } from './verifier/verifier.ts'

export type { Problem, RefusalCode } from './guards/refusal.ts'

/** The part of a request that a guard reads: the same for HTTP/1 and HTTP/2, for any logger and any type provider. */
export type GuardedRequest = Pick<FastifyRequest, 'headers' | 'id' | 'method'> & {
  readonly raw: { readonly rawHeaders: readonly string[] }
  readonly log: Pick<FastifyBaseLogger, 'error' | 'info' | 'warn'>
}

/** The part of a reply that a refusal needs. */
export type GuardedReply = {
  readonly code: (status: number) => unknown
  readonly headers: (values: Record<string, string>) => unknown
  readonly send: (body: string) => unknown
}

/** A hook that passes a request or sends an error response. For `onRequest`, or any later hook before the handler. */
export type RouteGuard = (request: GuardedRequest, reply: GuardedReply) => Promise<unknown>

declare module 'fastify' {
  interface FastifyInstance {
    /** The verifier of this app, for its state, its statistics and its events. */
    readonly verifier: Verifier
    /**
     * Makes the guard of a route: the access token must be valid and have all of the scopes and roles.
     *
     * @throws {TypeError} at once, for invalid requirements
     */
    readonly protect: (requirements?: VerifyOptions) => RouteGuard
  }
  interface FastifyRequest {
    /** The claims of the token of the request. Only behind `protect()`; elsewhere reading it throws a TypeError. */
    readonly auth: AccessTokenClaims
  }
}

type CommonOptions = GuardOptions & {
  /** Adds a route that responds 200 once tokens can be checked, 503 before. Left out: no route. */
  readonly readinessPath?: string
}

/** The options of a new verifier, or an existing one. The plugin closes only a verifier that it made. */
export type CardeaOptions = CommonOptions &
  ((VerifierOptions & { readonly verifier?: never }) | { readonly verifier: Verifier })

const found = new WeakMap<object, AccessTokenClaims>()

/** The caller gets the code; the log gets the exact reason. A refusal is normal, being unable to check is not. */
const logRefusal = ({ log }: GuardedRequest, { code, error, status }: Refusal): void => {
  if (code === 'internal_error') {
    log.error({ err: error }, 'the check of an access token failed')
  } else if (status === 503) {
    log.warn({ code, err: error }, 'access tokens cannot be checked')
  } else {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : ''
    log.info({ code, reason }, 'access token refused')
  }
}

const decorate = (app: FastifyInstance, verifier: Verifier, options: GuardOptions): void => {
  app.decorate('verifier', verifier)
  app.decorate('protect', (requirements?: VerifyOptions): RouteGuard => {
    const check = createGuard(verifier, options, requirements)
    return async (request, reply) => {
      const { claims, refusal } = await check(
        presentedToNode({
          method: request.method,
          headers: request.headers,
          rawHeaders: request.raw.rawHeaders,
        }),
      )
      if (refusal === undefined) {
        found.set(request, claims)
        return
      }
      logRefusal(request, refusal)
      reply.code(refusal.status)
      reply.headers({ ...refusal.headers })
      // Sent as text, so that the app's own serializers and schemas do not change it.
      return reply.send(problemText(refusal, request.id))
    }
  })
  app.decorateRequest('auth', {
    getter() {
      const claims = found.get(this)
      if (claims === undefined) throw new TypeError('no protect() runs before this handler')
      return claims
    },
  })
}

const ownNames = { ...guardOptionNames, readinessPath: true, verifier: true } as const

/** @throws {TypeError} also for an option of a new verifier beside an existing one, where it would have no effect */
const checkNames = (options: CardeaOptions): void => {
  if (options.verifier === undefined) {
    refuseUnknown('cardea', options, { ...verifierOptionNames, ...ownNames })
  } else {
    refuseUnknown('cardea with a verifier', options, ownNames)
  }
}

const plugin = async (app: FastifyInstance, given: CardeaOptions): Promise<void> => {
  checkNames(given)
  const { readinessPath, realm, credential, allowedOrigins, ...options } = given
  const guard: GuardOptions = {
    ...(realm !== undefined && { realm }),
    ...(credential !== undefined && { credential }),
    ...(allowedOrigins !== undefined && { allowedOrigins }),
  }
  const verifier = options.verifier ?? createVerifier(options)
  // Before anything that may throw: a verifier made here must not outlive the app.
  if (options.verifier === undefined) app.addHook('onClose', () => verifier.close())
  createGuard(verifier, guard)
  decorate(app, verifier, guard)
  if (readinessPath === undefined) return
  app.get(readinessPath, (_request, reply) => {
    const { status, headers, body } = readinessOf(verifier)
    return reply.code(status).headers(headers).send(body)
  })
}

/**
 * The plugin. It adds `app.protect`, `app.verifier` and `request.auth` to the scope in which it is registered, and to inner scopes. `await`
 * the registration before you use `app.protect`. The app starts even if Cardea is unreachable: until the first snapshot every guarded route
 * responds 503.
 */
export const cardea = Object.assign(plugin, {
  // The property that `fastify-plugin` sets, without depending on it: the decorators are added to the caller's scope, not to a new one.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: '@cardea/verifier',
  [Symbol.for('plugin-meta')]: { name: '@cardea/verifier', fastify: '5.x' },
})
