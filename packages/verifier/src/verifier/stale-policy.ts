import { VerifierError } from '../errors.ts'
import type { AccessTokenClaims } from '../tokens/access-token-claims.ts'
import { TokenRefused } from '../tokens/token-refused.ts'
import type { Introspect } from './introspection.ts'
import type { StalePolicy } from './options.ts'

/** A valid token that is not among the known revocations. */
type Doubtful = {
  readonly token: string
  readonly claims: AccessTokenClaims
  /** How long the revocations have not been proven complete, milliseconds. */
  readonly staleForMs: number
}

const unknown = (cause: unknown): VerifierError =>
  new VerifierError('revocation_state_unknown', { cause })

const askIssuer = async ({ token, claims }: Doubtful, introspect: Introspect): Promise<void> => {
  const isActive = await introspect(token, claims.jti).catch((error: unknown) => {
    throw unknown(error)
  })
  if (!isActive) {
    throw new VerifierError('token_revoked', { cause: new TokenRefused('called not active') })
  }
}

/**
 * Decides about a token while the verifier is STALE. Resolves to accept it.
 *
 * @throws {VerifierError} `revocation_state_unknown`, or `token_revoked` when the issuer says so
 */
export const applyStalePolicy = async (
  policy: StalePolicy,
  doubtful: Doubtful,
  introspect: Introspect,
): Promise<void> => {
  if (policy === 'accept-until-exp') return
  if (policy === 'introspect') return askIssuer(doubtful, introspect)
  const acceptForMs = policy === 'deny' ? 0 : policy.bounded * 1000
  if (doubtful.staleForMs <= acceptForMs && policy !== 'deny') return
  throw unknown(new Error(`no fresh revocations for ${Math.round(doubtful.staleForMs)} ms`))
}
