import { createHash } from 'node:crypto'
import type { PublicJwk } from './signing-key.ts'

/** The published key set, serialised once: it is asked for far more often than it changes. */
export type JwksDocument = {
  /** Text, which goes out with the headers in one piece; bytes would be a second one. */
  readonly body: string
  /** Strong (RFC 9110 section 8.8.3): equal on all instances that publish the same bytes. */
  readonly etag: string
}

/** The order of `keys` is kept. */
export const jwksDocument = (keys: readonly PublicJwk[]): JwksDocument => {
  const body = JSON.stringify({ keys })
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` }
}

const entityTag = /(?:W\/)?("[^"]*")/g

/**
 * Whether an If-None-Match header names this document (RFC 9110 section 13.1.2). The comparison is weak: a proxy that
 * compresses the answer makes the tag `W/"…"`, and the client still has the same keys.
 */
export const isNotModified = (ifNoneMatch: string | undefined, etag: string): boolean => {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch.trim() === '*') return true
  return Array.from(ifNoneMatch.matchAll(entityTag)).some(([, opaque]) => opaque === etag)
}
