import type { FastifyReply, FastifyRequest } from 'fastify'
import { credentialCookie, singleCookie } from '../../http/cookies.ts'
import { type Html, html } from '../../http/html.ts'
import { sendPage } from '../../http/page.ts'
import { AppError } from '../../lib/app-error.ts'
import { newId } from '../../lib/id.ts'
import type { Random } from '../../lib/random.ts'
import { type FormTokens, isFormCookie } from '../form-token.ts'

const formCookieName = '__Host-cardea-form'

/** As long as a return address is good. */
const formCookieSeconds = 3600

export type LoginFormDeps = { readonly forms: FormTokens; readonly random: Random }

/** What a form is filled with. */
export type FormContent = {
  readonly email: string
  /** Empty for none. */
  readonly returnToken: string
  /** Someone is signed in, and is asked once more. */
  readonly reauthenticates: boolean
  /** What was wrong with the last attempt. */
  readonly problem: string | undefined
}

/**
 * The browser's cookie for forms; nothing when it has none that could be ours.
 * @throws duplicate_cookie
 */
export const presentedFormCookie = (request: FastifyRequest): string | undefined => {
  const value = singleCookie(request, formCookieName)
  return isFormCookie(value) ? value : undefined
}

/** A page is sent whatever the cookies are like. */
const usableFormCookie = (request: FastifyRequest): string | undefined => {
  try {
    return presentedFormCookie(request)
  } catch (error) {
    if (error instanceof AppError) return undefined
    throw error
  }
}

const alert = (problem: string): Html =>
  html`<div role="alert" id="problem"><p>${problem}</p></div>`

const askedAgain = html`<p>What you want to open asks you to sign in again.</p>`

/** No `type="email"`: browsers refuse addresses in it that are good ones. */
const formMarkup = (
  { email, returnToken, reauthenticates, problem }: FormContent,
  formToken: string,
): Html => {
  const described = problem === undefined ? undefined : html` aria-describedby="problem"`
  return html`<h1>Sign in</h1>
${reauthenticates ? askedAgain : undefined}
${problem === undefined ? undefined : alert(problem)}
<form method="post" action="/login/form">
<input type="hidden" name="form" value="${formToken}">
<input type="hidden" name="return" value="${returnToken}">
<label for="email">E-mail address</label>
<input id="email" name="email" type="text" inputmode="email" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="320" required value="${email}"${described}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${described}>
<button type="submit">Sign in</button>
</form>`
}

/**
 * Sends the form, bound to this browser: a cookie that it has already is used again, so that the form in another of its tabs stays good.
 */
export const sendForm = (
  { forms, random }: LoginFormDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  content: FormContent,
): FastifyReply => {
  const cookie = usableFormCookie(request) ?? newId(random)
  const options = { maxAgeSeconds: formCookieSeconds, sameSite: 'strict' } as const
  reply.header('set-cookie', credentialCookie(formCookieName, cookie, options))
  // Read out first by a screen reader when the page comes back.
  const title = content.problem === undefined ? 'Sign in' : 'Error: Sign in'
  return sendPage(reply, title, formMarkup(content, forms.write(cookie, content.returnToken)))
}
