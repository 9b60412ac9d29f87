/** The values of each cookie of a request, by its exact name, in the order of the header. */
export type Cookies = ReadonlyMap<string, readonly string[]>

const space = 0x20
const tab = 0x09

const isBlank = (text: string, place: number): boolean => {
  const character = text.charCodeAt(place)
  return character === space || character === tab
}

/**
 * Reads a `Cookie` header in one pass, whose time is proportional to its length.
 *
 * Written by hand because parsers keep one of several cookies of a name. A second one was planted by somebody (another path, a
 * sibling domain), and using either could log the person in as the attacker, so the caller must see both. A name that differs
 * only in case is another cookie.
 *
 * Only spaces and tabs around a pair are dropped (RFC 9110 section 5.6.3). `trim()` would drop more: a sibling domain may set a
 * cookie whose name is ours after a no-break space, and browsers do not apply the rules of `__Host-` to that name. A regular
 * expression such as `/[ \t]+$/` takes quadratic time: it starts anew at every blank of a run.
 */
export const readCookies = (header = ''): Cookies => {
  const cookies = new Map<string, string[]>()
  for (let start = 0, end = 0; start < header.length; start = end + 1) {
    end = header.indexOf(';', start)
    if (end < 0) end = header.length
    let first = start
    let afterLast = end
    while (first < afterLast && isBlank(header, first)) first += 1
    while (first < afterLast && isBlank(header, afterLast - 1)) afterLast -= 1
    const pair = header.slice(first, afterLast)
    const equals = pair.indexOf('=')
    if (equals < 0) continue
    const name = pair.slice(0, equals)
    const value = pair.slice(equals + 1)
    const values = cookies.get(name)
    if (values === undefined) cookies.set(name, [value])
    else values.push(value)
  }
  return cookies
}
