import type { FastifyReply, FastifyRequest } from 'fastify'
import { clientFacts } from '../../http/client-facts.ts'
import {
  deviceCookie,
  type LoginRouteDeps,
  presentedDeviceToken,
  type ReauthenticateRouteDeps,
} from '../../login/index.ts'
import {
  type CheckCookieSession,
  cookieAnswer,
  expiredAtSignIn,
  presentedCookies,
} from '../../sessions/index.ts'
import { sessionToRenew } from '../session-to-renew.ts'

export type AnswerSignInDeps = Pick<LoginRouteDeps, 'logIn' | 'issueCookie'> &
  ReauthenticateRouteDeps & { readonly checkCookieSession: CheckCookieSession }

/** What a person has filled in, and whether the page they come from asked them to sign in once more. */
export type SignIn = {
  readonly email: string
  readonly password: string
  readonly reauthenticates: boolean
}

/**
 * Sets the cookies of whoever signs in with the form. Asked once more, the same person keeps their session and what the web application
 * keeps in it, under a new handle, as with `POST /session/reauthenticate`; everybody else gets a new session in place of those whose
 * cookies came along.
 * @throws duplicate_cookie before the password is looked at, and all that `logIn` and `reauthenticate` throw
 */
export const answerSignIn = (deps: AnswerSignInDeps) => {
  const findSession = sessionToRenew(deps.checkCookieSession)
  return async (
    request: FastifyRequest,
    reply: FastifyReply,
    { email, password, reauthenticates }: SignIn,
  ): Promise<void> => {
    const presented = presentedCookies(request)
    const deviceToken = presentedDeviceToken(request)
    const who = { password, deviceToken, client: clientFacts(request) }
    const renewable = reauthenticates ? await findSession(presented.session, email) : undefined
    if (renewable) {
      cookieAnswer(reply, await deps.reauthenticate({ ...who, ...renewable }))
      return
    }
    const kept = { kind: 'cookie', delivery: 'cookie', audience: undefined } as const
    const opened = await deps.logIn({ ...who, ...kept, email, presented })
    for (const expired of expiredAtSignIn(request, 'cookie', opened.superseded)) {
      reply.header('set-cookie', expired)
    }
    cookieAnswer(reply, deps.issueCookie(opened))
    reply.header('set-cookie', deviceCookie(opened.deviceToken))
  }
}
