import type { FastifyReply, FastifyRequest } from 'fastify'
import { parseEmail } from '../accounts/index.ts'
import type { RequestFacts } from '../audit/index.ts'
import {
  type CookieSession,
  cookieResponse,
  type FindCookieSession,
} from '../cookie-sessions/index.ts'
import { prefersHtml } from '../http/accept.ts'
import { setCookies } from '../http/browser-requests.ts'
import { clientFacts } from '../http/client-facts.ts'
import { httpErrors } from '../http/errors.ts'
import { sendPage } from '../http/page.ts'
import { keepsSecureCookies } from '../http/request-checks.ts'
import { defineRoute, type Route } from '../http/route.ts'
import type { AppError } from '../lib/app-error.ts'
import {
  deviceCookie,
  type LoginRouteDeps,
  presentedDeviceToken,
  type ReauthenticateRouteDeps,
} from '../login/index.ts'
import { expiredAtLogin, presentedCookies, presentedSessionCookie } from '../sessions/index.ts'
import { forwardAuthErrors } from './check-access.ts'
import { presentedFormCookie } from './form-token.ts'
import { type FormProblem, type LoginFormDeps, pageWithoutForm, sendForm } from './login-form.ts'
import type { ReturnTokens } from './return-address.ts'
import { type LoginForm, loginFormSchema, loginPageSchema } from './schemas.ts'
import { shownHostOf, textIn } from './way-back.ts'

/** A live session, and the presented handle. */
export type Renewable = { readonly session: CookieSession; readonly handle: string }

/**
 * The session of the browser, if the same user logs in again. Undefined when it has ended, or when another user logs in: they get a
 * separate session without the stored data of the old one.
 * @throws invalid_email, store_unavailable, session_contended
 */
const sessionToRenew =
  (findCookieSession: FindCookieSession) =>
  async (
    handle: string | undefined,
    email: string,
    client: RequestFacts,
  ): Promise<Renewable | undefined> => {
    const session = handle === undefined ? undefined : await findCookieSession(handle, client)
    if (handle === undefined || session === undefined) return undefined
    const isTheirs = parseEmail(session.email).canonical === parseEmail(email).canonical
    return isTheirs ? { session, handle } : undefined
  }

export type LoginResponseDeps = Pick<LoginRouteDeps, 'logIn' | 'issueCookie'> &
  ReauthenticateRouteDeps & { readonly findCookieSession: FindCookieSession }

/** What the user has entered, and whether the page asked them to log in again. */
export type PageLogin = {
  readonly email: string
  readonly password: string
  readonly reauthenticates: boolean
  /** Whether the session outlives the browser. Ignored for a session that continues. */
  readonly persists: boolean
}

/**
 * Logs in with the form and sets the cookies. If the same user was asked to log in again, the session continues with its stored data under
 * a new handle, as with `POST /session/reauthenticate`. All others get a new session, which replaces those of the sent cookies.
 * @throws duplicate_cookie before the password is checked, and what `logIn` and `reauthenticate` throw
 */
const respondToLogin = (deps: LoginResponseDeps) => {
  const findSession = sessionToRenew(deps.findCookieSession)
  return async (
    request: FastifyRequest,
    reply: FastifyReply,
    { email, password, reauthenticates, persists }: PageLogin,
  ): Promise<void> => {
    const presented = presentedCookies(request)
    const deviceToken = presentedDeviceToken(request)
    const client = clientFacts(request)
    const who = { password, deviceToken, client }
    const renewable = reauthenticates
      ? await findSession(presented.session, email, client)
      : undefined
    if (renewable) {
      cookieResponse(reply, await deps.reauthenticate({ ...who, ...renewable }))
      return
    }
    const kept = { kind: 'cookie', delivery: 'cookie', audiences: [], persists } as const
    const opened = await deps.logIn({ ...who, ...kept, email, presented })
    setCookies(reply, expiredAtLogin(request, 'cookie', opened.replaced))
    cookieResponse(reply, deps.issueCookie(opened))
    setCookies(reply, [deviceCookie(opened.deviceToken, persists)])
  }
}

export type LoginPageDeps = LoginFormDeps & LoginResponseDeps & { readonly returns: ReturnTokens }

/** A longer address than any valid one is not repeated in the form. */
const maxEmailLength = 320

/** The text for the user. It gives no details of server faults, and one sentence for every reason of a refused login. */
const textOf = ({ code, status, title, retryAfterSeconds }: AppError): string => {
  if (code === 'invalid_request') return 'Enter your e-mail address and your password.'
  if (code === 'too_many_attempts') {
    const minutes = Math.ceil((retryAfterSeconds ?? 60) / 60)
    return `Too many attempts. Try again in ${minutes === 1 ? 'a minute' : `${minutes} minutes`}.`
  }
  return status >= 500 ? 'You cannot log in now. Try again in a moment.' : title
}

const bothFields = ['email', 'password'] as const

