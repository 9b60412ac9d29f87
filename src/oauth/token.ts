import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AuditPseudonym, RequestFacts } from '../audit/index.ts'
import { clientFacts } from '../http/client-facts.ts'
import {
  type AuthenticateService,
  missingClient,
  presentedClient,
  provenClient,
  refusedClient,
} from '../http/credentials.ts'
import { httpErrors } from '../http/errors.ts'
import type { Log } from '../http/log.ts'
import { defineRoute, type Route } from '../http/route.ts'
import type { Clock } from '../lib/machine.ts'
import { type RefreshSession, requestedGrant } from '../refresh/index.ts'
import { type Issued, parseScope } from '../sessions/index.ts'
import type { MintAccessToken, MintedToken } from '../tokens/index.ts'
import type { ClientProofs, ServiceCredentials } from './authenticate-service-client.ts'
import { type OauthTokenResponse, type TokenBody, tokenSchema } from './schemas.ts'
import { oauthErrors } from './service-client.ts'
import type { ClientRights, ServiceClientStore } from './service-client-store.ts'

export type GrantClientCredentialsDeps = {
  readonly clock: Pick<Clock, 'nowMs'>
  readonly clients: Pick<ServiceClientStore, 'rights'>
  readonly proofs: ClientProofs
  readonly mint: MintAccessToken
  /** The audiences of this issuer. A client's own list may be older than the settings. */
  readonly audiences: readonly string[]
}

export type ClientCredentialsInput = {
  readonly credentials: ServiceCredentials
  /** As sent. Undefined: all scopes of the client. */
  readonly scope: string | undefined
  /** Undefined: the client's default. */
  readonly audience: string | undefined
}

export type ClientToken = MintedToken & { readonly clientId: string; readonly scope: string }

/**
 * `auth_time`, `amr` and `acr` of a service client's token, which are required claims although no user authenticated. A verifier that
 * requires a recent login or a level (`0` is the lowest, OpenID Connect Core section 2) refuses such a token.
 */
const noPerson = { authenticatedAtMs: 0, amr: [], acr: '0', roles: [] } as const

const grantedScope = (requested: string | undefined, { scopes }: ClientRights): string => {
  const wanted = requested === undefined ? scopes : parseScope(requested)
  if (!wanted?.every((scope) => scopes.includes(scope))) throw oauthErrors.error('invalid_scope')
  return wanted.join(' ')
}

const grantedAudience = (
  requested: string | undefined,
  { audiences }: ClientRights,
  known: readonly string[],
): string => {
  const [preferred] = audiences
  if (preferred === undefined) throw oauthErrors.error('unauthorized_client')
  const audience = requested ?? preferred
  if (!audiences.includes(audience) || !known.includes(audience)) {
    throw oauthErrors.error('invalid_target')
  }
  return audience
}

/**
 * An access token for a service client (RFC 6749 section 4.4). One statement, which parallel requests share, authenticates the client and
 * reads its rights and epochs. Nothing is cached: a revoked secret and a disabled client get no token after the commit, and a token that
 * was being issued at that moment is revoked by its epoch.
 *
 * @returns nothing when these are not the credentials of an enabled client
 * @throws invalid_scope, invalid_target, unauthorized_client, store_unavailable
 */
export const grantClientCredentials = ({
  clock,
  clients,
  proofs,
  mint,
  audiences: known,
}: GrantClientCredentialsDeps) => {
  const prove = proofs({ read: clients.rights, digestsOf: (rights) => rights?.digests ?? [] })
  return async (input: ClientCredentialsInput): Promise<ClientToken | undefined> => {
    const { clientId } = input.credentials
    const factsReadAtMs = clock.nowMs()
    const rights = await prove(input.credentials)
    if (rights === undefined) return undefined
    const audience = grantedAudience(input.audience, rights, known)
    const scope = grantedScope(input.scope, rights)
    const minted = mint({
      ...noPerson,
      subjectId: clientId,
      clientId,
      sessionId: undefined,
      audience,
      scope,
      epochs: [rights.globalEpoch, rights.clientEpoch, 0],
      factsReadAtMs,
    })
    return { ...minted, clientId, scope }
  }
}

export type GrantRefreshTokenDeps = { readonly refresh: RefreshSession }

export type RefreshTokenInput = {
  readonly refreshToken: string
  /** As sent. */
  readonly scope: string | undefined
  readonly audience: string | undefined
  readonly client: RequestFacts
}

