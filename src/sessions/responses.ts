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

/** A link from another site to the web app must arrive logged in; what changes anything is guarded by where it comes from. */
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
 * What takes a sealed session out of the browser that asks: nothing for a browser that has none. Its token dies with its session either
 * way; without the cookie the web app sees at once that nobody is logged in. Several of the name are deleted together.
 */
export const expiredSealedCookies = (request: FastifyRequest): CredentialCookie[] =>
  cookiesOf(request).has(sealedCookieName) ? [expiredCookie(sealedCookieName, { sameSite })] : []

/**
 * A cookie of all hosts of a site has another name than one of a single host: a browser insists on `__Host-` only for the latter, and
 * neither counts for the other when `COOKIE_DOMAIN` changes.
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
 * What a browser holds when somebody logs in with it. Read before the password is looked at: refused later, the login would leave a
 * session that nobody has the handle of.
 * @throws duplicate_cookie
 */
export const presentedCookies = (request: FastifyRequest): PresentedCookies => ({
  session: presentedSessionCookie(request),
  refresh: presentedRefreshCookie(request),
})

/** What the answer to a login takes out of the browser, besides what it sets anew. */
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
 * The refresh token of a request: from the cookie, or from the body for sessions delivered there. The place decides the kind, so
 * that a token stolen from one place is of no use in the other.
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

export const tokenAnswerSchema = Type.Object({
  access_token: Type.String({ description: 'A JWT of type at+jwt (RFC 9068)' }),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds' }),
  session_id: Type.String(),
  refresh_token: Type.Optional(
    Type.String({ description: 'Only for a session that was asked for with "delivery": "body"' }),
  ),
  device_token: Type.Optional(
    Type.String({
      description: 'Only after a login with "delivery": "body": send it with the next one',
    }),
  ),
})

/** Of a login that is kept by cookies alone: no token that a script could read. */
export const cookieAnswerSchema = Type.Object({
  session_id: Type.String(),
  expires_in: Type.Integer({ description: 'Seconds until the session ends if it is not used' }),
})

export type CookieAnswer = Static<typeof cookieAnswerSchema>

export type TokenAnswer = Static<typeof tokenAnswerSchema>

/**
 * The answer of a login or a refresh. A browser gets the refresh token in the cookie and nowhere else, so that no script can read
 * it (RFC 9700 section 4.14.2; the body is for native clients, which asked for it).
 */
export const tokenAnswer = (
  reply: FastifyReply,
  issued: Issued,
  delivery: Delivery,
): TokenAnswer => {
  if (delivery === 'cookie') setCookies(reply, [refreshCookie(issued)])
  return {
    access_token: issued.accessToken,
    token_type: 'Bearer',
    expires_in: issued.expiresInSeconds,
    session_id: issued.sessionId,
    ...(delivery === 'body' && { refresh_token: issued.refreshToken }),
  }
}

export type SealedAnswer = (reply: FastifyReply, issued: Issued) => Promise<CookieAnswer>

/**
 * The answer of a login or a refresh of a sealed session: both cookies, and no token where a script could read it. `expires_in` is of
 * the sealed token: by then the page refreshes.
 *
 * A refresh has consumed its handle by now. So the successor is set even when the token has become too long, by a role say: the person
 * stays logged in, and the next refresh works again once the roles are fewer.
 *
 * The function rejects with sealed_session_too_large.
 */
export const sealedAnswer =
  (seal: SealAccessToken): SealedAnswer =>
  async (reply, issued) => {
    setCookies(reply, [refreshCookie(issued)])
    if (!fitsSealed(issued)) throw tooLargeToSeal()
    const sealed = await seal(issued.accessToken, issued.audience)
    const maxAgeSeconds = issued.persists ? issued.expiresInSeconds : undefined
    setCookies(reply, [sealedCookie(sealed, maxAgeSeconds)])
    return { session_id: issued.sessionId, expires_in: issued.expiresInSeconds }
  }

/** Longer than any handle of any version; a schema bounds what reaches the codec. */
const maxHandleLength = 512

/** Of a refresh or a logout. */
export const presentedTokenSchema = {
  refresh_token: Type.Optional(
    Type.String({
      maxLength: maxHandleLength,
      description: 'Only for a session with "delivery": "body"; browsers send the cookie',
    }),
  ),
}
