import { domainToASCII } from 'node:url'
import { accountErrors } from './account.ts'

export type EmailAddress = {
  /** As the person wrote it, in NFC, without blanks around it: what mail is sent to and what is shown. */
  readonly address: string
  /** What decides whether two addresses are the same one; unique in the store. */
  readonly canonical: string
}

/** RFC 5321 section 4.5.3.1.3 (a path of 256 with its angle brackets), counted in bytes of UTF-8. */
const maxBytes = 254
const maxDomainCharacters = 253

// Controls, format characters (bidi marks, zero-width joiners), surrogates, private use and unassigned code
// points, and every kind of space: invisible, so that two addresses could look the same and differ.
const invisible = /[\p{C}\p{Z}]/u

// RFC 5322 dot-atom, widened to all of Unicode by RFC 6531. Quoted local parts are refused: `"ada"@x` and
// `ada@x` are one mailbox, and there would be two canonical forms for it.
const dotAtom =
  /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10FFFF}]+(\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10FFFF}]+)*$/u

// Checked before domainToASCII, which reads its input as part of a URL: it would drop `/path` and decode `%65`.
const domainBefore = /^[A-Za-z0-9.\-\u0080-\u{10FFFF}]+$/u

// Checked after it. The last label is not a number: `127.1` would have become an IP address.
const domainAfter =
  /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*(?!\d+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

const refuse = (detail: string) => accountErrors.error('invalid_email', { detail })

const canonicalDomain = (domain: string): string => {
  const ascii = domainBefore.test(domain) ? domainToASCII(domain).toLowerCase() : ''
  if (ascii.length > maxDomainCharacters || !domainAfter.test(ascii)) {
    throw refuse('The part after the @ is not a domain name.')
  }
  return ascii
}

/** ASCII only: full case folding depends on the language (`İ`, `ı`) and on the Unicode version of whoever computes it. */
const lowerAscii = (text: string): string =>
  text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())

const assertFits = (text: string): void => {
  if (Buffer.byteLength(text, 'utf8') > maxBytes) {
    throw refuse(`The address is longer than ${maxBytes} bytes.`)
  }
}

/**
 * Reads an e-mail address and computes its canonical form, here and nowhere else (SQL's `lower()` folds
 * differently from JavaScript's): without blanks around it, which autofill and copying add; NFC; in the local part only A-Z become lower case; the domain in its
 * ASCII form (IDNA by UTS #46). So `K` (U+212A, the Kelvin sign) is a `K` by NFC and ends as `k` in either
 * part; `İ` (U+0130) stays as it is in the local part and becomes Punycode in the domain. Other letters of the
 * local part keep their case: `É` and `é` are two addresses, as the mail server may hold them to be.
 *
 * Throws `invalid_email` for anything that is not one local part, one @ and one domain name.
 */
export const parseEmail = (text: string): EmailAddress => {
  const address = text.trim().normalize('NFC')
  assertFits(address)
  if (invisible.test(address)) {
    throw refuse('The address holds a space or an invisible character.')
  }
  const at = address.indexOf('@')
  if (at === -1 || at !== address.lastIndexOf('@')) {
    throw refuse('The address needs exactly one @.')
  }
  const local = address.slice(0, at)
  if (!dotAtom.test(local)) throw refuse('The part before the @ is not a mailbox name.')
  const canonical = `${lowerAscii(local)}@${canonicalDomain(address.slice(at + 1))}`
  assertFits(canonical)
  return { address, canonical }
}
