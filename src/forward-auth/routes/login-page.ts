import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { httpErrors } from '../../http/errors.ts'
import { prefersHtml } from '../../http/prefers-html.ts'
import type { HttpServer } from '../../http/server.ts'
import type { AppError } from '../../lib/app-error.ts'
import { presentedSessionCookie } from '../../sessions/index.ts'
import { forwardAuthErrors } from '../errors.ts'
import type { ReturnTokens } from '../return-token.ts'
import { type LoginForm, loginFormSchema, loginPageSchema } from '../schemas.ts'
import { type AnswerSignInDeps, answerSignIn } from './answer-sign-in.ts'
import { type LoginFormDeps, presentedFormCookie, sendForm } from './login-form.ts'

export type LoginPageDeps = LoginFormDeps & AnswerSignInDeps & { readonly returns: ReturnTokens }

/** An address longer than any that is accepted is not repeated. */
const maxEmailLength = 320

/** What a person is told. Of a fault of ours nothing but that it is one; one sentence for every reason that a sign-in has. */
const problemOf = ({ code, status, title, retryAfterSeconds }: AppError): string => {
  if (code === 'invalid_request') return 'Enter your e-mail address and your password.'
  if (code === 'too_many_attempts') {
    const minutes = Math.ceil((retryAfterSeconds ?? 60) / 60)
    return `Too many attempts. Try again in ${minutes === 1 ? 'a minute' : `${minutes} minutes`}.`
  }
  return status >= 500 ? 'You cannot be signed in just now. Try again in a moment.' : title
}

const textIn = (record: unknown, name: string): string => {
  const value: unknown =
    typeof record === 'object' && record !== null ? Reflect.get(record, name) : undefined
  return typeof value === 'string' ? value : ''
}

type Page = {
  readonly sendFormFor: (
    request: FastifyRequest,
    reply: FastifyReply,
    given: {
      readonly token: string
      readonly email: string
      readonly problem: string | undefined
    },
  ) => FastifyReply
  /** Whatever refuses a person, they get the form again. Programs that ask for the page hear what they asked wrong. */
  readonly refusalPage: (refusal: AppError, request: FastifyRequest, reply: FastifyReply) => boolean
}

const pageOf = (deps: LoginFormDeps & { readonly returns: ReturnTokens }): Page => {
  const sendFormFor: Page['sendFormFor'] = (request, reply, { token, email, problem }) => {
    const target = deps.returns.read(token)
    return sendForm(deps, request, reply, {
      email: email.length > maxEmailLength ? '' : email,
      returnToken: target ? token : '',
      reauthenticates: target?.reauthenticates ?? false,
      problem,
    })
  }
  return {
    sendFormFor,
    refusalPage: (refusal, request, reply) => {
      if (refusal.code === 'method_not_allowed') return false
      const token = textIn(request.body, 'return') || textIn(request.query, 'return')
      const email = textIn(request.body, 'email')
      sendFormFor(request, reply, { token, email, problem: problemOf(refusal) })
      return true
    },
  }
}

const mountPage = (
  app: HttpServer,
  { returns, checkCookieSession }: LoginPageDeps,
  { sendFormFor, refusalPage }: Page,
): void => {
  /** Nobody has to sign in who is signed in, unless it is asked for once more since then. */
  const isSignedIn = async (request: FastifyRequest, sinceMs: number): Promise<boolean> => {
    const handle = presentedSessionCookie(request)
    const session = handle === undefined ? undefined : await checkCookieSession(handle)
    return session !== undefined && session.authenticatedAtMs >= sinceMs
  }

  app.get(
    '/login',
    { schema: loginPageSchema, config: { access: 'public', refusalPage } },
    async (request, reply) => {
      if (!prefersHtml(request.headers.accept)) {
        reply.header('allow', 'POST')
        throw httpErrors.error('method_not_allowed')
      }
      const token = textIn(request.query, 'return')
      const target = returns.read(token)
      if (await isSignedIn(request, target?.reauthenticates ? target.issuedAtMs : 0)) {
        return reply.redirect(target?.path ?? '/', 303)
      }
      return sendFormFor(request, reply, { token, email: '', problem: undefined })
    },
  )
}

const mountForm = (app: HttpServer, deps: LoginPageDeps, { refusalPage }: Page): void => {
  const { returns, forms } = deps
  const answer = answerSignIn(deps)

  /** Before anything is looked at: a page of somebody else could have sent this. */
  const demandOwnForm = (request: FastifyRequest<{ Body: LoginForm }>): void => {
    const { form = '', return: token = '' } = request.body
    const cookie = presentedFormCookie(request)
    if (cookie === undefined || !forms.fits(form, cookie, token)) {
      throw forwardAuthErrors.error('form_expired')
    }
  }

  app.post(
    '/login/form',
    { schema: loginFormSchema, config: { access: 'public', protocol: 'page', refusalPage } },
    async (request, reply) => {
      demandOwnForm(request)
      const { email, password, return: token } = request.body
      if (email === undefined || password === undefined) throw httpErrors.error('invalid_request')
      const target = returns.read(token)
      await answer(request, reply, {
        email,
        password,
        reauthenticates: target?.reauthenticates ?? false,
      })
      return reply.redirect(target?.path ?? '/', 303)
    },
  )
}

/**
 * The sign-in of the form is that of `POST /login` with `"session": "cookie"`, or of `POST /session/reauthenticate`: the same limits,
 * hashing, answers and records.
 */
export const loginPageRoutes =
  (deps: LoginPageDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    const page = pageOf(deps)
    mountPage(app, deps, page)
    mountForm(app, deps, page)
  }
