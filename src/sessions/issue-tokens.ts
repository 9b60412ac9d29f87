import type { Clock } from '../lib/clock.ts'
import type { MintedToken, TokenSubject } from '../tokens/index.ts'
import type { HandleCodec } from './handle.ts'
import { scopeAtRefresh } from './scope.ts'
import type { SessionFacts, SessionKind } from './session.ts'

export type IssueTokens = {
  readonly clock: Clock
  readonly codec: HandleCodec
  readonly mint: (subject: TokenSubject) => MintedToken
}

/** What a sign-in or a refresh hands out. */
export type Issued = {
  readonly kind: SessionKind
  /** Whom the access token is for. */
  readonly audience: string
  readonly sessionId: string
  readonly accountId: string
  readonly accessToken: string
  /** Of the access token. */
  readonly scope: string
  /** Seconds. */
  readonly expiresInSeconds: number
  /** The newest handle of the session. */
  readonly refreshToken: string
  /** Whole seconds until the handle dies if it is not used again. */
  readonly refreshExpiresInSeconds: number
}

/** Makes the credentials of a session as it now stands, or stood after `factsReadAtMs`. Reads and writes nothing. */
export const issueTokens = (
  { clock, codec, mint }: IssueTokens,
  facts: SessionFacts,
  secret: Buffer,
  factsReadAtMs: number,
): Issued => {
  const scope = scopeAtRefresh(facts.scope, facts.roles)
  const minted = mint({
    subjectId: facts.accountId,
    sessionId: facts.sessionId,
    clientId: facts.clientId,
    audience: facts.audience,
    scope,
    roles: facts.roles,
    authenticatedAtMs: facts.authenticatedAtMs,
    amr: facts.amr,
    acr: facts.acr,
    epochs: [facts.globalEpoch, facts.accountEpoch, facts.claimsEpoch],
    factsReadAtMs,
  })
  return {
    kind: facts.kind,
    audience: facts.audience,
    sessionId: facts.sessionId,
    accountId: facts.accountId,
    accessToken: minted.token,
    scope,
    expiresInSeconds: minted.expiresInSeconds,
    refreshToken: codec.write({ sessionId: facts.sessionId, generation: facts.generation, secret }),
    refreshExpiresInSeconds: Math.max(0, Math.ceil((facts.idleExpiresAtMs - clock.nowMs()) / 1000)),
  }
}
