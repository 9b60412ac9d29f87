import {
  encodeFeedJson,
  type FeedPage,
  type RevocationEntry,
} from '../../packages/verifier/src/wire.ts'
import { serveHttp } from '../support/servers/http-server.ts'

export type ScriptedAnswer = {
  readonly status?: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Holds the answer this long. */
  readonly afterMs?: number
}

export type ScriptedFeed = {
  readonly address: string
  /** What it answers from now on; the cursor is undefined when a snapshot is asked for. */
  answer: (cursor: string | undefined) => ScriptedAnswer
  /** Addresses and credentials of all requests so far. */
  readonly asked: {
    readonly url: string
    readonly authorization: string | undefined
    /** By `performance.now()`. */
    readonly atMs: number
  }[]
  readonly stop: () => Promise<void>
}

export const page = (
  entries: readonly RevocationEntry[],
  changes: Partial<FeedPage> = {},
): ScriptedAnswer => ({
  body: encodeFeedJson({ feedId: 'log-1', cursor: '1', entries, ...changes }),
})

/** A feed that says what a test wants it to. Questions for changes are held for a moment, as Cardea holds them when nothing is new. */
export const scriptedFeed = async (): Promise<ScriptedFeed> => {
  const asked: ScriptedFeed['asked'] = []
  const { address, stop } = await serveHttp((request, response) => {
    const url = new URL(request.url ?? '/', 'http://feed')
    const { authorization } = request.headers
    asked.push({ url: request.url ?? '', authorization, atMs: performance.now() })
    const cursor = url.searchParams.get('cursor') ?? undefined
    const { status = 200, body = '', headers, afterMs } = feed.answer(cursor)
    const send = () =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
    setTimeout(send, afterMs ?? (cursor === undefined ? 0 : 20))
  })
  const feed: ScriptedFeed = { address, answer: () => page([]), asked, stop }
  return feed
}
