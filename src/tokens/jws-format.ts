import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { parseStrictJson, StrictJsonError } from '../lib/strict-json.ts'

/** Why a token is refused; for the log, never for the caller. */
export class TokenRefused extends Error {
  constructor(problem: string) {
    super(problem)
    this.name = 'TokenRefused'
  }
}

/** A token of ours has about 500 characters, with RS256 900; a header line can be 16 KiB. */
const maximumCharacters = 4096

/**
 * Exactly one spelling per value: no padding, no whitespace, no characters of plain base64, and no loose bits at the end.
 * Decoders, jose's too, ignore all of these, so that one token would have many spellings.
 */
const isCanonical = (part: string): boolean =>
  part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part

type Parts = readonly [header: string, claims: string, signature: string]

/** Three canonical, non-empty parts (RFC 7515 section 7.1; RFC 8725bis section 3.14), or throws `TokenRefused`. */
export const splitToken = (token: string): Parts => {
  if (token.length > maximumCharacters) throw new TokenRefused('too long')
  const [header, claims, signature, ...more] = token.split('.')
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0) {
    throw new TokenRefused('not three parts')
  }
  if (![header, claims, signature].every(isCanonical)) {
    throw new TokenRefused('not canonical base64url')
  }
  return [header, claims, signature]
}

/**
 * The JSON of one part; a member named twice, `__proto__`, or bytes that are not UTF-8 are refused. Parsers disagree about
 * which of two members counts, and the one that checked may not be the one that is believed (RFC 7515 section 4).
 */
export const decodePart = (part: string): unknown => {
  try {
    return parseStrictJson(Buffer.from(part, 'base64url'))
  } catch (error) {
    if (error instanceof StrictJsonError) throw new TokenRefused(`JSON that ${error.message}`)
    throw error
  }
}

const tokenHeader = Compile(
  Type.Object({
    alg: Type.Union([Type.Literal('ES256'), Type.Literal('RS256'), Type.Literal('Ed25519')]),
    typ: Type.String(),
    // Only ever a key into a Map, yet what cannot be a kid of ours is not even looked up.
    kid: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  }),
)

export type TokenHeader = Static<ReturnType<typeof tokenHeader.Type>>

/**
 * Members that would change where the key comes from (`jwk`, `jku`, `x5u`, `x5c`), what is signed (`b64`) or what must be
 * understood (`crit`). Cardea uses none: a token with one was not made here, and is refused rather than half understood.
 */
const foreignMembers = ['jwk', 'jku', 'x5u', 'x5c', 'b64', 'crit']

/** All that can be known of a header before any key is touched; throws `TokenRefused`. */
export const readHeader = (part: string, typ: string): TokenHeader => {
  const header = decodePart(part)
  if (!tokenHeader.Check(header)) throw new TokenRefused('header with a wrong alg, typ or kid')
  if (header.typ !== typ) throw new TokenRefused('a token of another kind')
  const foreign = foreignMembers.find((name) => Object.hasOwn(header, name))
  if (foreign !== undefined) throw new TokenRefused(`header with ${foreign}`)
  return header
}
