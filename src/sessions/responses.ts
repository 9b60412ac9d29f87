import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import {
  type CredentialCookie,
  cookiesOf,
  credentialCookie,
  expiredCookie,
  mayUseCookies,
  setCookies,
  singleCookie,
} from '../http/browser-requests.ts'
import { httpErrors } from '../http/errors.ts'
import type { SealAccessToken } from '../tokens/index.ts'
import { fitsSealed, type Issued, sealedCookieName, tooLargeToSeal } from './credentials.ts'
import type { PresentedCookies, ReplacedCookies } from './end-session.ts'
import type { Delivery, SessionKind } from './session.ts'

const refreshCookieName = '__Host-cardea-refresh'

const refreshSameSite = 'strict'

/** A link from another site must arrive logged in at the web app. Unsafe requests are protected by the origin check. */
const sameSite = 'lax'

/** @throws duplicate_cookie */
export const presentedRefreshCookie = (request: FastifyRequest): string | undefined =>
  singleCookie(request, refreshCookieName)

const refreshCookie = ({
  refreshToken,
  refreshExpiresInSeconds,
  persists,
}: Pick<Issued, 'refreshToken' | 'refreshExpiresInSeconds' | 'persists'>): CredentialCookie =>
  credentialCookie(refreshCookieName, refreshToken, {
    maxAgeSeconds: persists ? refreshExpiresInSeconds : undefined,
    sameSite: refreshSameSite,
  })

export const expiredRefreshCookie = (): CredentialCookie =>
  expiredCookie(refreshCookieName, { sameSite: refreshSameSite })

const sealedCookie = (sealed: string, maxAgeSeconds: number | undefined): CredentialCookie =>
  credentialCookie(sealedCookieName, sealed, { maxAgeSeconds, sameSite })

/**
 * Deletes the sealed cookie of this browser; empty for a browser without one. Its token is revoked with the session anyway, but without the
 * cookie the web app sees at once that the user is logged out. Duplicates of the name are deleted together.
 */
export const expiredSealedCookies = (request: FastifyRequest): CredentialCookie[] =>
  cookiesOf(request).has(sealedCookieName) ? [expiredCookie(sealedCookieName, { sameSite })] : []

/**
 * A cookie for all hosts of a site has another name than one for a single host. Browsers accept `__Host-` only for the latter. When
 * `COOKIE_DOMAIN` changes, neither is accepted as the other.
 */
const nameOf = ({ cookieDomain }: Pick<FastifyInstance, 'cookieDomain'>): string =>
  cookieDomain === undefined ? '__Host-cardea-session' : '__Secure-cardea-session'

/** @throws duplicate_cookie */
export const presentedSessionCookie = (request: FastifyRequest): string | undefined =>
  singleCookie(request, nameOf(request.server))

export const expiredSessionCookie = ({
  server,
}: Pick<FastifyRequest, 'server'>): CredentialCookie =>
  expiredCookie(nameOf(server), { sameSite, domain: server.cookieDomain })

/** @param maxAgeSeconds undefined for a cookie that ends with the browser */
export const sessionCookie = (
  { server }: Pick<FastifyReply, 'server'>,
  handle: string,
  maxAgeSeconds: number | undefined,
): CredentialCookie =>
  credentialCookie(nameOf(server), handle, { maxAgeSeconds, sameSite, domain: server.cookieDomain })

/**
 * The cookies of a browser that logs in. They are read before the password is checked: a refusal afterwards would leave a session whose
 * handle nobody has.
 * @throws duplicate_cookie
 */
export const presentedCookies = (request: FastifyRequest): PresentedCookies => ({
  session: presentedSessionCookie(request),
  refresh: presentedRefreshCookie(request),
})

/** The cookies that a login response deletes, in addition to the ones it sets. */
export const expiredAtLogin = (
  request: FastifyRequest,
  kind: SessionKind,
  replaced: ReplacedCookies,
): readonly CredentialCookie[] => [
  ...(replaced.session && kind !== 'cookie' ? [expiredSessionCookie(request)] : []),
  ...(replaced.refresh && kind === 'cookie' ? [expiredRefreshCookie()] : []),
  ...(kind === 'sealed' ? [] : expiredSealedCookies(request)),
]

