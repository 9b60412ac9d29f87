import { isCanonical, isKid, readPart } from './canonical-part.ts'
import { TokenRefused } from './token-refused.ts'
import type { SigningAlgorithm } from './verification-key.ts'

/** A token of Cardea has about 500 characters, with RS256 900; a header line of a request can be 16 KiB. */
const maximumCharacters = 4096

/** The kind of token that a resource server takes (RFC 9068 section 2.1); all others that Cardea signs name another. */
const accessTokenType = 'at+jwt'

/** What the header may say, and all of it has been checked. */
type TokenHeader = { readonly alg: SigningAlgorithm; readonly kid: string }

/** A token whose form is right. Nothing of it is to be believed before its signature is verified. */
export type CompactToken = {
  readonly header: TokenHeader
  /** Parsed, of a shape that is still unknown. */
  readonly claims: unknown
}

const isAlgorithm = (value: unknown): value is SigningAlgorithm =>
  value === 'ES256' || value === 'RS256' || value === 'Ed25519'

/**
 * `alg`, `typ` and `kid`, and nothing else: `jwk`, `jku`, `x5u` and `x5c` would change where the key comes from, `b64` what is signed,
 * `crit` what must be understood. Cardea uses none of them, so a token that does is refused rather than half understood.
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
 * What can be said of a token before anything is done with all of it.
 *
 * @throws {TokenRefused}
 */
export const checkLength = (token: string): void => {
  // Callers without a type checker hand over what a header happened to be.
  if (typeof token !== 'string') throw new TokenRefused('not a string')
  if (token.length > maximumCharacters) throw new TokenRefused('too long')
}

/**
 * Makes a function that takes a token apart as far as that needs no key: three parts (RFC 7515 section 7.1), each with one possible
 * spelling. It remembers the last header that was right: all tokens of one signing key have the same.
 *
 * The function throws `TokenRefused`; its argument has passed `checkLength`.
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
