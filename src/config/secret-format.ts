import type { Format } from './setting.ts'

/** 256 bits, the strength of the HMAC-SHA-256 they feed (RFC 2104 section 3 warns of keys below the digest's length). */
const leastSecretBytes = 32

/** Measured as written: `openssl rand -base64 32` makes 44 characters, `openssl rand -hex 32` makes 64. */
export const secret: Format<string> = {
  limits: `${leastSecretBytes} bytes or more, no white space`,
  parse: (text) => {
    if (/\s/.test(text)) return { problem: 'must not hold white space' }
    return Buffer.byteLength(text) < leastSecretBytes
      ? { problem: `is shorter than ${leastSecretBytes} bytes` }
      : { value: text }
  },
}

/** Words of documentation and sample files, six letters at least: a random secret holds one less than once in a million. */
const placeholderWords =
  /change[-_ ]?(me|this|it)|replace[-_ ]?(me|this)|secret|passw(or)?d|default|example|placeholder|insecure|keyboard|cardea|abcdefgh|01234567|qwerty/i

/** A random text of 32 hexadecimal digits has fewer than 8 different ones about once in 30 million. */
const leastDifferentCharacters = 8

const longestPattern = 16

const repeatsAPattern = (text: string): boolean => {
  for (let length = 1; length <= longestPattern; length += 1) {
    if (text.slice(length) === text.slice(0, -length)) return true
  }
  return false
}

/**
 * True for a secret that somebody else may know: from a manual or a sample file, or a few characters over and over.
 * It can only catch what is plainly not random; it is no measure of strength.
 */
export const isWellKnownSecret = (text: string): boolean =>
  placeholderWords.test(text) ||
  new Set(text).size < leastDifferentCharacters ||
  repeatsAPattern(text)
