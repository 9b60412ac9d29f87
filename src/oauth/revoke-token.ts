import { type Actor, actorText, type RequestFacts } from '../audit/index.ts'
import { clientFacts } from '../http/client-facts.ts'
import { type AuthenticateService, provenClient, refusedClient } from '../http/credentials.ts'
import { defineRoute, type Route } from '../http/route.ts'
import { unlessUnauthorized } from '../lib/app-error.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Clock } from '../lib/machine.ts'
import type { SpendAct } from '../login/index.ts'
import {
  endSession,
  type HandleCodec,
  type SessionStore,
  type SessionStores,
  sessionSecretDigest,
} from '../sessions/index.ts'
import { type AccessTokenClaims, isServiceToken } from '../tokens/index.ts'
import { revokeTokenSchema } from './schemas.ts'
import { oauthErrors } from './service-client.ts'

export type RevokeTokenDeps = {
  readonly clock: Clock
  /** Reads refresh tokens. */
  readonly codec: Pick<HandleCodec, 'read'>
  /** Reads session cookies, which are not OAuth tokens. */
  readonly cookieCodec: Pick<HandleCodec, 'read'>
  readonly sessions: Pick<SessionStore, 'find'>
  /** The check for access tokens of every kind and audience. Throws an `AppError` with status 401 for an invalid one. */
  readonly check: (token: string) => Promise<AccessTokenClaims>
  readonly inTransaction: InTransaction<SessionStores>
  readonly spendAct: SpendAct
}

export type RevokeTokenInput = {
  readonly token: string
  /** The id of the authenticated client, or of the public client. */
  readonly clientId: string
  readonly client: RequestFacts
}

const reason = 'revoked'

const assertOwner = (owner: string, presenter: string): void => {
  if (owner !== presenter) throw oauthErrors.error('invalid_grant')
}

/** Ends the session of a refresh token of any generation. */
const revokeRefreshToken = async (
  { clock, sessions, inTransaction }: RevokeTokenDeps,
  { sessionId, secret }: NonNullable<ReturnType<HandleCodec['read']>>,
  { clientId, client }: RevokeTokenInput,
): Promise<void> => {
  const state = await sessions.find(sessionId, sessionSecretDigest(secret))
  if (!state || state.ended) return
  assertOwner(state.clientId, clientId)
  // The refresh token of a browser is only valid in its cookie. One that arrives here has bypassed `HttpOnly`.
  if (state.delivery !== 'body') throw oauthErrors.error('unsupported_token_type')
  const actor = { kind: 'account', accountId: state.accountId } as const
  const nowMs = clock.nowMs()
  await inTransaction((stores) =>
    endSession(stores, { sessionId, reason: 'logout', nowMs, actor, client }),
  )
}

const revokeAccessToken = async (
  { inTransaction, spendAct }: RevokeTokenDeps,
  claims: AccessTokenClaims,
  { client }: RevokeTokenInput,
): Promise<void> => {
  const { sub, sid, jti: tokenId, client_id: clientId } = claims
  const isService = isServiceToken(claims)
  const actor: Actor = isService
    ? { kind: 'client', clientId }
    : { kind: 'account', accountId: sub }
  // Every refresh and every grant gives another token to revoke, so without a limit one caller could fill both logs.
  await spendAct({ subjectId: sub, sessionId: isService ? undefined : sid })
  await inTransaction(async ({ revocations, audit }) => {
    const seq = await revocations.appendTokenOnce({ tokenId, actor: actorText(actor), reason })
    if (seq === undefined) return
    await audit.record({
      event: 'token_revoked',
      outcome: 'success',
      reason,
      actor,
      client,
      ...(isService ? { details: { clientId } } : { accountId: sub }),
    })
  })
}

/**
 * RFC 7009: revokes a token. A refresh token ends its session and revokes the session's access tokens; an access token is revoked alone.
 * Unknown, malformed and revoked tokens are no error (section 2.2), because they are already unusable.
 *
 * @returns after the commit
 * @throws invalid_grant for an active token of another client, unsupported_token_type, too_many_acts, store_unavailable
 */
export const revokeToken =
  (deps: RevokeTokenDeps) =>
  async (input: RevokeTokenInput): Promise<void> => {
    const handle = deps.codec.read(input.token)
    if (handle) return revokeRefreshToken(deps, handle, input)
    if (deps.cookieCodec.read(input.token)) throw oauthErrors.error('unsupported_token_type')
    const claims = await unlessUnauthorized(deps.check(input.token))
    if (!claims) return
    assertOwner(claims.client_id, input.clientId)
    await revokeAccessToken(deps, claims, input)
  }

export type RevokeRouteDeps = {
  readonly revoke: ReturnType<typeof revokeToken>
  readonly authenticateService: AuthenticateService
  /** The `client_id` of native apps, which have no secret. */
  readonly publicClientId: string
}

/** RFC 7009. The hint is ignored, because the token itself shows its type. */
export const revokeRoutes = ({
  revoke,
  authenticateService,
  publicClientId,
}: RevokeRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/oauth/revoke',
    access: 'public',
    protocol: 'oauth',
    outlivesCaller: true,
    schema: revokeTokenSchema,
    handler: async (request, reply) => {
      const presented = await provenClient(request, reply, authenticateService)
      const { clientId, secret } = presented ?? { clientId: publicClientId, secret: undefined }
      // Without a secret only the public client is accepted.
      if (secret === undefined && clientId !== publicClientId) throw refusedClient(reply)
      await revoke({ token: request.body.token, clientId, client: clientFacts(request) })
      return {}
    },
  }),
]
