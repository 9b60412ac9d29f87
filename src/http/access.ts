import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError, tokenErrors, unlessUnauthorized } from '../lib/app-error.ts'
import { type AuthenticateService, assertService } from './credentials.ts'
import { httpErrors } from './errors.ts'

/** Who may call a route. */
type Access = 'public' | 'session' | 'cookie' | 'operator' | 'service'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every route must set it, or the app does not start. */
    access?: Access
    /** A document that any web page may read: JWKS, metadata. */
    publicDocument?: boolean
  }
  interface FastifyRequest {
    /** Set by the access check. Read it with `callerOf`. */
    caller: Caller | undefined
  }
}

/** The verified claims of an access token, or the same facts of a session cookie, as far as routes need them. */
export type Caller = {
  readonly accountId: string
  readonly sessionId: string
  /** Undefined for a caller with a session cookie, who has no token. */
  readonly tokenId: string | undefined
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly audience: readonly string[]
}

/** What the access token of a caller must contain. */
export type Right = {
  /** The scope for the `WWW-Authenticate` challenge. */
  readonly scope: string
  /** What the token lacks, in words such as "the scope admin". Empty: the caller has this right. */
  readonly lackedBy: (caller: Caller) => readonly string[]
}

export type AccessOptions = {
  /** Verifies an access token. Throws an `AppError` with status 401 for a bad token, or 503 when it cannot decide. */
  readonly authenticate: (token: string) => Promise<Caller>
  /**
   * The caller of the session cookie, or nothing when the request has none. Throws an `AppError` with status 401 for a session that has
   * ended, or 503 when it cannot decide.
   */
  readonly authenticateCookie: (request: FastifyRequest) => Promise<Caller | undefined>
  /** Required on operator routes. */
  readonly operatorRight: Right
  /** Required to list and end the caller's own sessions. A session cookie always has it. */
  readonly ownerRight: Right
  readonly authenticateService: AuthenticateService
}

/**
 * The caller, on a route whose access is `session`, `cookie` or `operator`. Throws on other routes, because the call is a programming
 * mistake there.
 */
export const callerOf = (request: FastifyRequest): Caller => {
  const { caller } = request
  if (caller === undefined) throw new TypeError('this route does not authenticate its callers')
  return caller
}

const maxTokenLength = 4096

/** RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1). */
const bearer = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i

/** The token of an `Authorization` header. Undefined when the header has no well-formed bearer token, or one that is too long. */
export const bearerTokenIn = (header: string): string | undefined => {
  const token = bearer.exec(header)?.[1]
  return token === undefined || token.length > maxTokenLength ? undefined : token
}

/** RFC 6750 section 3: the challenge has no error code when the request carried no token. */
const challenge = (reply: FastifyReply, error?: 'invalid_token'): void => {
  const suffix = error === undefined ? '' : `, error="${error}"`
  reply.header('www-authenticate', `Bearer realm="cardea"${suffix}`)
}

/**
 * Rejects a caller whose valid token lacks a right. RFC 6750 section 3.1 has one error for this: the challenge names the scope, and the
 * detail also names a role or an audience.
 */
export const assertRight = (reply: FastifyReply, right: Right, caller: Caller): void => {
  const lacked = right.lackedBy(caller)
  if (lacked.length === 0) return
  const error = `error="insufficient_scope", scope="${right.scope}"`
  reply.header('www-authenticate', `Bearer realm="cardea", ${error}`)
  const detail = `The token lacks ${lacked.join(' and ')}.`
  throw httpErrors.error('insufficient_scope', { detail })
}

/** Only the `Authorization` header is read. A token in a query would end up in logs, and another web page could put one into a form. */
const bearerToken = (request: FastifyRequest, reply: FastifyReply): string => {
  const header = request.headers.authorization
  if (header === undefined || !/^Bearer(?: |$)/i.test(header)) {
    challenge(reply)
    throw httpErrors.error('missing_token')
  }
  const token = bearerTokenIn(header)
  if (token === undefined) {
    challenge(reply, 'invalid_token')
    throw tokenErrors.error('invalid_token')
  }
  return token
}

/**
 * The caller of the session cookie, on routes that accept one. A request with an `Authorization` header is judged by its token only.
 * Responses about a cookie carry no Bearer challenge, because RFC 6750 section 3 is about requests with a token.
 */
const assertCookie = async (
  request: FastifyRequest,
  { authenticateCookie }: AccessOptions,
): Promise<Caller | undefined> => {
  const { access } = request.routeOptions.config
  if (access === 'cookie') {
    const caller = await authenticateCookie(request)
    if (caller === undefined) throw httpErrors.error('missing_session')
    return caller
  }
  const mayUseCookie = access === 'session' && request.headers.authorization === undefined
  return mayUseCookie ? authenticateCookie(request) : undefined
}

const requireAccess = (access: Access | undefined, route: string): void => {
  if (access === undefined) throw new TypeError(`${route} does not say who may call it`)
}

/** Service clients may send their secret in a form (`client_secret_post`), so these routes are guarded after the form is read. */
const isGuardedByForm = ({ access, protocol }: FastifyContextConfig): boolean =>
  access === 'service' && protocol === 'oauth'

/**
 * Adds the access check. It runs before the body is read, except on routes whose body can hold the credentials. Unknown addresses have no
 * access and get a 404.
 *
 * @throws {TypeError} later, when a route without `config.access` is registered
 */
export const guardAccess = (app: FastifyInstance, options: AccessOptions): void => {
  const rightFor = { session: options.ownerRight, operator: options.operatorRight } as const
  app.decorateRequest('caller')
  app.addHook('onRoute', (route) => {
    requireAccess(route.config?.access, `${route.method} ${route.url}`)
    if (route.config === undefined || route.config.access === 'public') return
    if (isGuardedByForm(route.config)) {
      route.preValidation = function assertServiceByForm(request, reply) {
        return assertService(request, reply, options.authenticateService)
      }
      return
    }
    // Runs after the hooks of the server. A request that they refuse must not cost a lookup.
    route.onRequest = function assertAccess(request, reply, done) {
      requireCaller(request, reply).then(() => done(), done)
    }
  })

  const authenticate = async (token: string, reply: FastifyReply): Promise<Caller> => {
    try {
      return await options.authenticate(token)
    } catch (error) {
      // "Cannot decide" stays 503: a client that gets a 401 logs its user out.
      if (error instanceof AppError && error.status === 401) challenge(reply, 'invalid_token')
      throw error
    }
  }

  const requireCaller = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { access } = request.routeOptions.config
    if (access === 'service') return assertService(request, reply, options.authenticateService)
    const byCookie = await assertCookie(request, options)
    if (byCookie !== undefined) {
      request.caller = byCookie
      return
    }
    const caller = await authenticate(bearerToken(request, reply), reply)
    // The log of refusals needs it as well. No handler runs for a refused request.
    request.caller = caller
    assertRight(reply, rightFor[access === 'operator' ? access : 'session'], caller)
  }
}

/**
 * The caller, for a route that accepts a token among other credentials. Undefined when there is no token or it is not valid. Still throws
 * when it cannot decide.
 */
export const tryCaller = async (
  request: FastifyRequest,
  authenticate: AccessOptions['authenticate'],
): Promise<Caller | undefined> => {
  const token = bearerTokenIn(request.headers.authorization ?? '')
  if (token === undefined) return undefined
  return unlessUnauthorized(authenticate(token))
}
