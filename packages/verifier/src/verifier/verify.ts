import { VerifierError } from '../errors.ts'
import { refuseUnknown } from '../known-members.ts'
import type { Replica } from '../replica.ts'
import type { AccessTokenClaims } from '../tokens/access-token-claims.ts'
import type { CheckedToken } from '../tokens/token-check.ts'
import { TokenRefused } from '../tokens/token-refused.ts'
import type { Introspect } from './introspection.ts'
import { type StalePolicy, verifyOptionNames } from './options.ts'
import { checkPolicy } from './read-options.ts'
import { checkAuthAge, checkRights } from './required-rights.ts'
import { applyStalePolicy } from './stale-policy.ts'
import type { Verifier, VerifierState } from './verifier.ts'

/** The known revocations, and the fallback when they are not complete. */
export type Revocations = {
  readonly replica: Pick<Replica, 'revokedBy' | 'staleForMs'>
  readonly introspect: Introspect
}

type Dependencies = {
  /** Extracts the token from a sealed one. Undefined when the token is not sealed. */
  readonly open?: (sealed: string) => Promise<string>
  readonly check: (token: string) => Promise<CheckedToken>
  readonly nowMs: () => number
  readonly state: () => VerifierState
  /** The error of the last attempt to read keys or revocations. Undefined when none has failed. */
  readonly lastFailure: () => unknown
  /** Undefined when revocations are not followed. */
  readonly revocations: Revocations | undefined
  /** For calls without their own policy. */
  readonly policy: StalePolicy
}

/** Uses verified claims only: the same signature can be written in several ways, and all are the same token. */
const refuseRevoked = ({ claims, kid }: CheckedToken, { replica }: Revocations): void => {
  const { jti, sid, sub, aep } = claims
  const kind = replica.revokedBy({ jti, sid, sub, kid, aep })
  if (kind !== undefined) {
    throw new VerifierError('token_revoked', { cause: new TokenRefused(`revoked by ${kind}`) })
  }
}

/**
 * The order matters: tokens that are known to be revoked are refused in every state, and every token is refused while there is no snapshot.
 */
export const verifyWith = (deps: Dependencies): Verifier['verify'] => {
  /** @throws {VerifierError} `not_ready` */
  const refuseUnlessReady = (): VerifierState => {
    const state = deps.state()
    if (state === 'LOADING') {
      const cause = deps.lastFailure()
      throw new VerifierError('not_ready', cause === undefined ? undefined : { cause })
    }
    return state
  }

  /** @throws {VerifierError} `token_revoked`, `revocation_state_unknown` or `not_ready` */
  const refuseUnlessLive = async (token: string, checked: CheckedToken, policy: StalePolicy) => {
    // The state is read again, in the same turn as the lookup: checking a signature takes a while, and a lease may end meanwhile.
    const state = refuseUnlessReady()
    const { revocations } = deps
    if (revocations === undefined) return
    refuseRevoked(checked, revocations)
    if (state === 'FRESH') return
    const staleForMs = revocations.replica.staleForMs() ?? Number.POSITIVE_INFINITY
    const doubtful = { token, claims: checked.claims, staleForMs }
    await applyStalePolicy(policy, doubtful, revocations.introspect)
    // Its revocation may have arrived during the introspection.
    refuseRevoked(checked, revocations)
  }

  return async (credential, options = {}): Promise<AccessTokenClaims> => {
    refuseUnknown('verify', options, verifyOptionNames)
    const policy = options.policy ?? deps.policy
    checkPolicy(policy)
    checkAuthAge(options.maxAuthAgeSeconds)
    refuseUnlessReady()
    const token = deps.open === undefined ? credential : await deps.open(credential)
    const checked = await deps.check(token)
    await refuseUnlessLive(token, checked, policy)
    checkRights(checked.claims, options, deps.nowMs())
    return checked.claims
  }
}
