import type { Clock } from '../lib/machine.ts'
import { flagField, type MacKey, signedBytes, uint32Field } from '../lib/signed-bytes.ts'

/** Where the login page may redirect to, according to the settings. */
export type ReturnRules = {
  /** The prefix of Cardea's own paths, such as `/auth`, or an empty string. */
  readonly basePath: string
  /** The host of the login page, when one page serves several hosts. */
  readonly ownHost: string
  /** The domain of the session cookie. Without one, a return address contains no host. */
  readonly cookieDomain: string | undefined
  /** Hosts with their ports. Undefined: `cookieDomain` and every host below it. */
  readonly returnHosts: readonly string[] | undefined
}

/** One KiB: it is signed and encoded into an address, which may have two. */
const maxLength = 1024

/** The unencoded characters of an address: no blanks, control characters, backslash or fragment. */
const plainAddress = /^\/[\x21\x22\x24-\x5b\x5d-\x7e]*$/

/** Browsers read `\` as `/`, and ignore tabs and line ends inside an address (URL Standard, basic URL parser). */
const hasTrickCharacters = (text: string): boolean => /[\\\p{Cc}]/u.test(text)

/** Cardea's own paths, below any base path. Returning there would show the login page again, or log the user out. */
const ownPath = /^\/(?:login|logout|forward-auth)(?:[/?]|$)/i

const isOurOwn = (path: string, basePath: string): boolean =>
  path.startsWith(basePath) && ownPath.test(path.slice(basePath.length))

/** Undefined for a broken escape. */
const decodeOnce = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Only the path and query are used. Nothing is ever sent to this host (RFC 2606 section 2). */
const anyHost = 'https://return.invalid'

/** Path and query without `.` and `..`, as a browser on this host resolves them. Undefined when they lead to another host. */
const asBrowsersRead = (text: string): string | undefined => {
  if (!URL.canParse(text, anyHost)) return undefined
  const { origin, pathname, search } = new URL(text, anyHost)
  return origin === anyHost ? `${pathname}${search}` : undefined
}

/** Two leading slashes start a host. */
const staysHere = (path: string): boolean => /^\/(?!\/)/.test(path)

const isSafeReading = (text: string, isOwn: (path: string) => boolean): boolean => {
  if (!staysHere(text) || isOwn(text) || hasTrickCharacters(text)) return false
  const path = asBrowsersRead(text)
  return path !== undefined && staysHere(path) && !isOwn(path)
}

/** Checks the text unchanged, and as a proxy or an application might see it: decoded once and decoded twice. */
const isSafe = (text: string, isOwn: (path: string) => boolean): boolean => {
  const once = decodeOnce(text)
  if (once === undefined) return false
  return [text, once, decodeOnce(once) ?? once].every((reading) => isSafeReading(reading, isOwn))
}

/** Path and query as a browser resolves them, or nothing when they could lead anywhere except to a page of the same host. */
const safePath = (text: string, isOwn: (path: string) => boolean): string | undefined => {
  if (text.length > maxLength || !plainAddress.test(text) || !isSafe(text, isOwn)) return undefined
  const path = asBrowsersRead(text)
  // The encoding may have made it longer.
  return path !== undefined && path.length <= maxLength ? path : undefined
}

/** On Cardea's host, or on `host`, which may serve its own login page behind its proxy. */
const safePathOn = (
  host: string | undefined,
  path: string,
  { ownHost, basePath }: ReturnRules,
): string | undefined => {
  const mayBeOwn = host === undefined || host === ownHost
  return safePath(path, (own) => mayBeOwn && isOurOwn(own, basePath))
}

/** A name with an optional port, and nothing that could be parsed as another part of an address. */
const plainHost = /^(?:[a-z0-9-]{1,63}\.)+[a-z0-9-]{1,63}(?::\d{1,5})?$/

