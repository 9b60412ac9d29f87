import {
  type HttpClient,
  type HttpResponse,
  mediaTypeOf,
  RequestFailed,
  textOf,
} from '../http/http-client.ts'
import { type KeySet, readKeySet } from './read-key-set.ts'

/** The issuer's response with its keys. */
export type FetchedKeys = {
  readonly keys: KeySet
  /** Identifies this version of the set, for conditional requests (RFC 9110 section 8.8.3). */
  readonly etag: string | undefined
  /** How long the response may be used without a new request. Undefined when it does not say. */
  readonly maxAgeSeconds: number | undefined
}

/** Fetches the keys; `last` is the previous response. */
export type FetchKeySet = (
  last: FetchedKeys | undefined,
  signal: AbortSignal,
) => Promise<FetchedKeys>

const timeoutMs = 5000

/** A set of thirty RSA keys takes 20 KB. */
const maxBytes = 64 * 1024

const mediaTypes = ['application/jwk-set+json', 'application/json']

const maxAgeOf = ({ headers }: HttpResponse): number | undefined => {
  const directive = /(?:^|[\s,])max-age="?(\d{1,9})/i.exec(headers.get('cache-control') ?? '')
  return directive?.[1] === undefined ? undefined : Number(directive[1])
}

const accept = { accept: mediaTypes.join(', ') }

/** Fetches `/.well-known/jwks.json`. Rejects with `RequestFailed` or `KeySetError` for anything except a valid key set. */
export const fetchKeySetFrom =
  (http: HttpClient, endpoint: string): FetchKeySet =>
  async (last, signal) => {
    const url = `${endpoint}/.well-known/jwks.json`
    const headers = last?.etag === undefined ? accept : { ...accept, 'if-none-match': last.etag }
    const response = await http({ method: 'GET', url, headers, timeoutMs, maxBytes, signal })
    if (response.status === 304 && last?.etag !== undefined) {
      return { ...last, maxAgeSeconds: maxAgeOf(response) ?? last.maxAgeSeconds }
    }
    if (response.status !== 200) throw new RequestFailed(`${url} responded ${response.status}`)
    const mediaType = mediaTypeOf(response)
    // An error page of a proxy, or a login page, may have status 200.
    if (!mediaTypes.includes(mediaType)) {
      throw new RequestFailed(`${url} responded with media type ${mediaType || 'none'}`)
    }
    return {
      keys: await readKeySet(textOf(response), last?.keys ?? new Map()),
      etag: response.headers.get('etag') ?? undefined,
      maxAgeSeconds: maxAgeOf(response),
    }
  }
