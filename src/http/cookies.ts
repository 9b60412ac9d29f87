import { stringifySetCookie } from 'cookie'
import { httpErrors } from './errors.ts'

/** Browsers drop larger cookies without a word (RFC 6265bis section 5.6). */
const maxNameAndValueBytes = 4096

type CredentialCookieOptions = {
  /** Seconds the browser keeps it; zero deletes it. */
  readonly maxAgeSeconds: number
  /** `lax` only where a link from another site must arrive signed in. */
  readonly sameSite: 'strict' | 'lax'
}

/**
 * What separates pairs (RFC 9110 section 5.6.3). `trim()` would take off more: a sibling domain may set a cookie whose name is ours after
 * a no-break space, which browsers do not hold to the rules of `__Host-`.
 */
const outerBlanks = /^[ \t]+|[ \t]+$/g

/**
 * The value of the one cookie of exactly this name; `undefined` when there is none.
 *
 * Written by hand because parsers keep one of several: a second cookie of our name was planted by someone (another
 * path, a sibling domain), and picking either could sign the user in as the attacker. A name that differs only in case
 * is another cookie and is ignored.
 *
 * @throws duplicate_cookie
 */
export const readSingleCookie = (header: string | undefined, name: string): string | undefined => {
  if (header === undefined) return undefined
  const start = `${name}=`
  const values = header
    .split(';')
    .map((pair) => pair.replace(outerBlanks, ''))
    .filter((pair) => pair.startsWith(start))
    .map((pair) => pair.slice(start.length))
  if (values.length > 1) {
    throw httpErrors.error('duplicate_cookie', { detail: `More than one cookie named ${name}.` })
  }
  return values[0]
}

/**
 * A `Set-Cookie` value: `Secure; HttpOnly; Path=/`, no `Domain`. The `__Host-` name makes the browser insist on that,
 * so that no sibling domain can set or overwrite it (RFC 6265bis section 4.1.3.2).
 *
 * @throws {TypeError} for a name without the prefix, a value outside base64url, or too many bytes
 */
export const credentialCookie = (
  name: string,
  value: string,
  options: CredentialCookieOptions,
): string => {
  if (!name.startsWith('__Host-')) throw new TypeError('a credential cookie is named __Host-…')
  if (!/^[\w.-]*$/.test(value)) throw new TypeError(`the value of ${name} is not opaque text`)
  if (name.length + value.length > maxNameAndValueBytes) {
    throw new TypeError(`${name} and its value are longer than ${maxNameAndValueBytes} bytes`)
  }
  return stringifySetCookie({
    name,
    value,
    maxAge: options.maxAgeSeconds,
    path: '/',
    secure: true,
    httpOnly: true,
    sameSite: options.sameSite,
  })
}

/** Deletes the cookie. The attributes are those it was set with, or the browser would keep it. */
export const expiredCookie = (
  name: string,
  options: Pick<CredentialCookieOptions, 'sameSite'>,
): string => credentialCookie(name, '', { ...options, maxAgeSeconds: 0 })
