import { accountErrors } from './account.ts'
import { type Commonness, loadCommonPasswords } from './common-passwords.ts'
import type { EmailAddress } from './email-address.ts'

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

export type PasswordPolicy = {
  /** Fewest code points. 15 while the password is the only factor (NIST 800-63B-4 section 3.1.1.2). */
  readonly minLength: number
  /** Words that may not be the whole password, whatever their case: see `passwordContext`. */
  readonly context: readonly string[]
}

/** What a guesser who knows the service and the person tries first: the product's name, the address and its local part. */
export const passwordContext = ({ address, canonical }: EmailAddress): string[] => [
  'cardea',
  address,
  canonical,
  address.slice(0, address.lastIndexOf('@')),
]

const commonnessReasons: Readonly<Record<Commonness, string>> = {
  listed: 'The password is one of the most commonly used ones.',
  repeated: 'The password only repeats a short or common piece.',
  joined: 'The password only joins two of the most commonly used ones.',
}

const reject = (detail: string) => accountErrors.error('password_rejected', { detail })

/** One spelling for comparisons with lists; never for hashing. */
const folded = (text: string): string => text.normalize('NFC').toLowerCase()

/**
 * Accepts or refuses a password that someone wants to set. Every Unicode character is allowed and no mixture
 * of kinds is asked for (NIST 800-63B-4 section 3.1.1.2); a password is compared as a whole, never by parts.
 * Throws `password_rejected`, whose `detail` is the exact reason, or `invalid_password` for a lone surrogate.
 */
export const checkNewPassword = async (
  password: string,
  { minLength, context }: PasswordPolicy,
): Promise<void> => {
  const text = normalizePassword(password)
  const length = codePointsIn(text)
  if (length < minLength) {
    throw reject(`The password has ${length} characters; at least ${minLength} are needed.`)
  }
  if (length > maxPasswordCodePoints) {
    throw reject(
      `The password has ${length} characters; at most ${maxPasswordCodePoints} are allowed.`,
    )
  }
  const compared = folded(text)
  if (context.some((word) => folded(word) === compared)) {
    throw reject(
      'The password is the name of this service, the e-mail address or the part before its @.',
    )
  }
  const commonness = (await loadCommonPasswords()).judge(compared)
  if (commonness) throw reject(commonnessReasons[commonness])
}
