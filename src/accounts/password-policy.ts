import { accountErrors } from './account.ts'
import { type Commonness, loadCommonPasswords } from './common-passwords.ts'
import type { EmailAddress } from './email-address.ts'

/** NIST 800-63B-4 section 3.1.1.2 requires at least 64. The maximum only prevents very large passwords. */
export const maxPasswordCodePoints = 256

/** Length as people count it: one code point is one character, whatever its size in UTF-16 or UTF-8. */
export const codePointsIn = (text: string): number => {
  let count = 0
  for (const _ of text) count += 1
  return count
}

/**
 * The form of a password that is measured, compared and hashed: Unicode NFC, without trimming or case folding. NFC makes the same text from
 * two keyboards the same password. NFKC would also make different passwords equal (`ﬁ` and `fi`).
 *
 * Throws `invalid_password` for a lone surrogate: UTF-8 replaces each by U+FFFD, so different texts would have the same hash (RFC 8259
 * section 8.2).
 */
export const normalizePassword = (text: string): string => {
  if (/\p{Surrogate}/u.test(text)) {
    throw accountErrors.error('invalid_password', {
      detail: 'The password contains half of a character (a lone surrogate).',
    })
  }
  return text.normalize('NFC')
}

export type PasswordPolicy = {
  /** The minimum in code points. 15 while the password is the only factor (NIST 800-63B-4 section 3.1.1.2). */
  readonly minLength: number
  /** Words that must not be the whole password, in any case: see `passwordContext`. */
  readonly context: readonly string[]
}

/** What an attacker who knows the service and the user tries first: the product's name, the address and its local part. */
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
 * Checks a new password. Every Unicode character is allowed and no mixture of kinds is required (NIST 800-63B-4 section 3.1.1.2). A
 * password is compared as a whole, never by parts. Throws `password_rejected` with the exact reason in `detail`, or `invalid_password` for
 * a lone surrogate.
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