/** A host that an address may contain, in the form of browsers. Undefined for all others. */
const allowedHost = (text: string, rules: ReturnRules): string | undefined => {
  const { cookieDomain, returnHosts } = rules
  if (cookieDomain === undefined || !plainHost.test(text)) return undefined
  if (!URL.canParse(`https://${text}`)) return undefined
  const { host, hostname } = new URL(`https://${text}`)
  const isBelow = hostname === cookieDomain || hostname.endsWith(`.${cookieDomain}`)
  return isBelow && (returnHosts?.includes(host) ?? true) ? host : undefined
}

const onNamedHost = /^https:\/\/([^/]*)(\/.*)$/

/**
 * The address to return to after a login, as a browser resolves it, or nothing when it could lead anywhere except to a page of this same
 * host. With a cookie domain it may contain a host at or below that domain. It must use HTTPS, because the cookie is sent nowhere else.
 */
export const safeReturnAddress = (text: string, rules: ReturnRules): string | undefined => {
  const [, named, rest = ''] = onNamedHost.exec(text) ?? []
  if (named === undefined) return safePathOn(undefined, text, rules)
  const host = allowedHost(named, rules)
  const path = host === undefined ? undefined : safePathOn(host, rest, rules)
  return path === undefined ? undefined : `https://${host}${path}`
}

/** The page that was requested from a proxy, as the proxy reports it. */
export type AskedPage = { readonly host: string | undefined; readonly uri: string | undefined }

/** The address of that page. The start page of its host when the path is not safe, and `/` when the host is not allowed either. */
export const returnAddressOf = ({ host = '', uri = '' }: AskedPage, rules: ReturnRules): string => {
  if (rules.cookieDomain === undefined) return safePathOn(undefined, uri, rules) ?? '/'
  const allowed = allowedHost(host.toLowerCase(), rules)
  if (allowed === undefined) return '/'
  return `https://${allowed}${safePathOn(allowed, uri, rules) ?? '/'}`
}

/** Where to go after a login. */
export type ReturnAddress = {
  /** Path and query on this host, or a full address when the session cookie serves several hosts. */
  readonly address: string
  /** A logged-in user must authenticate again, later than `issuedAtMs`. */
  readonly reauthenticates: boolean
  readonly issuedAtMs: number
}

export type ReturnTokens = {
  readonly write: (address: string, reauthenticates: boolean) => string
  /** Undefined when the text was not made here, was altered, or is over an hour old. Never throws. */
  readonly read: (token: string | undefined) => ReturnAddress | undefined
}

/** The address is the text at the end. */
const layout = {
  version: 1,
  fields: { reauthenticates: flagField, issuedAtSeconds: uint32Field },
  endsInText: true,
}

/** Long enough to look up a forgotten password. After that, a saved link leads to `/`. */
const lifetimeSeconds = 3600

/**
 * Signed return addresses. Anyone who can open a page through the proxy gets its address signed, so a signature is no permission. It
 * prevents three things: replacing an address that was checked, removing the demand to log in again, and using old links for anything
 * except `/`.
 */
export const returnTokens = (
  keys: readonly MacKey[],
  clock: Pick<Clock, 'nowMs'>,
  rules: ReturnRules,
): ReturnTokens => {
  const tokens = signedBytes(keys, layout)
  const nowSeconds = () => Math.floor(clock.nowMs() / 1000)

  return {
    write: (address, reauthenticates) =>
      tokens.write({ reauthenticates, issuedAtSeconds: nowSeconds() }, address),
    read: (token) => {
      const read = token === undefined ? undefined : tokens.read(token)
      if (!read || nowSeconds() - read.issuedAtSeconds > lifetimeSeconds) return undefined
      // Checked again, so that a tightened rule applies to addresses signed before it.
      const address = safeReturnAddress(read.text, rules)
      if (address === undefined) return undefined
      const { reauthenticates, issuedAtSeconds } = read
      return { address, reauthenticates, issuedAtMs: issuedAtSeconds * 1000 }
    },
  }
}
