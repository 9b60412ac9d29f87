import type { FastifyReply, FastifyRequest } from 'fastify'
import { alertMarkup, type Brand, type Html, html, sendPage } from '../http/page.ts'
import { keepsSecureCookies } from '../http/request-checks.ts'
import type { AppError } from '../lib/app-error.ts'
import type { Random } from '../lib/machine.ts'
import { bindForm, type FormTokens } from './form-token.ts'

const httpsMarkup = (heading: string): Html => html`<h1>${heading}</h1>
${alertMarkup('This page works over HTTPS only. Browsers keep the cookies of a login only there.')}
<p>Open this page by its address that begins with <strong>https://</strong>.</p>`

const startAgainMarkup = (heading: string, { title }: AppError, path: string): Html =>
  html`<h1>${heading}</h1>
${alertMarkup(title)}
<a class="button" href="${path}">${heading}</a>`

/** A form that was sent by a page of another site. */
const isForeign = ({ code }: AppError): boolean =>
  code === 'forbidden_origin' || code === 'cross_site_origin'

/**
 * The page for an error after which a new form would be wrong; nothing for other errors. A form is bound to the browser by a cookie.
 * Without HTTPS the browser does not keep it, and a page of another site must not replace an existing one, which would break the forms in
 * other tabs.
 */
export const pageWithoutForm = (
  refusal: AppError,
  request: FastifyRequest,
  /** The title and the path of the page. */
  { heading, path }: { readonly heading: string; readonly path: string },
): Html | undefined => {
  // Over plain HTTP browsers do not send the origin of a form, so each one looks foreign.
  const lacksHttps = isForeign(refusal) && !keepsSecureCookies(request)
  if (refusal.code === 'https_required' || lacksHttps) return httpsMarkup(heading)
  return isForeign(refusal) ? startAgainMarkup(heading, refusal, path) : undefined
}

export type LoginFormDeps = {
  readonly forms: FormTokens
  readonly random: Random
  readonly brand: Brand
  readonly basePath: string
  /** Hosts that a login may redirect to besides this one, for the content policy. */
  readonly formTargets: readonly string[]
}

type Field = 'email' | 'password'

/** What was wrong with the last attempt, and the fields to correct. */
export type FormProblem = { readonly text: string; readonly fields: readonly Field[] }

/** The content of the form. */
export type FormContent = {
  readonly email: string
  /** Empty: none. */
  readonly returnToken: string
  /** The host that the login returns to. Undefined when it cannot be shown. */
  readonly host: string | undefined
  /** A logged-in user is asked for the password again. */
  readonly reauthenticates: boolean
  /** Whether the checkbox is checked. */
  readonly persists: boolean
  /** What was wrong with the last attempt. */
  readonly problem: FormProblem | undefined
}

const askedAgain = html`<p>What you want to open asks you to log in again.</p>
`

/**
 * The page also works without the script: the button is then hidden. The field is a password field again when the form is sent, so that
 * browsers offer to save the password.
 */
const showPassword = `
var field = document.getElementById('password')
var button = document.getElementById('show')
function show(isShown) {
  field.type = isShown ? 'text' : 'password'
  button.textContent = isShown ? 'Hide' : 'Show'
  button.setAttribute('aria-label', isShown ? 'Hide password' : 'Show password')
}
field.className = 'toggled'
button.hidden = false
button.addEventListener('click', function () { show(field.type === 'password') })
field.form.addEventListener('submit', function () { show(false) })
`

const attributesOf = (field: Field, { email, problem }: FormContent): Html => {
  // If the address is already filled in, only the password is missing.
  const isFirst = field === (email === '' ? 'email' : 'password')
  const isWrong = problem?.fields.includes(field)
  return html`${isFirst ? html` autofocus` : undefined}${
    isWrong ? html` aria-invalid="true"` : undefined
  }${problem ? html` aria-describedby="problem"` : undefined}`
}

/** Not shown when a session continues, because its kind does not change. */
const keepBox = (isTicked: boolean): Html =>
  html`<div class="choice">
<input id="persist" name="persist" type="checkbox" value="yes"${isTicked ? html` checked` : undefined}>
<label for="persist">Keep me logged in</label>
</div>`

/** Not `type="email"`: browsers refuse some valid addresses in it. */
const formMarkup = (content: FormContent, basePath: string, formToken: string): Html => {
  const { email, returnToken, host, reauthenticates, persists, problem } = content
  return html`<h1>Log in</h1>
${host === undefined ? undefined : html`<p class="soft">to <strong>${host}</strong></p>\n`}${
  reauthenticates ? askedAgain : undefined
}${problem && alertMarkup(problem.text)}<form method="post" action="${basePath}/login/form">
<input type="hidden" name="form" value="${formToken}">
<input type="hidden" name="return" value="${returnToken}">
<label for="email">E-mail address</label>
<input id="email" name="email" type="text" inputmode="email" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="320" required value="${email}"${attributesOf('email', content)}>
<label for="password">Password</label>
<div class="secret">
<input id="password" name="password" type="password" autocomplete="current-password" required${attributesOf('password', content)}>
<button id="show" type="button" aria-controls="password" aria-label="Show password" hidden>Show</button>
</div>
${reauthenticates ? undefined : keepBox(persists)}
<button type="submit" class="button">Log in</button>
</form>`
}

/** Sends the form, bound to this browser. */
export const sendForm = (
  deps: LoginFormDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  content: FormContent,
): FastifyReply => {
  const { brand, basePath, formTargets } = deps
  const formToken = bindForm(deps, request, reply, content.returnToken)
  return sendPage(reply, {
    // A screen reader reads the title first when the page is shown again.
    title: content.problem === undefined ? 'Log in' : 'Error: Log in',
    content: formMarkup(content, basePath, formToken),
    brand,
    script: showPassword,
    formTargets,
  })
}
