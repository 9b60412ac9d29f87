import { callWithin } from '../call-within.ts'
import type { Clock } from '../clock.ts'

/** No usable response. The message has the method, the address and the problem, and nothing that was sent. */
export class RequestFailed extends Error {
  override readonly name = 'RequestFailed'
}

/** One request with its limits. */
export type HttpRequest = {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** The total time, to the last byte of the response. */
  readonly timeoutMs: number
  /** A longer response is refused, whatever length it announces. */
  readonly maxBytes: number
  readonly signal?: AbortSignal | undefined
}

/** A complete response with any status and media type. */
export type HttpResponse = {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array
}

/** Resolves with the response, or rejects with `RequestFailed`. */
export type HttpClient = (request: HttpRequest) => Promise<HttpResponse>

/** For requests that end by themselves or by their time limit. */
const never = new AbortController().signal

type Dependencies = { readonly fetch: typeof globalThis.fetch; readonly clock: Clock }

/** Reads to the end, or stops at the limit, because the announced length cannot be trusted. */
const readBody = async (response: Response, maxBytes: number): Promise<Uint8Array> => {
  if (response.body === null) return new Uint8Array()
  const chunks: Uint8Array[] = []
  let length = 0
  // Leaving the loop early, also by the throw, ends the stream and its connection.
  for await (const chunk of response.body) {
    length += chunk.byteLength
    if (length > maxBytes) throw new RequestFailed(`longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}

/**
 * Requests with a time limit, a size limit and no redirects: a redirect could send the client's secret, or the request for the keys, to
 * another server. Rejects with `RequestFailed` without a usable response. The caller checks the status.
 */
export const createHttpClient =
  ({ fetch, clock }: Dependencies): HttpClient =>
  async ({ method, url, headers, body, timeoutMs, maxBytes, signal }) => {
    try {
      return await callWithin(clock, timeoutMs, signal ?? never, async (inner) => {
        const init = { method, headers, redirect: 'error', signal: inner } as const
        const response = await fetch(url, body === undefined ? init : { ...init, body })
        return {
          status: response.status,
          headers: response.headers,
          body: await readBody(response, maxBytes),
        }
      })
    } catch (error) {
      throw new RequestFailed(`${method} ${url} failed`, { cause: error })
    }
  }

/** The media type of a response, without parameters and in lower case. Empty when there is none. */
export const mediaTypeOf = ({ headers }: HttpResponse): string =>
  (headers.get('content-type') ?? '').split(';', 1).join('').trim().toLowerCase()

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** @throws {RequestFailed} for bytes that are not UTF-8 */
export const textOf = ({ body }: HttpResponse): string => {
  try {
    return utf8.decode(body)
  } catch (error) {
    throw new RequestFailed('a response that is not UTF-8', { cause: error })
  }
}
