import type { Clock } from '../lib/clock.ts'
import { type AccessTokenClaims, tokenErrors } from '../tokens/index.ts'
import type { SessionStore } from './session-store.ts'

export type BearerDeps = {
  readonly clock: Clock
  readonly verify: (token: string) => Promise<AccessTokenClaims>
  readonly sessions: Pick<SessionStore, 'stands'>
}

/**
 * The service's own check of an access token: signature and claims in memory, then one statement asks Postgres whether session,
 * account, epochs and token still stand, so that here a revocation holds from its commit on.
 * @throws invalid_token, or store_unavailable when it cannot be known
 */
export const authenticateBearer =
  ({ clock, verify, sessions }: BearerDeps) =>
  async (token: string): Promise<AccessTokenClaims> => {
    const claims = await verify(token)
    const stands = await sessions.stands({
      sessionId: claims.sid,
      accountId: claims.sub,
      tokenId: claims.jti,
      epochs: claims.aep,
      nowMs: clock.nowMs(),
    })
    if (!stands) throw tokenErrors.error('invalid_token', { cause: new Error('revoked') })
    return claims
  }
