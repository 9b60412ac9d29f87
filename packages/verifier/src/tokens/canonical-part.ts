import { TokenRefused } from './token-refused.ts'

const reencode = (value: unknown): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url')

/**
 * Names through which a careless copy of the value would reach `Object.prototype`. In canonical text a quote that is not escaped ends
 * a string, so these can only be member names.
 */
const reachesPrototype = /"__proto__":|"constructor":\{/

/**
 * The JSON of one part, which must be spelled as `JSON.stringify` spells it and as base64url without padding: Cardea writes no other.
 * One comparison thereby refuses everything that two readers could read differently (RFC 8725bis section 3.14, RFC 7515 section 4):
 * a member named twice, whitespace, `1e309` and numbers a double cannot hold, bytes that are not UTF-8, padding, loose bits at the
 * end. Escapes are refused as well, since no claim of Cardea's needs one: with them go NUL and lone surrogates.
 */
export const readPart = (part: string): unknown => {
  const text = Buffer.from(part, 'base64url').toString()
  if (text.includes('\\')) throw new TokenRefused('JSON with an escape')
  if (reachesPrototype.test(text))
    throw new TokenRefused('JSON with a member name that is not allowed')
  let value: unknown
  let spelling: string
  try {
    value = JSON.parse(text)
    spelling = reencode(value)
  } catch {
    // The parser's message quotes the text, and it goes no further. Also here: nesting too deep for the stack.
    throw new TokenRefused('not JSON')
  }
  if (spelling !== part) {
    throw new TokenRefused(
      'JSON or base64url of another spelling: a member named twice, odd numbers, spaces, loose bits',
    )
  }
  return value
}

/** Exactly one spelling per signature: decoders, jose's too, ignore padding, whitespace and loose bits at the end. */
export const isCanonical = (part: string): boolean =>
  part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part

/** A thumbprint, as all kids of Cardea. Only ever a key into a map in memory, yet what cannot be one is not even looked up. */
const kidPattern = /^[A-Za-z0-9_-]{43}$/

export const isKid = (value: unknown): value is string =>
  typeof value === 'string' && kidPattern.test(value)
