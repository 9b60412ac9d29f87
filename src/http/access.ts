import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError, tokenErrors, unlessUnauthorized } from '../lib/app-error.ts'
import { type AuthenticateService, assertService } from './credentials.ts'
import { httpErrors } from './errors.ts'

/** Who may call a route. */
type Access = 'public' | 'session' | 'cookie' | 'operator' | 'service'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every route names it, or the app does not start. */
    access?: Access
    /** A document for anyone, in any browser page: JWKS, metadata. */
    publicDocument?: boolean
  }
  interface FastifyRequest {
    /** Set by the check of callers; read it with `callerOf`. */
    caller: Caller | undefined
  }
}

/** The verified claims of an access token, or the same facts of a session cookie, as far as routes need them. */
export type Caller = {
  readonly accountId: string
  readonly sessionId: string
  /** Undefined: by session cookie, without any token. */
  readonly tokenId: string | undefined
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly audience: readonly string[]
}

/** What the access token of a caller must hold. */
export type Right = {
  /** For the challenge. */
  readonly scope: string
  /** What a token lacks, each in words such as "the scope admin"; nothing: the caller has this right. */
  readonly lackedBy: (caller: Caller) => readonly string[]
}

export type AccessOptions = {
  /** Verifies an access token; throws an `AppError` of status 401 for a bad one, 503 when it cannot know. */
  readonly authenticate: (token: string) => Promise<Caller>
  /**
   * The caller by the session cookie of a request, nothing when it carries none; throws an `AppError` of status 401 for a dead one,
   * 503 when it cannot know.
   */
  readonly authenticateCookie: (request: FastifyRequest) => Promise<Caller | undefined>
  /** To use operator routes. */
  readonly operatorRight: Right
  /** To see and end what is the caller's own. A session cookie always has it. */
  readonly ownerRight: Right
  readonly authenticateService: AuthenticateService
}

/** Who calls, on a route whose access is `session`, `cookie` or `operator`. Anywhere else asking is a mistake, and throws. */
export const callerOf = (request: FastifyRequest): Caller => {
  const { caller } = request
  if (caller === undefined) throw new TypeError('this route does not authenticate its callers')
  return caller
}

const maxTokenLength = 4096

/** RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1). */
const bearer = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i

/** The token of an `Authorization` header; nothing when it holds no well-formed bearer token, or too long a one. */
export const bearerTokenIn = (header: string): string | undefined => {
  const token = bearer.exec(header)?.[1]
  return token === undefined || token.length > maxTokenLength ? undefined : token
}

/** RFC 6750 section 3: no error code when the request carried no token at all. */
const challenge = (reply: FastifyReply, error?: 'invalid_token'): void => {
  const suffix = error === undefined ? '' : `, error="${error}"`
  reply.header('www-authenticate', `Bearer realm="cardea"${suffix}`)
}

/**
 * Refuses a caller whose token is good and lacks a right. RFC 6750 section 3.1 has one error for it: the challenge names the scope, and
 * the detail also a role or an audience.
 */
export const assertRight = (reply: FastifyReply, right: Right, caller: Caller): void => {
  const lacked = right.lackedBy(caller)
  if (lacked.length === 0) return
  const error = `error="insufficient_scope", scope="${right.scope}"`
  reply.header('www-authenticate', `Bearer realm="cardea", ${error}`)
  const detail = `The token lacks ${lacked.join(' and ')}.`
  throw httpErrors.error('insufficient_scope', { detail })
}

/** Only the `Authorization` header counts: a token in a query ends in logs, one in a form can be planted by a page. */
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
 * The caller by cookie, where a cookie may open the route. A token that came with it is judged alone: whoever sends one means it. An
 * answer about a cookie carries no Bearer challenge (RFC 6750 section 3 is for those who tried a token).
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

/** Service clients may put their secret into a form (`client_secret_post`), so such a route is guarded once the form is read. */
const isGuardedByForm = ({ access, protocol }: FastifyContextConfig): boolean =>
  access === 'service' && protocol === 'oauth'

/**
 * Adds the check of callers, before the body is read where it cannot hold the credentials. Unknown addresses carry no access and are
 * answered 404 by whoever handles them.
 *
 * @throws {TypeError} later, from the registration of a route without `config.access`
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
    // Runs after the hooks of the server, so that a request that is refused by its outside asks nobody.
    route.onRequest = function assertAccess(request, reply, done) {
      demand(request, reply).then(() => done(), done)
    }
  })

  const authenticate = async (token: string, reply: FastifyReply): Promise<Caller> => {
    try {
      return await options.authenticate(token)
    } catch (error) {
      // "Cannot know" stays 503: a client that gets a 401 signs its user out.
      if (error instanceof AppError && error.status === 401) challenge(reply, 'invalid_token')
      throw error
    }
  }

  const demand = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { access } = request.routeOptions.config
    if (access === 'service') return assertService(request, reply, options.authenticateService)
    const byCookie = await assertCookie(request, options)
    if (byCookie !== undefined) {
      request.caller = byCookie
      return
    }
    const caller = await authenticate(bearerToken(request, reply), reply)
    // Also for the log of refusals. No handler runs for a request that is refused.
    request.caller = caller
    assertRight(reply, rightFor[access === 'operator' ? access : 'session'], caller)
  }
}

/**
 * For a route that accepts a token among other credentials: who calls, or nothing when there is no token or it is not good (any
 * more). Being unable to know is still thrown.
 */
export const tryCaller = async (
  request: FastifyRequest,
  authenticate: AccessOptions['authenticate'],
): Promise<Caller | undefined> => {
  const token = bearerTokenIn(request.headers.authorization ?? '')
  if (token === undefined) return undefined
  return unlessUnauthorized(authenticate(token))
}
