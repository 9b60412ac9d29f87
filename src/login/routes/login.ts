import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { clientFacts } from '../../http/client-facts.ts'
import { credentialCookie, singleCookie } from '../../http/cookies.ts'
import { httpErrors } from '../../http/errors.ts'
import {
  type CookieAnswer,
  cookieAnswer,
  type Delivery,
  expiredAtSignIn,
  type IssuedCookie,
  type issueTokens,
  noCookies,
  type OpenedSession,
  presentedCookies,
  type SealedAnswer,
  type SessionKind,
  type TokenAnswer,
  tokenAnswer,
} from '../../sessions/index.ts'
import type { logIn } from '../log-in.ts'
import { loginSchema } from '../schemas.ts'

export type LoginRouteDeps = {
  readonly logIn: ReturnType<typeof logIn>
  readonly issue: (
    facts: Parameters<typeof issueTokens>[1],
    secret: Buffer,
  ) => ReturnType<typeof issueTokens>
  readonly answerSealed: SealedAnswer
  readonly issueCookie: (opened: OpenedSession) => IssuedCookie
}

/** Says that this device signed in before. It opens nothing: it only spares its owner the limits that strangers fill up. */
const deviceCookieName = '__Host-cardea-device'

const deviceCookieSeconds = 365 * 24 * 3600

/** @throws duplicate_cookie */
export const presentedDeviceToken = (request: FastifyRequest): string | undefined =>
  singleCookie(request, deviceCookieName)

export const deviceCookie = (token: string): string =>
  credentialCookie(deviceCookieName, token, {
    maxAgeSeconds: deviceCookieSeconds,
    sameSite: 'strict',
  })

/** @throws invalid_request */
const refuseMixed = (kind: SessionKind, delivery: Delivery | undefined): void => {
  if (kind === 'token' || delivery === undefined) return
  throw httpErrors.error('invalid_request', {
    detail: `A session of the kind "${kind}" is delivered in cookies only.`,
  })
}

export const loginRoutes =
  ({ logIn: signIn, issue, answerSealed, issueCookie }: LoginRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()

    const answerWith = async (
      reply: FastifyReply,
      opened: OpenedSession,
      delivery: Delivery,
    ): Promise<TokenAnswer | CookieAnswer> => {
      const { kind } = opened.facts
      if (kind === 'sealed') return answerSealed(reply, issue(opened.facts, opened.secret))
      if (kind === 'token') {
        return tokenAnswer(reply, issue(opened.facts, opened.secret), delivery)
      }
      return cookieAnswer(reply, issueCookie(opened))
    }

    app.post(
      '/login',
      { schema: loginSchema, config: { access: 'public' } },
      async (request, reply) => {
        const { email, password, audience, session: kind = 'token' } = request.body
        refuseMixed(kind, request.body.delivery)
        const { delivery = 'cookie' } = request.body
        const who = { email, password, audience, client: clientFacts(request), kind, delivery }
        if (delivery === 'body') {
          const deviceToken = request.body.device_token
          const signedIn = await signIn({ ...who, deviceToken, presented: noCookies })
          const answer = await answerWith(reply, signedIn, delivery)
          return { ...answer, device_token: signedIn.deviceToken }
        }
        const deviceToken = presentedDeviceToken(request)
        const signedIn = await signIn({ ...who, deviceToken, presented: presentedCookies(request) })
        for (const expired of expiredAtSignIn(request, kind, signedIn.superseded)) {
          reply.header('set-cookie', expired)
        }
        const answer = await answerWith(reply, signedIn, delivery)
        reply.header('set-cookie', deviceCookie(signedIn.deviceToken))
        return answer
      },
    )
  }
