import type { Format } from './setting.ts'

/** 256 bits, the strength of the HMAC-SHA-256 keys (RFC 2104 section 3 warns of keys shorter than the digest). */
const minSecretBytes = 32

/** Measured as written: `openssl rand -base64 32` makes 44 characters, `openssl rand -hex 32` makes 64. */
export const secret: Format<string> = {
  limits: `${minSecretBytes} bytes or more, no white space`,
  parse: (text) => {
    if (/\s/.test(text)) return { problem: 'must not contain white space' }
    return Buffer.byteLength(text) < minSecretBytes
      ? { problem: `is shorter than ${minSecretBytes} bytes` }
      : { value: text }
  },
}

/**
 * Words of documentation and sample files, at least six letters: a random secret contains one with a probability below one in a million.
 */
const placeholderWords =
  /change[-_ ]?(me|this|it)|replace[-_ ]?(me|this)|secret|passw(or)?d|default|example|placeholder|insecure|keyboard|cardea|abcdefgh|01234567|qwerty/i

/** A random text of 32 hexadecimal digits has fewer than 8 different ones about once in 30 million. */
const minDifferentCharacters = 8

const longestPattern = 16

const repeatsAPattern = (text: string): boolean => {
  for (let length = 1; length <= longestPattern; length += 1) {
    if (text.slice(length) === text.slice(0, -length)) return true
  }
  return false
}

/**
 * Whether other people may know a secret: it comes from a manual or a sample file, or repeats a few characters. It only detects text that
 * is plainly not random and does not measure strength.
 */
export const isWellKnownSecret = (text: string): boolean =>
  placeholderWords.test(text) ||
  new Set(text).size < minDifferentCharacters ||
  repeatsAPattern(text)
