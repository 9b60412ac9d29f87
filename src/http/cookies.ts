import { stringifySetCookie } from 'cookie'
import type { FastifyRequest } from 'fastify'
import { type Cookies, readCookies } from '../../packages/verifier/src/wire.ts'
import { httpErrors } from './errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by `cookiesOf`, which is how to read it. */
    cookiesRead: Cookies | undefined
  }
}

/** Browsers drop larger cookies without a word (RFC 6265bis section 5.6). */
const maxNameAndValueBytes = 4096

type CredentialCookieOptions = {
  /** Seconds the browser keeps it; zero deletes it. */
  readonly maxAgeSeconds: number
  /** `lax` only where a link from another site must arrive signed in. */
  readonly sameSite: 'strict' | 'lax'
}

type CookieRequest = Pick<FastifyRequest, 'cookiesRead' | 'headers'>

/** The cookies of a request. The header is read once, when the first caller asks. */
export const cookiesOf = (request: CookieRequest): Cookies => {
  request.cookiesRead ??= readCookies(request.headers.cookie)
  return request.cookiesRead
}

/**
 * The value of the one cookie of exactly this name; `undefined` when there is none.
 *
 * @throws duplicate_cookie
 */
export const singleCookie = (request: CookieRequest, name: string): string | undefined => {
  const [value, second] = cookiesOf(request).get(name) ?? []
  if (second !== undefined) {
    throw httpErrors.error('duplicate_cookie', { detail: `More than one cookie named ${name}.` })
  }
  return value
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
