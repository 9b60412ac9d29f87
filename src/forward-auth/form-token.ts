import type { FastifyReply, FastifyRequest } from 'fastify'
import { credentialCookie, setCookies, singleCookie } from '../http/browser-requests.ts'
import { AppError } from '../lib/app-error.ts'
import { idPattern, newId, type Random } from '../lib/machine.ts'
import { type MacKey, textSigner } from '../lib/signed-bytes.ts'

export type FormTokens = {
  /** The hidden field of a form, for the browser with this cookie and for this return address, if any. */
  readonly write: (cookie: string, returnToken?: string) => string
  readonly fits: (field: string, cookie: string, returnToken?: string) => boolean
}

const cookieShape = new RegExp(idPattern)

/** Whether a value has the form of our cookie: 128 random bits, written like ids. */
export const isFormCookie = (value: string | undefined): value is string =>
  value !== undefined && cookieShape.test(value)

/**
 * Signed double submit (OWASP CSRF prevention). A page of another site can neither read nor set the cookie, and cannot make the field
 * without our key. This prevents login CSRF, in which an attacker logs a victim in to the attacker's account before there is a session to
 * bind to.
 */
export const formTokens = (keys: readonly MacKey[]): FormTokens => {
  const { sign, isSignature } = textSigner(keys)
  return {
    // The length of the cookie is fixed, so no other pair gives the same text.
    write: (cookie, returnToken = '') => sign(`${cookie}${returnToken}`),
    fits: (field, cookie, returnToken = '') => isSignature(field, `${cookie}${returnToken}`),
  }
}

const formCookieName = '__Host-cardea-form'

/** As long as a return address is valid. */
const formCookieSeconds = 3600

/**
 * The browser's cookie for forms; nothing when it has no well-formed one.
 * @throws duplicate_cookie
 */
export const presentedFormCookie = (request: FastifyRequest): string | undefined => {
  const value = singleCookie(request, formCookieName)
  return isFormCookie(value) ? value : undefined
}

/** A page is sent even when the cookies are invalid. */
const usableFormCookie = (request: FastifyRequest): string | undefined => {
  try {
    return presentedFormCookie(request)
  } catch (error) {
    if (error instanceof AppError) return undefined
    throw error
  }
}

/**
 * Binds a form to this browser and returns the value of its hidden field. An existing cookie is reused, so that the forms in other tabs
 * stay valid.
 */
export const bindForm = (
  { forms, random }: { readonly forms: FormTokens; readonly random: Random },
  request: FastifyRequest,
  reply: FastifyReply,
  returnToken?: string,
): string => {
  const cookie = usableFormCookie(request) ?? newId(random)
  const options = { maxAgeSeconds: formCookieSeconds, sameSite: 'strict' } as const
  setCookies(reply, [credentialCookie(formCookieName, cookie, options)])
  return forms.write(cookie, returnToken)
}
