import { isCanonical, isKid, readPart } from './canonical-part.ts'
import { TokenRefused } from './token-refused.ts'
import type { SigningAlgorithm } from './verification-key.ts'

/** A token of Cardea has about 500 characters, with RS256 900. A header line of a request can be 16 KiB. */
const maximumCharacters = 4096

/** The token type that a resource server accepts (RFC 9068 section 2.1). All other tokens of Cardea have another type. */
const accessTokenType = 'at+jwt'

/** The checked header. */
type TokenHeader = { readonly alg: SigningAlgorithm; readonly kid: string }

/** A well-formed token. Do not trust any part of it before its signature is verified. */
export type CompactToken = {
  readonly header: TokenHeader
  /** Parsed, of unknown shape. */
  readonly claims: unknown
}

const isAlgorithm = (value: unknown): value is SigningAlgorithm =>
  value === 'ES256' || value === 'RS256' || value === 'Ed25519'

/**
 * `alg`, `typ` and `kid`, and nothing else: `jwk`, `jku`, `x5u` and `x5c` would change where the key comes from, `b64` what is signed,
 * `crit` what must be understood. Cardea uses none of them, so a token with one is refused instead of half understood.
 */
const readHeader = (part: string): TokenHeader => {
  const header = readPart(part)
  if (typeof header !== 'object' || header === null)
    throw new TokenRefused('a header that is no object')
  const { alg, typ, kid, ...others }: { alg?: unknown; typ?: unknown; kid?: unknown } = header
  if (!isAlgorithm(alg)) throw new TokenRefused('an alg that is not allowed')
  if (typ !== accessTokenType) throw new TokenRefused('a token of another kind')
  if (!isKid(kid)) throw new TokenRefused('a kid that cannot be one')
  if (Object.keys(others).length > 0)
    throw new TokenRefused('a header with more than alg, typ and kid')
  return { alg, kid }
}

/**
 * Checks before anything is done with the whole token.
 *
 * @throws {TokenRefused}
 */
export const checkLength = (token: string): void => {
  // Callers without a type checker may pass any header value.
  if (typeof token !== 'string') throw new TokenRefused('not a string')
  if (token.length > maximumCharacters) throw new TokenRefused('too long')
}

/**
 * Makes a function that parses a token as far as possible without a key: three parts (RFC 7515 section 7.1), each with one possible
 * spelling. It caches the last valid header, because all tokens of one signing key have the same.
 *
 * The function throws `TokenRefused`. Its argument must have passed `checkLength`.
 */
export const createTokenReader = (): ((token: string) => CompactToken) => {
  let lastPart = ''
  let lastHeader: TokenHeader | undefined

  const headerOf = (part: string): TokenHeader => {
    if (lastHeader !== undefined && part === lastPart) return lastHeader
    lastHeader = readHeader(part)
    lastPart = part
    return lastHeader
  }

  return (token) => {
    const [header, claims, signature, more] = token.split('.', 4)
    if (
      header === undefined ||
      claims === undefined ||
      signature === undefined ||
      more !== undefined
    ) {
      throw new TokenRefused('not three parts')
    }
    if (!isCanonical(signature)) {
      throw new TokenRefused('a signature that is not canonical base64url')
    }
    return { header: headerOf(header), claims: readPart(claims) }
  }
}
