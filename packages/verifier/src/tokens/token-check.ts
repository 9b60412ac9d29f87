import { hash } from 'node:crypto'
import { compactVerify, errors } from 'jose'
import type { Clock } from '../clock.ts'
import { VerifierError } from '../errors.ts'
import type { AccessTokenClaims } from './access-token-claims.ts'
import { checkLength, createTokenReader } from './compact-token.ts'
import { type Expected, judgeClaims } from './judge-claims.ts'
import { readClaims } from './read-claims.ts'
import { createSignatureCache } from './signature-cache.ts'
import { TokenRefused } from './token-refused.ts'
import type { VerificationKey } from './verification-key.ts'

/** The claims of a token after all checks except revocation. Frozen. */
export type CheckedToken = {
  readonly claims: AccessTokenClaims
  /** The key that signed it. */
  readonly kid: string
}

export type CheckAccessTokenOptions = {
  /** The `iss` of the tokens, exactly. */
  readonly issuer: string
  /** At least one. A token for any of them is accepted. */
  readonly audiences: readonly string[]
  /**
   * The key that may verify tokens with this kid, or undefined for a kid that is not (or no longer) trusted. Called for every token, cached
   * or not, so that removing a key invalidates its tokens. Its errors are passed on.
   */
  readonly keyOf: (
    kid: string,
  ) => VerificationKey | undefined | Promise<VerificationKey | undefined>
  readonly clock: Pick<Clock, 'nowMs'>
  /** The number of cached signatures; default 10,000, 0 for none. */
  readonly maxCachedTokens?: number
}

/** `checkAccessToken` with its statistics. */
export type TokenCheck = {
  /** Rejects with a `VerifierError`, or with the error of `keyOf`. */
  readonly check: (token: string) => Promise<CheckedToken>
  readonly stats: () => { readonly cached: number; readonly hits: number; readonly misses: number }
}

type Remembered = { readonly token: CheckedToken; readonly key: VerificationKey['key'] }

/** The average bytes of a cached token: twice those of a usual one. */
const averageBytes = 2048

/** A token of 620 characters was measured to take 870 bytes: half for its claims, half for the objects around them. */
const estimatedBytes = (token: string): number => 600 + token.length

/** The key that the header selects, if it is known and has this algorithm. */
const usable = (key: VerificationKey | undefined, alg: string): VerificationKey['key'] => {
  if (key === undefined) throw new TokenRefused('unknown kid')
  // The token selects a key but never how it is used (RFC 8725bis section 3.1).
  if (key.algorithm !== alg) throw new TokenRefused('alg is not that of the key')
  return key.key
}

/** Maps internal errors to those that a caller of `check` sees. */
const asRefusal = (error: unknown): unknown => {
  // Other errors are faults of this service or of the network and must not look like an invalid token, which would log the user out.
  const isRefusal = error instanceof TokenRefused || error instanceof errors.JOSEError
  return isRefusal ? new VerifierError('token_invalid', { cause: error }) : error
}

/**
 * The implementation of `checkAccessToken`. A new token costs as much as plain `jose.jwtVerify` plus 10 to 20 percent (`npm run bench --
 * verify`) for a digest and the strict parsing. A known token costs a digest, and everything except its signature is checked again.
 *
 * @throws {TypeError} at once, for invalid options
 */
export const createTokenCheck = (options: CheckAccessTokenOptions): TokenCheck => {
  const expected: Expected = { issuer: options.issuer, audiences: [...options.audiences] }
  if (expected.audiences.length === 0) throw new TypeError('at least one audience is needed')
  const entries = options.maxCachedTokens ?? 10_000
  if (!Number.isSafeInteger(entries) || entries < 0) {
    throw new TypeError('maxCachedTokens must be a whole number')
  }
  const cache = createSignatureCache<Remembered>({ entries, bytes: entries * averageBytes })
  const readToken = createTokenReader()
  let hits = 0
  let misses = 0

  /** Checks everything except the signature, which was verified with this key. Undefined when the key for the kid is another one now. */
  const recall = async (remembered: Remembered): Promise<CheckedToken | undefined> => {
    const { token } = remembered
    const found = options.keyOf(token.kid)
    // Waits only when the caller must ask the issuer.
    const key = found instanceof Promise ? await found : found
    if (key?.key !== remembered.key) return undefined
    judgeClaims(token.claims, expected, options.clock.nowMs())
    hits += 1
    return token
  }

  /**
   * Checks that need no key come first: they cost a tenth of a signature, so nobody can make the verifier check a signature of a token that
   * it would refuse anyway.
   */
  const verify = async (token: string): Promise<Remembered> => {
    misses += 1
    const { header, claims: value } = readToken(token)
    const claims = readClaims(value)
    judgeClaims(claims, expected, options.clock.nowMs())
    const found = options.keyOf(header.kid)
    const key = usable(found instanceof Promise ? await found : found, header.alg)
    await compactVerify(token, key, { algorithms: [header.alg] })
    return { token: Object.freeze({ claims, kid: header.kid }), key }
  }

  const check = async (token: string): Promise<CheckedToken> => {
    try {
      checkLength(token)
      // A digest of the whole token including the signature: a token that differs in one bit needs its own verification. The token itself
      // is not stored, so that a memory dump contains no thousands of usable tokens.
      const digest = hash('sha256', token, 'base64url')
      const remembered = cache.get(digest)
      const recalled = remembered && (await recall(remembered))
      if (recalled !== undefined) return recalled
      const verified = await verify(token)
      cache.set(digest, verified, estimatedBytes(token))
      return verified.token
    } catch (error) {
      throw asRefusal(error)
    }
  }

  return {
    check,
    stats: () => ({ cached: cache.size(), hits, misses }),
  }
}
