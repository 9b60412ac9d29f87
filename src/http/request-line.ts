import { httpErrors } from './errors.ts'
import type { OnEveryRequest } from './on-every-request.ts'

const maxUrlLength = 2048

/**
 * Headers that may stand once. Node keeps the first `Host` and `Authorization` and joins `DPoP` lines, a proxy may
 * keep the last: the two would then decide about different requests (RFC 9112 section 3.2).
 */
const singleHeaders: ReadonlySet<string> = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-type',
  'dpop',
  'host',
  'origin',
  'sec-fetch-site',
  'transfer-encoding',
])

/** Names stand at the even places of `rawHeaders`, values at the odd ones. */
const firstRepeated = (rawHeaders: readonly string[]): string | undefined => {
  const seen = new Set<string>()
  for (let place = 0; place < rawHeaders.length; place += 2) {
    const name = (rawHeaders[place] ?? '').toLowerCase()
    if (!singleHeaders.has(name)) continue
    if (seen.has(name)) return name
    seen.add(name)
  }
  return undefined
}

/** A full URL as the target is legal; naming another host than `Host` does is an attempt to be read two ways. */
const targetAgreesWithHost = (target: string, host: string): boolean => {
  if (target.startsWith('/') || target === '*') return true
  const authority = /^https?:\/\/([^/?#]*)(?:[/?#]|$)/i.exec(target)?.[1]
  return authority !== undefined && authority.toLowerCase() === host.toLowerCase()
}

const refuse = (detail: string): never => {
  throw httpErrors.error('invalid_request', { detail })
}

/** Refuses requests that a proxy in front could have read differently, and addresses over 2 KiB. */
export const refuseAmbiguousRequests: OnEveryRequest = (request) => {
  const target = request.raw.url ?? ''
  if (target.length > maxUrlLength) throw httpErrors.error('uri_too_long')
  const repeated = firstRepeated(request.raw.rawHeaders)
  if (repeated !== undefined) refuse(`The header ${repeated} was sent more than once.`)
  const host = request.raw.headers.host
  // Node's own check answers without our headers, so it is off.
  if (host === undefined) refuse('The header host is missing.')
  else if (!targetAgreesWithHost(target, host)) refuse('The address names another host.')
}
