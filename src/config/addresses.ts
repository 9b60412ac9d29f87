import { createRequire } from 'node:module'
import { isIP } from 'node:net'
import { isPageOrigin } from '../../packages/verifier/src/wire.ts'
import type { Format } from './setting.ts'
import { percentProblem } from './store-addresses.ts'

/** `URL` accepts blanks, backslashes and line ends. An address that must match byte for byte may contain none of them, and no wildcard. */
const plainWebAddress = /^https?:\/\/[^\s\\?#@*]+$/i

/** Whether parsing leaves the path unchanged. "/a/../b" and "/ü" would be compared in another spelling elsewhere. */
const keepsItsPath = (text: string): boolean => {
  const start = text.indexOf('/', text.indexOf('//') + 2)
  return start === -1 || new URL(text).pathname === text.slice(start)
}

/** Segments that every router and proxy treats alike: nothing encoded, no `:` or `*`. */
const plainPath = /^(?:\/[\w.~-]+)*\/?$/

/** The issuer of RFC 8414 section 2 and RFC 9068. Verifiers compare its bytes, so it is kept as written. */
export const issuerAddress: Format<string> = {
  limits:
    'http(s) URL without trailing slash, query, fragment or user; a path of letters, digits and - . _ ~',
  parse: (text) => {
    if (text.endsWith('/')) return { problem: 'must not end with a slash' }
    const problem = percentProblem(text)
    if (problem !== undefined) return { problem }
    const isSound = plainWebAddress.test(text) && URL.canParse(text) && keepsItsPath(text)
    if (!isSound) return { problem: 'must be an http(s) URL without query, fragment or user' }
    return plainPath.test(new URL(text).pathname)
      ? { value: text }
      : { problem: 'has a path of other characters than letters, digits and - . _ ~' }
  },
}

/** Lower case, as browsers send it in `Host`. No IP address, because cookies with a domain need a name. */
const hostExpression =
  /^(?=.{1,253}(?::|$))(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z][a-z0-9-]*[a-z0-9](?::[1-9]\d{0,4})?$/

export const hostName: Format<string> = {
  limits: 'host name in lower case, with a port if it is not 443',
  parse: (text) =>
    hostExpression.test(text) && new URL(`https://${text}`).host === text
      ? { value: text }
      : { problem: 'must be a host as browsers name it, such as app.example.com, in lower case' },
}

/** The list is loaded on demand: it costs a process 6 MB and 50 ms. */
const isPublicSuffix = (domain: string): boolean => {
  const { parse }: typeof import('tldts') = createRequire(import.meta.url)('tldts')
  return parse(domain, { allowPrivateDomains: true }).domain === null
}

/**
 * A domain with a single owner, according to the public suffix list with its private part: `example.com` and `shop.example.co.uk`, not
 * `co.uk` and not `github.io`. A browser would refuse the cookie of a public suffix, and one with an older list would share it with
 * strangers.
 */
export const registrableDomain: Format<string> = {
  limits: 'domain name in lower case, without a leading dot, no public suffix',
  parse: (text) => {
    if (!hostExpression.test(text) || text.includes(':')) {
      return {
        problem: 'must be a domain name such as example.com, in lower case, without a leading dot',
      }
    }
    return isPublicSuffix(text)
      ? { problem: 'is a public suffix, below which others own hosts' }
      : { value: text }
  },
}

/** The origin of a web page, or of an app in a webview. */
export const pageOrigin: Format<string> = {
  limits: 'origin such as https://app.example.com or capacitor://localhost, no path, no wildcard',
  parse: (text) =>
    isPageOrigin(text)
      ? { value: text }
      : {
          problem:
            'must be an origin as browsers write it: https://app.example.com or capacitor://localhost, no path',
        },
}

const addressRangeProblem = {
  problem: 'must be an IP address or a range such as 10.0.0.0/8, and not everybody (/0)',
}

/**
 * An address or a CIDR range, returned as a range. A prefix of 0 would let anybody choose the address that limits and audit use. IPv4
 * written as IPv6 (::ffff:10.0.0.1) would never match a peer, whose address is shown as IPv4.
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

const hostNameExpression = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/

/** An address or a name to listen on, without port and brackets. */
export const listenHost: Format<string> = {
  limits: 'IP address or host name',
  parse: (text) =>
    isIP(text) !== 0 || hostNameExpression.test(text)
      ? { value: text }
      : { problem: 'must be an IP address or a host name, without port or brackets' },
}
