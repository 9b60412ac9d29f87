import {
  type HttpAnswer,
  type HttpClient,
  mediaTypeOf,
  RequestFailed,
  textOf,
} from '../http/http-client.ts'
import { type KeySet, readKeySet } from './read-key-set.ts'

/** What the issuer said of its keys. */
export type FetchedKeys = {
  readonly keys: KeySet
  /** Names this version of the set, to ask whether it is still the one (RFC 9110 section 8.8.3). */
  readonly etag: string | undefined
  /** How long the answer may be used without asking again; undefined when it does not say. */
  readonly maxAgeSeconds: number | undefined
}

/** Asks for the keys; `last` is what was fetched before. */
export type FetchKeySet = (
  last: FetchedKeys | undefined,
  signal: AbortSignal,
) => Promise<FetchedKeys>

const timeoutMs = 5000

/** A set of thirty RSA keys has 20 KB. */
const maxBytes = 64 * 1024

const mediaTypes = ['application/jwk-set+json', 'application/json']

const maxAgeOf = ({ headers }: HttpAnswer): number | undefined => {
  const directive = /(?:^|[\s,])max-age="?(\d{1,9})/i.exec(headers.get('cache-control') ?? '')
  return directive?.[1] === undefined ? undefined : Number(directive[1])
}

const accept = { accept: mediaTypes.join(', ') }

/** Fetches `/.well-known/jwks.json`. Rejects with `RequestFailed` or `KeySetError` for whatever is no sound set of keys. */
export const fetchKeySetFrom =
  (http: HttpClient, endpoint: string): FetchKeySet =>
  async (last, signal) => {
    const url = `${endpoint}/.well-known/jwks.json`
    const headers = last?.etag === undefined ? accept : { ...accept, 'if-none-match': last.etag }
    const answer = await http({ method: 'GET', url, headers, timeoutMs, maxBytes, signal })
    if (answer.status === 304 && last?.etag !== undefined) {
      return { ...last, maxAgeSeconds: maxAgeOf(answer) ?? last.maxAgeSeconds }
    }
    if (answer.status !== 200) throw new RequestFailed(`${url} answered ${answer.status}`)
    const mediaType = mediaTypeOf(answer)
    // An error page of a proxy, or a login page, comes with a 200 often enough.
    if (!mediaTypes.includes(mediaType)) {
      throw new RequestFailed(`${url} answered with media type ${mediaType || 'none'}`)
    }
    return {
      keys: await readKeySet(textOf(answer), last?.keys ?? new Map()),
      etag: answer.headers.get('etag') ?? undefined,
      maxAgeSeconds: maxAgeOf(answer),
    }
  }
