import type { Clock } from '../clock.ts'
import type { ClientCredential } from '../http/basic-auth.ts'
import { basicAuth } from '../http/basic-auth.ts'
import {
  type HttpClient,
  type HttpResponse,
  mediaTypeOf,
  RequestFailed,
  textOf,
} from '../http/http-client.ts'
import { FeedGapError, type FeedSource } from '../replica.ts'
import { decodeFeedBinary, decodeFeedJson, type FeedPage, feedBinaryMediaType } from '../wire.ts'
import { watchClock } from './clock-watch.ts'

type Dependencies = {
  readonly http: HttpClient
  /** The address of Cardea, without a slash at the end. */
  readonly endpoint: string
  readonly client: ClientCredential
  readonly clock: Pick<Clock, 'nowMs'>
  /** Called when this machine's clock and the feed's begin to differ. */
  readonly onClockDiffers: (error: Error) => void
}

/** Several million entries of 20 to 30 bytes. */
const maxBytes = 256 * 1024 * 1024

/** The replica gives up much earlier, because of its lease. This limits a source that is used without one. */
const timeoutMs = 65_000

const pageOf = (response: HttpResponse): FeedPage => {
  const mediaType = mediaTypeOf(response)
  if (mediaType === feedBinaryMediaType) return decodeFeedBinary(response.body)
  // From a proxy in front of Cardea, or from another version of Cardea.
  if (mediaType === 'application/json') return decodeFeedJson(textOf(response))
  throw new RequestFailed(`the feed responded with media type ${mediaType || 'none'}`)
}

const checkStatus = ({ status }: HttpResponse): void => {
  if (status === 200) return
  if (status === 410) throw new FeedGapError('the feed no longer knows the cursor')
  const hint = status === 401 || status === 403 ? '; is the client id and secret right?' : ''
  throw new RequestFailed(`the feed responded ${status}${hint}`)
}

/** Reads Cardea's feed over HTTP as a service client, in the binary form if the other side supports it. */
export const createHttpFeedSource = (deps: Dependencies): FeedSource => {
  const { http, endpoint, client, clock } = deps
  const lookAtClock = watchClock(clock, deps.onClockDiffers)
  const headers = {
    authorization: basicAuth(client),
    accept: `${feedBinaryMediaType}, application/json;q=0.5`,
  }

  const ask = async (path: string, signal: AbortSignal): Promise<FeedPage> => {
    const url = `${endpoint}${path}`
    const askedAtMs = clock.nowMs()
    const response = await http({ method: 'GET', url, headers, timeoutMs, maxBytes, signal })
    checkStatus(response)
    lookAtClock(response.headers.get('date'), askedAtMs)
    return pageOf(response)
  }

  return {
    snapshot: (signal) => ask('/revocations/snapshot', signal),
    changes: (cursor, waitSeconds, signal) => {
      const query = new URLSearchParams({ cursor, wait: String(waitSeconds) })
      return ask(`/revocations?${query}`, signal)
    },
  }
}
