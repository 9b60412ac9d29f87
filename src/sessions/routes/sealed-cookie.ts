import type { FastifyRequest } from 'fastify'
import { cookiesOf, credentialCookie, expiredCookie } from '../../http/cookies.ts'
import { sealedCookieName } from '../sealed-session.ts'

/** Lax, as the session cookie: a link from elsewhere to the web app arrives signed in. */
const sameSite = 'lax'

export const sealedCookie = (sealed: string, maxAgeSeconds: number): string =>
  credentialCookie(sealedCookieName, sealed, { maxAgeSeconds, sameSite })

/**
 * What takes a sealed session out of the browser that asks: nothing for a browser that has none. Its token dies with its session either
 * way; without the cookie the web app sees at once that nobody is signed in. Several of the name are deleted together.
 */
export const expiredSealedCookies = (request: FastifyRequest): string[] =>
  cookiesOf(request).has(sealedCookieName) ? [expiredCookie(sealedCookieName, { sameSite })] : []
