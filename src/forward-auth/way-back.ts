import type { FastifyRequest } from 'fastify'
import { type ReturnRules, type ReturnTokens, safeReturnAddress } from './return-address.ts'

/** A text member of a query or a body. Empty: none. */
export const textIn = (record: unknown, name: string): string => {
  const value: unknown =
    typeof record === 'object' && record !== null ? Reflect.get(record, name) : undefined
  return typeof value === 'string' ? value : ''
}

/** A name or an address with an optional port. It is only displayed: a client that sends another `Host` sees it itself. */
const plainHost = /^(?:[\w.-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i

/** The host that an address leads to, for display: its own, otherwise the one that the browser shows. */
export const shownHostOf = (request: FastifyRequest, address = '/'): string | undefined => {
  const host = address.startsWith('/') ? request.host : new URL(address).host
  return plainHost.test(host) ? host : undefined
}

export type WayBackDeps = {
  readonly returns: ReturnTokens
  readonly returnRules: ReturnRules
}

/** The page with the followed link, if the browser sends it and the login page may redirect there. */
const referringPage = ({ headers, host }: FastifyRequest, rules: ReturnRules) => {
  const { referer } = headers
  if (referer === undefined || !URL.canParse(referer)) return undefined
  const page = new URL(referer)
  const path = `${page.pathname}${page.search}`
  if (rules.cookieDomain !== undefined) return safeReturnAddress(`${page.origin}${path}`, rules)
  return page.host === host ? safeReturnAddress(path, rules) : undefined
}

/**
 * The page of an app that a link may lead back to: that of the query, signed or as plain text, otherwise the referring page. Plain text
 * needs no signature, because anyone can get one (`returnTokens`). It is checked by the same rules.
 */
export const wayBackOf = (
  { returns, returnRules }: WayBackDeps,
  request: FastifyRequest,
): string | undefined => {
  const given = textIn(request.query, 'return')
  return (
    returns.read(given)?.address ??
    safeReturnAddress(given, returnRules) ??
    referringPage(request, returnRules)
  )
}

/** For a link: `/login`, with the return address if there is one. */
export const withWayBack = (
  path: string,
  { returns }: WayBackDeps,
  address: string | undefined,
): string => (address === undefined ? path : `${path}?return=${returns.write(address, false)}`)
