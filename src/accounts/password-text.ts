import { accountErrors } from './errors.ts'

/** NIST 800-63B-4 section 3.1.1.2 asks for at least 64; the cap only keeps a request from being made of one password. */
export const maxPasswordCodePoints = 256

/** Length as a person counts it: one code point, one character, whatever it takes in UTF-16 or UTF-8. */
export const codePointsIn = (text: string): number => {
  let count = 0
  for (const _ of text) count += 1
  return count
}

/**
 * The one form of a password that is measured, compared and hashed: Unicode NFC, nothing trimmed, no case
 * folded. NFC makes the same text typed on two keyboards the same password; NFKC would go further and make
 * different passwords equal (`ﬁ` and `fi`).
 *
 * Throws `invalid_password` for a lone surrogate: UTF-8 turns each of them into U+FFFD, so that different
 * texts would hash alike (RFC 8259 section 8.2).
 */
export const normalizePassword = (text: string): string => {
  if (/\p{Surrogate}/u.test(text)) {
    throw accountErrors.error('invalid_password', {
      detail: 'The password holds half of a character (a lone surrogate).',
    })
  }
  return text.normalize('NFC')
}
