import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FindCookieSession } from '../cookie-sessions/index.ts'
import { prefersHtml } from '../http/accept.ts'
import { setCookies } from '../http/browser-requests.ts'
import { clientFacts } from '../http/client-facts.ts'
import { httpErrors } from '../http/errors.ts'
import { alertMarkup, type Brand, type Html, html, sendPage } from '../http/page.ts'
import { defineRoute, type Route } from '../http/route.ts'
import type { AppError } from '../lib/app-error.ts'
import type { Random } from '../lib/machine.ts'
import {
  type EndBrowserSessions,
  presentedCookies,
  presentedSessionCookie,
} from '../sessions/index.ts'
import { forwardAuthErrors } from './check-access.ts'
import { bindForm, type FormTokens, presentedFormCookie } from './form-token.ts'
import { pageWithoutForm } from './login-form.ts'
import { homePageSchema, logoutFormSchema, logoutPageSchema } from './schemas.ts'
import { shownHostOf, textIn, type WayBackDeps, wayBackOf, withWayBack } from './way-back.ts'

export type LogoutPageDeps = WayBackDeps & {
  readonly forms: FormTokens
  readonly random: Random
  readonly brand: Brand
  readonly basePath: string
  /** The domain of the hosts that share the session cookie. Undefined: it belongs to this host only. */
  readonly cookieDomain: string | undefined
  readonly endBrowserSessions: EndBrowserSessions
}

/** Whether the browser sent a cookie to end. It is not looked up, because a page that only asks whether to log out grants no access. */
const mayBeLoggedIn = (request: FastifyRequest): boolean => {
  const { session, refresh } = presentedCookies(request)
  return session !== undefined || refresh !== undefined
}

type Question = {
  readonly formToken: string
  readonly wayBack: { readonly address: string; readonly token: string } | undefined
  /** What was wrong with the last attempt. */
  readonly problem: string | undefined
}

const questionMarkup = (
  { basePath, cookieDomain }: LogoutPageDeps,
  { formToken, wayBack, problem }: Question,
): Html => html`<h1>Log out?</h1>
<p class="soft">This ends your login in this browser${
  cookieDomain === undefined
    ? undefined
    : html`, for <strong>${cookieDomain}</strong> and all sites below it`
}.</p>
${problem === undefined ? undefined : alertMarkup(problem)}<form method="post" action="${basePath}/logout/form">
<input type="hidden" name="form" value="${formToken}">
${wayBack && html`<input type="hidden" name="return" value="${wayBack.token}">\n`}<button type="submit" class="button" autofocus>Log out</button>
</form>
<p class="other"><a href="${wayBack?.address ?? '/'}">Stay logged in</a></p>`

const doneMarkup = (loginPath: string): Html => html`<h1>You are logged out</h1>
<p class="soft">Nobody is logged in in this browser.</p>
<a class="button" href="${loginPath}">Log in</a>`

const problemOf = ({ status, title }: AppError): string =>
  status >= 500 ? 'You cannot be logged out now. Try again in a moment.' : title

/**
 * Logout links for apps without a logout function. GET changes nothing: it asks for confirmation. The form is bound to this browser, so
 * that no page of another host can log a user out. A user who logs in again afterwards returns to the app.
 */
