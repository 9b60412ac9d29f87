import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { RequestFacts } from '../../audit/index.ts'
import { clientFacts } from '../../http/client-facts.ts'
import { credentialCookie, readSingleCookie } from '../../http/cookies.ts'
import { httpErrors } from '../../http/errors.ts'
import {
  type CookieAnswer,
  cookieAnswer,
  type Delivery,
  expiredSealedCookies,
  type IssuedCookie,
  type issueTokens,
  type OpenedSession,
  presentedSessionCookie,
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
  /** Ends the session of a session cookie that is about to be overwritten. */
  readonly endReplaced: (handle: string, client: RequestFacts) => Promise<void>
}

/** Says that this device signed in before. It opens nothing: it only spares its owner the limits that strangers fill up. */
const deviceCookieName = '__Host-cardea-device'

const deviceCookieSeconds = 365 * 24 * 3600

/** @throws duplicate_cookie */
export const presentedDeviceToken = (request: FastifyRequest): string | undefined =>
  readSingleCookie(request.headers.cookie, deviceCookieName)

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
  ({ logIn: signIn, issue, answerSealed, issueCookie, endReplaced }: LoginRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()

    const answerWith = async (
      request: FastifyRequest,
      reply: FastifyReply,
      opened: OpenedSession,
      delivery: Delivery,
    ): Promise<TokenAnswer | CookieAnswer> => {
      const { kind } = opened.facts
      if (kind === 'sealed') return answerSealed(reply, issue(opened.facts, opened.secret))
      // Else a web app would go on seeing who signed in before.
      for (const expired of expiredSealedCookies(request)) reply.header('set-cookie', expired)
      if (kind === 'token') {
        return tokenAnswer(reply, issue(opened.facts, opened.secret), delivery)
      }
      // A new id at every sign-in, and the old one dead: whoever planted or copied that cookie holds nothing.
      const replaced = presentedSessionCookie(request)
      if (replaced !== undefined) await endReplaced(replaced, clientFacts(request))
      return cookieAnswer(reply, issueCookie(opened))
    }

    app.post(
      '/login',
      { schema: loginSchema, config: { access: 'public' } },
      async (request, reply) => {
        const { email, password, audience, session: kind = 'token' } = request.body
        refuseMixed(kind, request.body.delivery)
        const { delivery = 'cookie' } = request.body
        const deviceToken =
          delivery === 'cookie' ? presentedDeviceToken(request) : request.body.device_token
        const client = clientFacts(request)
        const who = { email, password, audience, deviceToken, client }
        const signedIn = await signIn({ ...who, kind, delivery })
        const answer = await answerWith(request, reply, signedIn, delivery)
        if (delivery === 'body') return { ...answer, device_token: signedIn.deviceToken }
        reply.header('set-cookie', deviceCookie(signedIn.deviceToken))
        return answer
      },
    )
  }
