import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Caller, tryCaller } from '../../http/access.ts'
import { clientFacts } from '../../http/client-facts.ts'
import type { logOut } from '../end-own-sessions.ts'
import type { endCookieSession, endPresentedSession } from '../end-presented-session.ts'
import { sessionErrors } from '../errors.ts'
import { logoutSchema } from '../schemas.ts'
import { presentedHandle } from './presented-handle.ts'
import { expiredRefreshCookie } from './refresh-cookie.ts'
import { expiredSealedCookies } from './sealed-cookie.ts'
import { expiredSessionCookie, presentedSessionCookie } from './session-cookie.ts'

export type LogoutRouteDeps = {
  readonly endPresented: ReturnType<typeof endPresentedSession>
  /** Ends the session of a session cookie. */
  readonly endPresentedCookie: ReturnType<typeof endCookieSession>
  readonly logOut: ReturnType<typeof logOut>
  /** The session of an access token, if the request carries a good one. */
  readonly authenticate: (token: string) => Promise<Caller>
}

/**
 * Not "cookies": that would delete the cookies of every application below the same registrable domain
 * (docs/decisions/0010-logout-clears-its-own-cookies.md).
 */
const clearSiteData = '"cache", "storage"'

export const logoutRoutes =
  ({ endPresented, endPresentedCookie, logOut, authenticate }: LogoutRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()

    const endByToken = async (request: FastifyRequest): Promise<boolean> => {
      const caller = await tryCaller(request, authenticate)
      if (caller) await logOut({ ...caller, client: clientFacts(request) })
      return caller !== undefined
    }

    /** Ends the session of every credential that the request carries. */
    const endPresentedSessions = async (
      request: Parameters<typeof presentedHandle>[0],
    ): Promise<{ byToken: boolean; byCookie: boolean }> => {
      const handle = presentedHandle(request)
      if (handle) await endPresented({ ...handle, client: clientFacts(request) })
      const cookie = presentedSessionCookie(request)
      if (cookie !== undefined) await endPresentedCookie(cookie, clientFacts(request))
      const byToken = await endByToken(request)
      return { byToken: handle !== undefined || byToken, byCookie: cookie !== undefined }
    }

    app.post(
      '/logout',
      // Public, because a person whose access token has just expired must be able to log out too.
      { schema: logoutSchema, config: { access: 'public', outlivesCaller: true } },
      async (request, reply) => {
        const { byToken, byCookie } = await endPresentedSessions(request)
        if (!byToken && !byCookie) throw sessionErrors.error('missing_refresh_token')
        reply
          .header('set-cookie', [
            // A browser that has only a session cookie is told nothing of the others.
            ...(byToken ? [expiredRefreshCookie()] : []),
            ...(byCookie ? [expiredSessionCookie()] : []),
            ...expiredSealedCookies(request),
          ])
          .header('clear-site-data', clearSiteData)
        return reply.code(204).send(null)
      },
    )
  }
