import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { cookieResponse, cookieSessionOf, type IssuedCookie } from '../cookie-sessions/index.ts'
import {
  type CredentialCookie,
  credentialCookie,
  setCookies,
  singleCookie,
} from '../http/browser-requests.ts'
import { clientFacts } from '../http/client-facts.ts'
import { httpErrors, problemResponses } from '../http/errors.ts'
import { defineRoute, type Route } from '../http/route.ts'
import {
  type CookieResponse,
  cookieResponseSchema,
  type Delivery,
  expiredAtLogin,
  type Issued,
  noCookies,
  type OpenedSession,
  presentedCookies,
  presentedSessionCookie,
  type SealedResponse,
  type SessionKind,
  type TokenResponse,
  tokenResponse,
  tokenResponseSchema,
} from '../sessions/index.ts'
import { deviceTokenSeconds } from './device-token.ts'
import type { LogIn } from './log-in.ts'
import type { Reauthenticate } from './reauthenticate.ts'

// Only upper bounds. The accounts feature decides what a valid address and password is, and gives the exact reason.
const maxEmailLength = 320
const maxPasswordLength = 1024

/** They are stored with the session. A login that needs more names none, which allows all. */
const maxAudiences = 10

const audience = Type.String({ minLength: 1, maxLength: 512 })

const loginSchema = {
  summary: 'Log in with e-mail address and password',
  body: Type.Object(
    {
      email: Type.String({ minLength: 1, maxLength: maxEmailLength }),
      password: Type.String({ minLength: 1, maxLength: maxPasswordLength }),
      session: Type.Optional(
        Type.Union([Type.Literal('token'), Type.Literal('cookie'), Type.Literal('sealed')], {
          description:
            'What keeps the session: tokens (default), a cookie that is looked up, or tokens in cookies',
        }),
      ),
      delivery: Type.Optional(
        Type.Union([Type.Literal('cookie'), Type.Literal('body')], {
          description:
            'Where the refresh token goes: a cookie (default, browsers) or the body (native clients, "session": "token" only)',
        }),
      ),
      audience: Type.Optional(
        Type.Union(
          [
            audience,
            Type.Array(audience, { minItems: 1, maxItems: maxAudiences, uniqueItems: true }),
          ],
          {
            description:
              'The audience of the access token; several: the first one now, the others for later requests',
          },
        ),
      ),
      persist: Type.Optional(
        Type.Boolean({
          description: 'false: the cookies end with the browser, and the session is shorter',
        }),
      ),
      device_token: Type.Optional(
        Type.String({
          maxLength: 256,
          description: 'From an earlier login with "delivery": "body"',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  response: {
    200: Type.Union([tokenResponseSchema, cookieResponseSchema]),
    ...problemResponses(400, 401, 403, 409, 413, 415, 429, 503),
  },
}

const reauthenticateSchema = {
  summary: 'Reauthenticate in the session of my cookie',
  body: Type.Object(
    { password: Type.String({ minLength: 1, maxLength: maxPasswordLength }) },
    { additionalProperties: false },
  ),
  response: { 200: cookieResponseSchema, ...problemResponses(400, 401, 403, 413, 415, 429, 503) },
}

export type LoginRouteDeps = {
  readonly logIn: LogIn
  readonly issue: (opened: OpenedSession) => Issued
  readonly respondSealed: SealedResponse
  readonly issueCookie: (opened: OpenedSession) => IssuedCookie
}

/** Shows that this device logged in before. It grants no access; it only exempts its owner from the limits that others can use up. */
const deviceCookieName = '__Host-cardea-device'

/** @throws duplicate_cookie */
export const presentedDeviceToken = (request: FastifyRequest): string | undefined =>
  singleCookie(request, deviceCookieName)

/** With a session that ends with the browser, the device cookie ends too, because other people may use the device. */
export const deviceCookie = (token: string, persists: boolean): CredentialCookie =>
  credentialCookie(deviceCookieName, token, {
    maxAgeSeconds: persists ? deviceTokenSeconds : undefined,
    sameSite: 'strict',
  })

/** @throws invalid_request */
const refuseMixed = (kind: SessionKind, delivery: Delivery | undefined): void => {
  if (kind === 'token' || delivery === undefined) return
  throw httpErrors.error('invalid_request', {
    detail: `A session of the kind "${kind}" is delivered in cookies only.`,
  })
}

export const loginRoutes = ({
  logIn,
  issue,
  respondSealed,
  issueCookie,
}: LoginRouteDeps): Route[] => {
  const respondWith = async (
    reply: FastifyReply,
    opened: OpenedSession,
    delivery: Delivery,
  ): Promise<TokenResponse | CookieResponse> => {
    const { kind } = opened.facts
    if (kind === 'sealed') return respondSealed(reply, issue(opened))
    if (kind === 'token') {
      return tokenResponse(reply, issue(opened), delivery)
    }
    return cookieResponse(reply, issueCookie(opened))
  }
  return [
    defineRoute({
      method: 'POST',
      path: '/login',
      access: 'public',
      worksWithoutCookies: true,
      schema: loginSchema,
      handler: async (request, reply) => {
        const { email, password, session: kind = 'token', persist: persists = true } = request.body
        refuseMixed(kind, request.body.delivery)
        const { delivery = 'cookie', audience = [] } = request.body
        const wanted = { kind, delivery, persists, audiences: [audience].flat() }
        const who = { email, password, client: clientFacts(request), ...wanted }
        if (delivery === 'body') {
          const deviceToken = request.body.device_token
          const loggedIn = await logIn({ ...who, deviceToken, presented: noCookies })
          const response = await respondWith(reply, loggedIn, delivery)
          return { ...response, device_token: loggedIn.deviceToken }
        }
        const deviceToken = presentedDeviceToken(request)
        const loggedIn = await logIn({ ...who, deviceToken, presented: presentedCookies(request) })
        setCookies(reply, expiredAtLogin(request, kind, loggedIn.replaced))
        const response = await respondWith(reply, loggedIn, delivery)
        setCookies(reply, [deviceCookie(loggedIn.deviceToken, persists)])
        return response
      },
    }),
  ]
}

export type ReauthenticateRouteDeps = { readonly reauthenticate: Reauthenticate }

export const reauthenticateRoutes = (deps: ReauthenticateRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/session/reauthenticate',
    access: 'cookie',
    schema: reauthenticateSchema,
    handler: async (request, reply) => {
      const issued = await deps.reauthenticate({
        session: cookieSessionOf(request),
        handle: presentedSessionCookie(request) ?? '',
        password: request.body.password,
        deviceToken: presentedDeviceToken(request),
        client: clientFacts(request),
      })
      return cookieResponse(reply, issued)
    },
  }),
]
