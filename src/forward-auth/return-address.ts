import type { Clock } from '../lib/machine.ts'
import { flagField, type MacKey, signedBytes, uint32Field } from '../lib/signed-bytes.ts'

/** Where the login page may lead, as the settings say. */
export type ReturnRules = {
  /** What stands before Cardea's own paths, such as `/auth`; empty for nothing. */
  readonly basePath: string
  /** The host that the login page is at, when one page serves several hosts. */
  readonly ownHost: string
  /** The domain of the session cookie; without one a return address names no host. */
  readonly cookieDomain: string | undefined
  /** Hosts with their ports; undefined: `cookieDomain` and every host below it. */
  readonly returnHosts: readonly string[] | undefined
}

/** One KiB: signed and encoded it has to fit into an address, and an address here has two. */
const maxLength = 1024

/** What an address may hold unencoded: no blanks, no control characters, no backslash, no fragment. */
const plainAddress = /^\/[\x21\x22\x24-\x5b\x5d-\x7e]*$/

/** Browsers read `\` as `/`, and skip tabs and line ends inside an address (URL Standard, basic URL parser). */
const hasTrickCharacters = (text: string): boolean => /[\\\p{Cc}]/u.test(text)

/** Of paths that are Cardea's own wherever it is mounted: returning there would lead back to the login page, or log the person out. */
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

/** Only its path and query are read; nothing is ever sent to this host (RFC 2606 section 2). */
const anyHost = 'https://return.invalid'

/** Path and query without `.` and `..`, as a browser on this host would go there; nothing when it would go elsewhere. */
const asBrowsersRead = (text: string): string | undefined => {
  if (!URL.canParse(text, anyHost)) return undefined
  const { origin, pathname, search } = new URL(text, anyHost)
  return origin === anyHost ? `${pathname}${search}` : undefined
}

/** Two slashes at the start name a host. */
const staysHere = (path: string): boolean => /^\/(?!\/)/.test(path)

const isSafeReading = (text: string, isOwn: (path: string) => boolean): boolean => {
  if (!staysHere(text) || isOwn(text) || hasTrickCharacters(text)) return false
  const path = asBrowsersRead(text)
  return path !== undefined && staysHere(path) && !isOwn(path)
}

/** As it stands, and as a proxy or an application could come to see it: decoded once, and once too often. */
const isSafe = (text: string, isOwn: (path: string) => boolean): boolean => {
  const once = decodeOnce(text)
  if (once === undefined) return false
  return [text, once, decodeOnce(once) ?? once].every((reading) => isSafeReading(reading, isOwn))
}

/** Path and query as a browser would read them, or nothing when they could lead anywhere but to a page of the same host. */
const safePath = (text: string, isOwn: (path: string) => boolean): string | undefined => {
  if (text.length > maxLength || !plainAddress.test(text) || !isSafe(text, isOwn)) return undefined
  const path = asBrowsersRead(text)
  // Encoded as browsers do it has become longer.
  return path !== undefined && path.length <= maxLength ? path : undefined
}

/** Of a page of Cardea's host, or of `host`, which may have a login page of its own behind its proxy. */
const safePathOn = (
  host: string | undefined,
  path: string,
  { ownHost, basePath }: ReturnRules,
): string | undefined => {
  const mayBeOwn = host === undefined || host === ownHost
  return safePath(path, (own) => mayBeOwn && isOurOwn(own, basePath))
}

/** A name with an optional port and nothing that could be read as another part of an address. */
const plainHost = /^(?:[a-z0-9-]{1,63}\.)+[a-z0-9-]{1,63}(?::\d{1,5})?$/

/** A host that an address may name, as browsers write it; nothing for all others. */
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
 * The address to return to after a login, as a browser would read it, or nothing when it could lead anywhere but to a page of this same
 * host. With a cookie domain it may name a host at or below that domain: by HTTPS, because the cookie goes nowhere else.
 */
export const safeReturnAddress = (text: string, rules: ReturnRules): string | undefined => {
  const [, named, rest = ''] = onNamedHost.exec(text) ?? []
  if (named === undefined) return safePathOn(undefined, text, rules)
  const host = allowedHost(named, rules)
  const path = host === undefined ? undefined : safePathOn(host, rest, rules)
  return path === undefined ? undefined : `https://${host}${path}`
}

/** Which page a proxy was asked for, in its own words. */
export type AskedPage = { readonly host: string | undefined; readonly uri: string | undefined }

/** Its address; the start page of its host when the path is not safe, and `/` when the host is not allowed either. */
export const returnAddressOf = ({ host = '', uri = '' }: AskedPage, rules: ReturnRules): string => {
  if (rules.cookieDomain === undefined) return safePathOn(undefined, uri, rules) ?? '/'
  const allowed = allowedHost(host.toLowerCase(), rules)
  if (allowed === undefined) return '/'
  return `https://${allowed}${safePathOn(allowed, uri, rules) ?? '/'}`
}

/** Where to go after a login. */
export type ReturnAddress = {
  /** Path and query on this host; or a whole address, when the session cookie serves several hosts. */
  readonly address: string
  /** Whoever is logged in must prove again who they are, later than `issuedAtMs`. */
  readonly reauthenticates: boolean
  readonly issuedAtMs: number
}

export type ReturnTokens = {
  readonly write: (address: string, reauthenticates: boolean) => string
  /** Nothing when the text was not made here, was altered, or is over an hour old. Never throws. */
  readonly read: (token: string | undefined) => ReturnAddress | undefined
}

/** The address is the text at the end. */
const layout = {
  version: 1,
  fields: { reauthenticates: flagField, issuedAtSeconds: uint32Field },
  endsInText: true,
}

/** Long enough to look up a forgotten password; a link that is kept for later goes to `/`. */
const lifetimeSeconds = 3600

/**
 * Return addresses with our signature on them. Whoever can open a page through the proxy gets its address signed, so a signature is no
 * permission: it keeps what was judged when the proxy said it from being exchanged on the way, the demand to log in again from being
 * taken out, and old links from leading anywhere but to `/`.
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
      // Again, so that a rule which is tightened holds for what was signed before it.
      const address = safeReturnAddress(read.text, rules)
      if (address === undefined) return undefined
      const { reauthenticates, issuedAtSeconds } = read
      return { address, reauthenticates, issuedAtMs: issuedAtSeconds * 1000 }
    },
  }
}