/** The fields that an error is about. Empty when it is about the time, the browser or the service. */
const fieldsOf = ({ code }: AppError, body: unknown): FormProblem['fields'] => {
  switch (code) {
    case 'invalid_request':
      return bothFields.filter((field) => textIn(body, field) === '')
    case 'invalid_credentials':
      return bothFields
    case 'invalid_email':
      return ['email']
    case 'invalid_password':
      return ['password']
    default:
      return []
  }
}

type Page = {
  readonly sendFormFor: (
    request: FastifyRequest,
    reply: FastifyReply,
    given: {
      readonly token: string
      readonly email: string
      readonly persists: boolean
      readonly problem: FormProblem | undefined
    },
  ) => FastifyReply
  /** Errors are shown to people as a page, with the form if they can send it again. Programs get the error response. */
  readonly refusalPage: (refusal: AppError, request: FastifyRequest, reply: FastifyReply) => boolean
}

const pageOf = (deps: LoginFormDeps & { readonly returns: ReturnTokens }): Page => {
  const sendFormFor: Page['sendFormFor'] = (
    request,
    reply,
    { token, email, persists, problem },
  ) => {
    const target = deps.returns.read(token)
    return sendForm(deps, request, reply, {
      email: email.length > maxEmailLength ? '' : email,
      returnToken: target ? token : '',
      host: shownHostOf(request, target?.address),
      reauthenticates: target?.reauthenticates ?? false,
      persists,
      problem,
    })
  }
  return {
    sendFormFor,
    refusalPage: (refusal, request, reply) => {
      if (refusal.code === 'method_not_allowed') return false
      const path = `${deps.basePath}/login`
      const content = pageWithoutForm(refusal, request, { heading: 'Log in', path })
      if (content) {
        sendPage(reply, { title: 'Error: Log in', content, brand: deps.brand })
        return true
      }
      const token = textIn(request.body, 'return') || textIn(request.query, 'return')
      const email = textIn(request.body, 'email')
      const problem = { text: textOf(refusal), fields: fieldsOf(refusal, request.body) }
      // The checkbox keeps its state. A request that is not from our form does not contain it.
      const persists = textIn(request.body, 'form') === '' || textIn(request.body, 'persist') !== ''
      sendFormFor(request, reply, { token, email, persists, problem })
      return true
    },
  }
}

const pageRoute = (
  { returns, findCookieSession }: LoginPageDeps,
  { sendFormFor, refusalPage }: Page,
): Route => {
  /** A logged-in user need not log in again, unless the page asked for it since then. */
  const isLoggedIn = async (request: FastifyRequest, sinceMs: number): Promise<boolean> => {
    const handle = presentedSessionCookie(request)
    const session =
      handle === undefined ? undefined : await findCookieSession(handle, clientFacts(request))
    return session !== undefined && session.authenticatedAtMs >= sinceMs
  }
  return defineRoute({
    method: 'GET',
    path: '/login',
    access: 'public',
    refusalPage,
    schema: loginPageSchema,
    handler: async (request, reply) => {
      if (!prefersHtml(request.headers.accept)) {
        reply.header('allow', 'POST')
        throw httpErrors.error('method_not_allowed')
      }
      // Without its cookies the form would be refused whatever is entered.
      if (!keepsSecureCookies(request)) throw httpErrors.error('https_required')
      const token = textIn(request.query, 'return')
      const target = returns.read(token)
      if (await isLoggedIn(request, target?.reauthenticates ? target.issuedAtMs : 0)) {
        return reply.redirect(target?.address ?? '/', 303)
      }
      return sendFormFor(request, reply, { token, email: '', persists: true, problem: undefined })
    },
  })
}

const formRoute = (deps: LoginPageDeps, { refusalPage }: Page): Route => {
  const { returns, forms } = deps
  const respond = respondToLogin(deps)

  /** Checked first, because a page of another site could have sent the form. */
  const assertOwnForm = (request: FastifyRequest<{ Body: LoginForm }>): void => {
    const { form = '', return: token = '' } = request.body
    const cookie = presentedFormCookie(request)
    if (cookie === undefined || !forms.fits(form, cookie, token)) {
      throw forwardAuthErrors.error('form_expired')
    }
  }
  return defineRoute({
    method: 'POST',
    path: '/login/form',
    access: 'public',
    protocol: 'page',
    refusalPage,
    schema: loginFormSchema,
    handler: async (request, reply) => {
      assertOwnForm(request)
      const { email, password, return: token, persist } = request.body
      if (email === undefined || password === undefined) throw httpErrors.error('invalid_request')
      const target = returns.read(token)
      const reauthenticates = target?.reauthenticates ?? false
      // The form does not ask this when a user logs in again. If that session is over by now, the new one is of the usual kind.
      const persists = reauthenticates || persist !== undefined
      await respond(request, reply, { email, password, reauthenticates, persists })
      return reply.redirect(target?.address ?? '/', 303)
    },
  })
}

/**
 * The login of the form is that of `POST /login` with `"session": "cookie"`, or of `POST /session/reauthenticate`: the same limits,
 * hashing, responses and audit entries.
 */
export const loginPageRoutes = (deps: LoginPageDeps): Route[] => {
  const page = pageOf(deps)
  return [pageRoute(deps, page), formRoute(deps, page)]
}
