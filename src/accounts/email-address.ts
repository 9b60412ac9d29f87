import { domainToASCII } from 'node:url'
import { accountErrors } from './account.ts'

export type EmailAddress = {
  /** As entered, in NFC and without surrounding blanks. Used for mail and display. */
  readonly address: string
  /** Two addresses are the same if this is equal. Unique in the store. */
  readonly canonical: string
}

/** RFC 5321 section 4.5.3.1.3 (a path of 256 with its angle brackets), in bytes of UTF-8. */
const maxBytes = 254
const maxDomainCharacters = 253

// Controls, format characters (bidi marks, zero-width joiners), surrogates, private use and unassigned code points, and every kind of
// space. They are invisible, so two addresses could look the same but differ.
const invisible = /[\p{C}\p{Z}]/u

// RFC 5322 dot-atom, extended to Unicode by RFC 6531. Quoted local parts are refused: `"ada"@x` and `ada@x` are one mailbox, but would have
// two canonical forms.
const dotAtom =
  /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10FFFF}]+(\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10FFFF}]+)*$/u

// Checked before domainToASCII, which parses its input as part of a URL: it would drop `/path` and decode `%65`.
const domainBefore = /^[A-Za-z0-9.\-\u0080-\u{10FFFF}]+$/u

// Checked after domainToASCII. The last label must not be a number: `127.1` would have become an IP address.
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

/** ASCII only: full case folding depends on the language (`İ`, `ı`) and on the Unicode version of the runtime. */
const lowerAscii = (text: string): string =>
  text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())

const assertFits = (text: string): void => {
  if (Buffer.byteLength(text, 'utf8') > maxBytes) {
    throw refuse(`The address is longer than ${maxBytes} bytes.`)
  }
}

/**
 * Parses an e-mail address and computes its canonical form. No other code may do this, because SQL's `lower()` folds differently from
 * JavaScript's. Surrounding blanks, which autofill and copying add, are removed. The text becomes NFC. In the local part only A-Z become
 * lower case. The domain gets its ASCII form (IDNA by UTS #46). So `K` (U+212A, the Kelvin sign) is a `K` by NFC and becomes `k` in either
 * part; `İ` (U+0130) is unchanged in the local part and becomes Punycode in the domain. Other letters of the local part keep their case:
 * `É` and `é` are two addresses, because a mail server may treat them so.
 *
 * Throws `invalid_email` for anything that is not one local part, one @ and one domain name.
 */
export const parseEmail = (text: string): EmailAddress => {
  const address = text.trim().normalize('NFC')
  assertFits(address)
  if (invisible.test(address)) {
    throw refuse('The address contains a space or an invisible character.')
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
