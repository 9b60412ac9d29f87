import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { clientFacts } from '../../http/client-facts.ts'
import { cookieAnswer, cookieSessionOf, presentedSessionCookie } from '../../sessions/index.ts'
import type { reauthenticate } from '../reauthenticate.ts'
import { reauthenticateSchema } from '../schemas.ts'
import { presentedDeviceToken } from './login.ts'

export type ReauthenticateRouteDeps = { readonly reauthenticate: ReturnType<typeof reauthenticate> }

export const reauthenticateRoutes =
  (deps: ReauthenticateRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    app.post(
      '/session/reauthenticate',
      { schema: reauthenticateSchema, config: { access: 'cookie' } },
      async (request, reply) => {
        const issued = await deps.reauthenticate({
          session: cookieSessionOf(request),
          handle: presentedSessionCookie(request) ?? '',
          password: request.body.password,
          deviceToken: presentedDeviceToken(request),
          client: clientFacts(request),
        })
        return cookieAnswer(reply, issued)
      },
    )
  }