export const logoutPageRoutes = (deps: LogoutPageDeps): Route[] => {
  const { forms, returns, brand, basePath, endBrowserSessions } = deps

  const ask = (request: FastifyRequest, reply: FastifyReply, problem?: string): FastifyReply => {
    const sent = returns.read(textIn(request.body, 'return'))
    const address = sent?.address ?? wayBackOf(deps, request)
    const wayBack =
      address === undefined ? undefined : { address, token: returns.write(address, false) }
    const formToken = bindForm(deps, request, reply, wayBack?.token)
    const title = problem === undefined ? 'Log out' : 'Error: Log out'
    const content = questionMarkup(deps, { formToken, wayBack, problem })
    return sendPage(reply, { title, content, brand })
  }

  const refusalPage = (
    refusal: AppError,
    request: FastifyRequest,
    reply: FastifyReply,
  ): boolean => {
    if (refusal.code === 'method_not_allowed') return false
    const path = `${basePath}/logout`
    const content = pageWithoutForm(refusal, request, { heading: 'Log out', path })
    if (content) sendPage(reply, { title: 'Error: Log out', content, brand })
    else ask(request, reply, problemOf(refusal))
    return true
  }
  return [
    defineRoute({
      method: 'GET',
      path: '/logout',
      access: 'public',
      refusalPage,
      schema: logoutPageSchema,
      handler: async (request, reply) => {
        if (!prefersHtml(request.headers.accept)) {
          reply.header('allow', 'POST')
          throw httpErrors.error('method_not_allowed')
        }
        if (mayBeLoggedIn(request)) return ask(request, reply)
        const loginPath = withWayBack(`${basePath}/login`, deps, wayBackOf(deps, request))
        return sendPage(reply, { title: 'Logged out', content: doneMarkup(loginPath), brand })
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/logout/form',
      access: 'public',
      protocol: 'page',
      refusalPage,
      outlivesCaller: true,
      schema: logoutFormSchema,
      handler: async (request, reply) => {
        const { form = '', return: token } = request.body
        const cookie = presentedFormCookie(request)
        if (cookie === undefined || !forms.fits(form, cookie, token)) {
          throw forwardAuthErrors.error('form_expired')
        }
        setCookies(reply, await endBrowserSessions(request))
        const address = returns.read(token)?.address
        return reply.redirect(withWayBack(`${basePath}/logout`, deps, address), 303)
      },
    }),
  ]
}

export type HomePageDeps = WayBackDeps & {
  readonly brand: Brand
  readonly basePath: string
  readonly findCookieSession: FindCookieSession
}

type App = { readonly address: string; readonly host: string | undefined }

const appMarkup = ({ address, host = 'the app' }: App): Html =>
  html`<a class="button" href="${address}">Continue to ${host}</a>
`

const loggedInMarkup = (
  email: string,
  { app, logoutPath }: { readonly app: App | undefined; readonly logoutPath: string },
): Html => html`<h1>You are logged in</h1>
<p class="soft">as <strong>${email}</strong></p>
${app && appMarkup(app)}<a class="button secondary" href="${logoutPath}">Log out</a>`

const loggedOutMarkup = (loginPath: string): Html => html`<h1>You are not logged in</h1>
<a class="button" href="${loginPath}">Log in</a>`

const problemMarkup = ({ status, title }: AppError): Html => html`<h1>Not available</h1>
${alertMarkup(status >= 500 ? 'This page is not available now. Try again in a moment.' : title)}`

const refusalPageWith =
  (brand: Brand) =>
  (refusal: AppError, _request: FastifyRequest, reply: FastifyReply): boolean => {
    if (refusal.code === 'not_found') return false
    sendPage(reply, { title: 'Error', content: problemMarkup(refusal), brand })
    return true
  }

/** Browsers request an icon with every page. There is none, and this response keeps them from asking again soon. */
const noIconCacheControl = 'public, max-age=604800'

/** The page at the address of the service itself, for people who open it or whose login has no return address. Programs get 404. */
export const homePageRoutes = (deps: HomePageDeps): Route[] => {
  const { brand, basePath, findCookieSession } = deps

  /** If the issuer has a path, the start page of the host is that of an app. */
  const appOf = (request: FastifyRequest, wayBack: string | undefined): App | undefined => {
    const address = wayBack ?? (basePath === '' ? undefined : '/')
    return address === undefined ? undefined : { address, host: shownHostOf(request, address) }
  }

  return [
    defineRoute({
      method: 'GET',
      path: '/favicon.ico',
      access: 'public',
      timeless: true,
      schema: { hide: true },
      handler: async (_request, reply) => {
        reply.header('cache-control', noIconCacheControl)
        return reply.code(204).send()
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/',
      access: 'public',
      refusalPage: refusalPageWith(brand),
      schema: homePageSchema,
      handler: async (request, reply) => {
        if (!prefersHtml(request.headers.accept)) throw httpErrors.error('not_found')
        const handle = presentedSessionCookie(request)
        const session =
          handle === undefined ? undefined : await findCookieSession(handle, clientFacts(request))
        const wayBack = wayBackOf(deps, request)
        const app = appOf(request, wayBack)
        const pathOf = (page: string) => withWayBack(`${basePath}/${page}`, deps, wayBack)
        return sendPage(reply, {
          title: session ? 'Logged in' : 'Not logged in',
          content: session
            ? loggedInMarkup(session.email, { app, logoutPath: pathOf('logout') })
            : loggedOutMarkup(pathOf('login')),
          brand,
        })
      },
    }),
  ]
}
