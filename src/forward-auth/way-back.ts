import type { FastifyRequest } from 'fastify'
import { type ReturnRules, type ReturnTokens, safeReturnAddress } from './return-address.ts'

/** A text that a query or a body holds; empty for none. */
export const textIn = (record: unknown, name: string): string => {
  const value: unknown =
    typeof record === 'object' && record !== null ? Reflect.get(record, name) : undefined
  return typeof value === 'string' ? value : ''
}

/** A name or an address with an optional port. Only shown: whoever sends another `Host` sees what they sent. */
const plainHost = /^(?:[\w.-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i

/** The host that an address leads to, to be shown: the one that it names, else the one that the browser shows. */
export const shownHostOf = (request: FastifyRequest, address = '/'): string | undefined => {
  const host = address.startsWith('/') ? request.host : new URL(address).host
  return plainHost.test(host) ? host : undefined
}

export type WayBackDeps = {
  readonly returns: ReturnTokens
  readonly returnRules: ReturnRules
}

/** The page with the link that was followed, if browsers say it and the login page could lead there. */
const referringPage = ({ headers, host }: FastifyRequest, rules: ReturnRules) => {
  const { referer } = headers
  if (referer === undefined || !URL.canParse(referer)) return undefined
  const page = new URL(referer)
  const path = `${page.pathname}${page.search}`
  if (rules.cookieDomain !== undefined) return safeReturnAddress(`${page.origin}${path}`, rules)
  return page.host === host ? safeReturnAddress(path, rules) : undefined
}

/**
 * The page of an app to which a link may lead back: that of the query, signed as for the login page or as plain text, else the page that
 * the person comes from. Text needs no signature, since everybody can have one made (`returnTokens`): it is held to the same rules.
 */
export const wayBackOf = (
  { returns, returnRules }: WayBackDeps,
  request: FastifyRequest,
): string | undefined => {
  const asked = textIn(request.query, 'return')
  return (
    returns.read(asked)?.address ??
    safeReturnAddress(asked, returnRules) ??
    referringPage(request, returnRules)
  )
}

/** For a link: `/login`, with the way back if there is one. */
export const withWayBack = (
  path: string,
  { returns }: WayBackDeps,
  address: string | undefined,
): string => (address === undefined ? path : `${path}?return=${returns.write(address, false)}`)
