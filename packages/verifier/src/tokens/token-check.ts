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

/** What a token said, after everything that it says about itself was checked. Frozen. */
export type CheckedToken = {
  readonly claims: AccessTokenClaims
  /** The key that signed it. */
  readonly kid: string
}

export type CheckAccessTokenOptions = {
  /** The `iss` of the tokens, byte for byte. */
  readonly issuer: string
  /** At least one; a token for any one of them is accepted. */
  readonly audiences: readonly string[]
  /**
   * The key that may verify tokens with this kid, or undefined for a kid that is not (or no longer) trusted. Asked for every token,
   * remembered or not, so that a key which leaves the set takes its tokens with it. What it throws is passed on.
   */
  readonly keyOf: (
    kid: string,
  ) => VerificationKey | undefined | Promise<VerificationKey | undefined>
  readonly clock: Pick<Clock, 'nowMs'>
  /** Verified signatures that are remembered; default 10,000, 0 for none. */
  readonly maxCachedTokens?: number
}

/** `checkAccessToken` and its numbers. */
export type TokenCheck = {
  /** Rejects with a `VerifierError`, or with what `keyOf` rejects with. */
  readonly check: (token: string) => Promise<CheckedToken>
  readonly stats: () => { readonly cached: number; readonly hits: number; readonly misses: number }
}

type Remembered = { readonly token: CheckedToken; readonly key: VerificationKey['key'] }

/** What one remembered token may take, on average over the cache, bytes: twice of what one of the usual kind does. */
const averageBytes = 2048

/** A token of 620 characters was measured to take 870 bytes: half is its claims, the other half the objects around them. */
const estimatedBytes = (token: string): number => 600 + token.length

/** The key that the header asks for, if we have it and it is for that. */
const usable = (key: VerificationKey | undefined, alg: string): VerificationKey['key'] => {
  if (key === undefined) throw new TokenRefused('unknown kid')
  // The token says which of our keys, never how it is to be used (RFC 8725bis section 3.1).
  if (key.algorithm !== alg) throw new TokenRefused('alg is not that of the key')
  return key.key
}

/** What a caller of `check` gets to see instead of what was thrown inside. */
const asRefusal = (error: unknown): unknown => {
  // Anything else is a fault of ours or of the network, and must not look like a bad token: it would sign the user out.
  const isRefusal = error instanceof TokenRefused || error instanceof errors.JOSEError
  return isRefusal ? new VerifierError('token_invalid', { cause: error }) : error
}

/**
 * The work of `checkAccessToken`. A token that is seen for the first time costs what bare `jose.jwtVerify` costs and 10 to 20 percent on
 * top (`npm run bench -- verify`): a digest, and reading strictly what it says. One that was seen before costs a digest, and everything but
 * its signature is checked again.
 *
 * @throws {TypeError} at once, for options that cannot be
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

  /** Everything but the signature, which has been verified with this very key. Undefined when that key is no longer the one. */
  const recall = async (remembered: Remembered): Promise<CheckedToken | undefined> => {
    const { token } = remembered
    const found = options.keyOf(token.kid)
    // Waits only when the caller has to ask someone.
    const key = found instanceof Promise ? await found : found
    if (key?.key !== remembered.key) return undefined
    judgeClaims(token.claims, expected, options.clock.nowMs())
    hits += 1
    return token
  }

  /** What needs no key comes first: it costs a tenth of a signature, so nobody can make us verify what we would refuse anyhow. */
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
      // A digest of the whole token, signature included: what differs in one bit has been verified for itself or not at all. The
      // token itself is not kept, so that no copy of this process's memory holds thousands of usable ones.
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
