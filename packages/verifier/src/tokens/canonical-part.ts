import { TokenRefused } from './token-refused.ts'

const reencode = (value: unknown): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url')

/**
 * Names with which a careless copy of the value would reach `Object.prototype`. In canonical text an unescaped quote ends a string, so
 * these can only be member names.
 */
const reachesPrototype = /"__proto__":|"constructor":\{/

/**
 * The JSON of one part. It must be spelled exactly like the output of `JSON.stringify` and as base64url without padding, because Cardea
 * writes no other form. This one comparison refuses everything that two parsers could read differently (RFC 8725bis section 3.14, RFC 7515
 * section 4): a repeated member, whitespace, `1e309` and numbers that a double cannot hold, bytes that are not UTF-8, padding, loose bits
 * at the end. Escapes are refused as well, because no claim of Cardea needs one. This includes NUL and lone surrogates.
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
    // The parser's message quotes the text, so it is dropped. Nesting that exceeds the stack also ends here.
    throw new TokenRefused('not JSON')
  }
  if (spelling !== part) {
    throw new TokenRefused(
      'JSON or base64url of another spelling: a member named twice, odd numbers, spaces, loose bits',
    )
  }
  return value
}

/** Accepts one spelling per signature: decoders, including jose's, ignore padding, whitespace and loose bits at the end. */
export const isCanonical = (part: string): boolean =>
  part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part

/** A thumbprint, like all kids of Cardea. It is only a key into a map in memory, but a malformed one is not even looked up. */
const kidPattern = /^[A-Za-z0-9_-]{43}$/

export const isKid = (value: unknown): value is string =>
  typeof value === 'string' && kidPattern.test(value)