export type PresentedRefreshToken = { readonly presented: string; readonly delivery: Delivery }

export type HandleRequest = FastifyRequest<{ Body: { refresh_token?: string } | undefined }>

/** The refresh token in the body of a request. */
export const handleInBody = ({ body }: HandleRequest): PresentedRefreshToken | undefined =>
  body?.refresh_token === undefined
    ? undefined
    : { presented: body.refresh_token, delivery: 'body' }

/**
 * The refresh token of a request: from the cookie, or from the body for sessions delivered there. The place determines the delivery, so
 * that a token stolen from one place is useless in the other.
 * @throws invalid_request when it comes both ways, duplicate_cookie; cross_site_origin for a page of another site without one in the body
 */
export const presentedHandle = (request: HandleRequest): PresentedRefreshToken | undefined => {
  const inBody = handleInBody(request)
  if (inBody !== undefined && !mayUseCookies(request)) return inBody
  const inCookie = presentedRefreshCookie(request)
  if (inCookie !== undefined && inBody !== undefined) {
    throw httpErrors.error('invalid_request', {
      detail: 'A refresh token came in the cookie and in the body; send one.',
    })
  }
  return inCookie === undefined ? inBody : { presented: inCookie, delivery: 'cookie' }
}

export const tokenResponseSchema = Type.Object({
  access_token: Type.String({ description: 'A JWT of type at+jwt (RFC 9068)' }),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds' }),
  session_id: Type.String(),
  refresh_token: Type.Optional(
    Type.String({ description: 'Only for a session that was requested with "delivery": "body"' }),
  ),
  device_token: Type.Optional(
    Type.String({
      description: 'Only after a login with "delivery": "body": send it with the next one',
    }),
  ),
})

/** The response of a session kept by cookies only. It contains no token that a script could read. */
export const cookieResponseSchema = Type.Object({
  session_id: Type.String(),
  expires_in: Type.Integer({ description: 'Seconds until the session ends if it is not used' }),
})

export type CookieResponse = Static<typeof cookieResponseSchema>

export type TokenResponse = Static<typeof tokenResponseSchema>

/**
 * The response of a login or a refresh. Browsers get the refresh token only in the cookie, so that no script can read it (RFC 9700 section
 * 4.14.2). Native clients request it in the body.
 */
export const tokenResponse = (
  reply: FastifyReply,
  issued: Issued,
  delivery: Delivery,
): TokenResponse => {
  if (delivery === 'cookie') setCookies(reply, [refreshCookie(issued)])
  return {
    access_token: issued.accessToken,
    token_type: 'Bearer',
    expires_in: issued.expiresInSeconds,
    session_id: issued.sessionId,
    ...(delivery === 'body' && { refresh_token: issued.refreshToken }),
  }
}

export type SealedResponse = (reply: FastifyReply, issued: Issued) => Promise<CookieResponse>

/**
 * The response of a login or a refresh of a sealed session: both cookies, and no token that a script could read. `expires_in` is that of
 * the sealed token; the page must refresh by then.
 *
 * A refresh has already consumed its handle. So the successor is set even when the token has become too long, for example because of a new
 * role. The user stays logged in, and refreshes work again once there are fewer roles.
 *
 * The function rejects with sealed_session_too_large.
 */
export const sealedResponse =
  (seal: SealAccessToken): SealedResponse =>
  async (reply, issued) => {
    setCookies(reply, [refreshCookie(issued)])
    if (!fitsSealed(issued)) throw tooLargeToSeal()
    const sealed = await seal(issued.accessToken, issued.audience)
    const maxAgeSeconds = issued.persists ? issued.expiresInSeconds : undefined
    setCookies(reply, [sealedCookie(sealed, maxAgeSeconds)])
    return { session_id: issued.sessionId, expires_in: issued.expiresInSeconds }
  }

/** Longer than any handle of any version. The schema limits what reaches the codec. */
const maxHandleLength = 512

/** For a refresh or a logout. */
export const presentedTokenSchema = {
  refresh_token: Type.Optional(
    Type.String({
      maxLength: maxHandleLength,
      description: 'Only for a session with "delivery": "body"; browsers send the cookie',
    }),
  ),
}
