import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { clientFacts } from '../http/client-facts.ts'
import { credentialCookie, readSingleCookie } from '../http/cookies.ts'
import { type issueTokens, tokenAnswer } from '../sessions/index.ts'
import type { logIn } from './log-in.ts'
import { loginSchema } from './schemas.ts'

export type LoginRouteDeps = {
  readonly logIn: ReturnType<typeof logIn>
  readonly issue: (
    facts: Parameters<typeof issueTokens>[1],
    secret: Buffer,
  ) => ReturnType<typeof issueTokens>
}

/** Says that this device signed in before. It opens nothing: it only spares its owner the limits that strangers fill up. */
const deviceCookieName = '__Host-cardea-device'

const deviceCookieSeconds = 365 * 24 * 3600

const deviceCookie = (token: string): string =>
  credentialCookie(deviceCookieName, token, {
    maxAgeSeconds: deviceCookieSeconds,
    sameSite: 'strict',
  })

export const loginRoutes =
  ({ logIn: signIn, issue }: LoginRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    app.post(
      '/login',
      { schema: loginSchema, config: { access: 'public' } },
      async (request, reply) => {
        const { email, password, audience, delivery = 'cookie' } = request.body
        const deviceToken =
          delivery === 'cookie'
            ? readSingleCookie(request.headers.cookie, deviceCookieName)
            : request.body.device_token
        const client = clientFacts(request)
        const signedIn = await signIn({ email, password, audience, delivery, deviceToken, client })
        const answer = tokenAnswer(reply, issue(signedIn.facts, signedIn.secret), delivery)
        if (delivery === 'body') return { ...answer, device_token: signedIn.deviceToken }
        reply.header('set-cookie', deviceCookie(signedIn.deviceToken))
        return answer
      },
    )
  }
