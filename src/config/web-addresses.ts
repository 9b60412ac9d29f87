import { isIP } from 'node:net'
import type { Format } from './setting.ts'

/** `URL` forgives blanks, backslashes and line ends; an address that must match byte for byte may hold none, nor a wildcard. */
const plainWebAddress = /^https?:\/\/[^\s\\?#@*]+$/i

/** True when parsing changes no byte of the path: "/a/../b" and "/ü" would be compared in another spelling elsewhere. */
const keepsItsPath = (text: string): boolean => {
  const start = text.indexOf('/', text.indexOf('//') + 2)
  return start === -1 || new URL(text).pathname === text.slice(start)
}

/** The issuer of RFC 8414 section 2 and RFC 9068: verifiers compare it as bytes, so it is kept as written. */
export const issuerAddress: Format<string> = {
  limits: 'http(s) URL without trailing slash, query, fragment or user',
  parse: (text) => {
    if (text.endsWith('/')) return { problem: 'must not end with a slash' }
    const isSound = plainWebAddress.test(text) && URL.canParse(text) && keepsItsPath(text)
    return isSound
      ? { value: text }
      : { problem: 'must be an http(s) URL without query, fragment or user' }
  },
}

/** An origin exactly as browsers send it in `Origin` (RFC 6454 section 6.2): lower case, no path, no default port. */
export const webOrigin: Format<string> = {
  limits: 'origin such as https://app.example.com, no path, no wildcard',
  parse: (text) => {
    const isOrigin =
      plainWebAddress.test(text) && URL.canParse(text) && new URL(text).origin === text
    return isOrigin
      ? { value: text }
      : { problem: 'must be an origin as browsers write it: https://app.example.com, no path' }
  },
}

const addressRangeProblem = {
  problem: 'must be an IP address or a range such as 10.0.0.0/8, and not everybody (/0)',
}

/**
 * An address or a CIDR range, always answered as a range. A prefix of 0 would let anybody choose the address that limits
 * and audit see; IPv4 written as IPv6 (::ffff:10.0.0.1) would never match a peer, whose address is shown as IPv4.
 */
export const addressRange: Format<string> = {
  limits: 'IP address or CIDR range, prefix at least 1',
  parse: (text) => {
    const [address = '', prefix, ...rest] = text.split('/')
    const bits = { 4: 32, 6: 128 }[isIP(address)]
    if (bits === undefined || rest.length > 0 || /%|^::ffff:/i.test(address)) {
      return addressRangeProblem
    }
    if (prefix === undefined) return { value: `${address}/${bits}` }
    return /^[1-9][0-9]{0,2}$/.test(prefix) && Number(prefix) <= bits
      ? { value: text }
      : addressRangeProblem
  },
}
