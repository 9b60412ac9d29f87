/** One KiB: signed and encoded it has to fit into an address, and an address here has two. */
const maxLength = 1024

/** What an address may hold unencoded: no blanks, no control characters, no backslash, no fragment. */
const plainAddress = /^\/[\x21\x22\x24-\x5b\x5d-\x7e]*$/

/** Browsers read `\` as `/`, and skip tabs and line ends inside an address (URL Standard, basic URL parser). */
const hasTrickCharacters = (text: string): boolean => /[\\\p{Cc}]/u.test(text)

/** Ours: returning there would lead back to the login page for ever. */
const isOurOwn = (path: string): boolean => /^\/(?:login|forward-auth)(?:[/?]|$)/i.test(path)

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
const staysHere = (path: string): boolean => /^\/(?!\/)/.test(path) && !isOurOwn(path)

const isSafeReading = (text: string): boolean => {
  if (!staysHere(text) || hasTrickCharacters(text)) return false
  const path = asBrowsersRead(text)
  return path !== undefined && staysHere(path)
}

/** As it stands, and as a proxy or an application could come to see it: decoded once, and once too often. */
const isSafe = (text: string): boolean => {
  const once = decodeOnce(text)
  if (once === undefined) return false
  return [text, once, decodeOnce(once) ?? once].every(isSafeReading)
}

/**
 * The address to return to after sign-in, as a browser would read it, or nothing when it could lead anywhere but to a page of this
 * same host. A path only: the session cookie reaches no other host anyway, and what names no host can be made to mean no other.
 */
export const safeReturnPath = (text: string): string | undefined => {
  if (text.length > maxLength || !plainAddress.test(text) || !isSafe(text)) return undefined
  const path = asBrowsersRead(text)
  // Encoded as browsers do it has become longer.
  return path !== undefined && path.length <= maxLength ? path : undefined
}