/**
 * Exchanges the refresh token of a native client, exactly like `POST /refresh`: both endpoints rotate the same session. The access token
 * may have less than the login was granted, never more (RFC 6749 section 6, RFC 8707 section 2.2). This does not limit later requests.
 * @throws invalid_scope, invalid_target before anything is consumed; invalid_grant; store_unavailable, session_contended
 */
export const grantRefreshToken =
  ({ refresh }: GrantRefreshTokenDeps) =>
  async ({ refreshToken, client, ...given }: RefreshTokenInput): Promise<Issued> => {
    const requested = requestedGrant(given)
    const result = await refresh({ presented: refreshToken, delivery: 'body', requested, client })
    if (result.kind === 'refused') throw oauthErrors.error('invalid_grant', { cause: result.error })
    return result.issued
  }

export type TokenRouteDeps = {
  readonly grantToClient: ReturnType<typeof grantClientCredentials>
  readonly grantToHolder: ReturnType<typeof grantRefreshToken>
  readonly authenticateService: AuthenticateService
  /** The `client_id` of native apps, which have no secret. */
  readonly publicClientId: string
  /** Issued tokens are logged and not audited, because each is a single statement. */
  readonly reference: AuditPseudonym
  readonly log: Pick<Log, 'info'>
}

type TokenRequest = FastifyRequest<{ Body: TokenBody }>

/** @throws invalid_target when both are given and differ */
const audienceOf = ({ resource, audience }: TokenBody): string | undefined => {
  if (resource !== undefined && audience !== undefined && resource !== audience) {
    throw oauthErrors.error('invalid_target')
  }
  return resource ?? audience
}

/** An empty `scope` is left out, because the grammar does not allow it (RFC 6749 section 3.3). */
const responseOf = (
  accessToken: string,
  expiresInSeconds: number,
  scope: string,
): OauthTokenResponse => ({
  access_token: accessToken,
  token_type: 'Bearer',
  expires_in: expiresInSeconds,
  ...(scope !== '' && { scope }),
})

const toClient = async (
  { grantToClient, log }: TokenRouteDeps,
  request: TokenRequest,
  reply: FastifyReply,
): Promise<OauthTokenResponse> => {
  const presented = presentedClient(request, reply)
  if (presented === undefined) throw missingClient(reply)
  const { clientId, secret } = presented
  if (secret === undefined) throw refusedClient(reply)
  const granted = await grantToClient({
    credentials: { clientId, secret },
    scope: request.body.scope,
    audience: audienceOf(request.body),
  })
  if (granted === undefined) throw refusedClient(reply)
  const fields = { request_id: request.id, event: 'client_token_issued', client: granted.clientId }
  log.info(fields, 'token issued to a service client')
  return responseOf(granted.token, granted.expiresInSeconds, granted.scope)
}

/**
 * A refresh token belongs to the public client it was issued to. With any other client it is refused unread: a service that could use one
 * would act as the user without a time limit.
 */
const toHolder = async (
  deps: TokenRouteDeps,
  request: TokenRequest,
  reply: FastifyReply,
): Promise<OauthTokenResponse> => {
  const { scope, refresh_token: refreshToken } = request.body
  if (refreshToken === undefined) {
    throw httpErrors.error('invalid_request', { detail: 'body lacks the member "refresh_token".' })
  }
  const client = await provenClient(request, reply, deps.authenticateService)
  if (client !== undefined && client.clientId !== deps.publicClientId) {
    throw oauthErrors.error('invalid_grant')
  }
  const audience = audienceOf(request.body)
  const issued = await deps.grantToHolder({
    refreshToken,
    scope,
    audience,
    client: clientFacts(request),
  })
  const session = deps.reference(issued.sessionId)
  deps.log.info({ request_id: request.id, event: 'token_refreshed', session }, 'session refreshed')
  return {
    ...responseOf(issued.accessToken, issued.expiresInSeconds, issued.scope),
    refresh_token: issued.refreshToken,
  }
}

/** RFC 6749: a token for a service client, or the next token of a native app. These routes neither read nor set cookies. */
export const tokenRoutes = (deps: TokenRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/oauth/token',
    access: 'public',
    protocol: 'oauth',
    schema: tokenSchema,
    handler: async (request, reply) => {
      const { grant_type: grant } = request.body
      // Checked first. This includes `password`, whose parameters are never read (RFC 9700 section 2.4).
      if (grant !== 'client_credentials' && grant !== 'refresh_token') {
        throw oauthErrors.error('unsupported_grant_type')
      }
      return grant === 'client_credentials'
        ? toClient(deps, request, reply)
        : toHolder(deps, request, reply)
    },
  }),
]
