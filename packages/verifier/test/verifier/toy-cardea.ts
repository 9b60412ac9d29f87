import type { IncomingMessage, ServerResponse } from 'node:http'
import { onTestFinished } from 'vitest'
import {
  createVerifier,
  type Verifier,
  VerifierError,
  type VerifierErrorCode,
  type VerifierOptions,
} from '../../src/index.ts'
import { systemClock } from '../../src/system-clock.ts'
import { encodeFeedBinary, feedBinaryMediaType, type RevocationEntry } from '../../src/wire.ts'
import { type Answer, jwks, send, startServer } from '../keys/jwks-server.ts'
import {
  audience,
  forge,
  goodClaims,
  headerOf,
  newKey,
  type TestKey,
} from '../tokens/signed-tokens.ts'

export const client = { id: 'orders', secret: 'the-secret-of-orders' }

const credential = `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}`

type Feed = {
  feedId: string
  /** The whole log; a cursor is a place in it. */
  log: RevocationEntry[]
  /** Cursors below this are no longer known. */
  oldest: number
}

type Toy = {
  readonly keys: TestKey[]
  readonly feed: Feed
  /** `up` answers, `down` says 503, `frozen` holds every connection open and says nothing. */
  mode: 'up' | 'down' | 'frozen'
  introspection: Answer | 'frozen'
  /** The bodies of the questions about tokens. */
  readonly introspected: string[]
}

const page = ({ feedId, log }: Feed, from: number): Answer => ({
  headers: { 'content-type': feedBinaryMediaType, 'cache-control': 'no-store' },
  body: Buffer.from(
    encodeFeedBinary({ feedId, cursor: String(log.length), entries: log.slice(from) }),
  ),
})

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += chunk
  return body
}

/** Holds the answer until there is something new, as the real feed does. */
const whenChanged = async (toy: Toy, from: number, waitSeconds: number): Promise<void> => {
  const untilMs = performance.now() + waitSeconds * 1000
  while (toy.feed.log.length === from && toy.mode === 'up' && performance.now() < untilMs) {
    await systemClock.sleep(2)
  }
}

const answerChanges = async (toy: Toy, url: URL): Promise<Answer> => {
  const from = Number(url.searchParams.get('cursor'))
  if (!(from >= toy.feed.oldest && from <= toy.feed.log.length)) return { status: 410 }
  await whenChanged(toy, from, Number(url.searchParams.get('wait')))
  return page(toy.feed, from)
}

const answerIntrospection = async (toy: Toy, request: IncomingMessage): Promise<Answer> => {
  toy.introspected.push(await bodyOf(request))
  if (toy.introspection === 'frozen') return await new Promise(() => undefined)
  return toy.introspection
}

const route = async (toy: Toy, request: IncomingMessage): Promise<Answer> => {
  const url = new URL(request.url ?? '', 'http://toy')
  if (url.pathname === '/.well-known/jwks.json') return jwks(toy.keys.map(({ jwk }) => jwk))
  if (request.headers.authorization !== credential) return { status: 401 }
  if (url.pathname === '/revocations/snapshot') return page(toy.feed, 0)
  if (url.pathname === '/revocations') return await answerChanges(toy, url)
  return { status: 404 }
}

/** What a verifier needs of Cardea, on a real port, with a log that a test writes. */
export const startToyCardea = async () => {
  const toy: Toy = {
    keys: [await newKey()],
    feed: { feedId: '7300000000000000001-1', log: [], oldest: 0 },
    mode: 'up',
    introspection: { headers: { 'content-type': 'application/json' }, body: '{"active":true}' },
    introspected: [],
  }
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // Introspection has a mode of its own: it may work while the feed does not.
    if (request.url === '/oauth/introspect' && request.headers.authorization === credential) {
      return send(response, await answerIntrospection(toy, request))
    }
    const answer = toy.mode === 'up' ? await route(toy, request) : { status: 503 }
    if (toy.mode === 'frozen') return
    send(response, toy.mode === 'up' ? answer : { status: 503 })
  }
  const server = await startServer((request, response) => {
    respond(request, response).catch(() => response.destroy())
  })
  return { ...server, toy, endpoint: server.url }
}

export type ToyCardea = Awaited<ReturnType<typeof startToyCardea>>

/** The real time, which a test can move on at once, or hold: then it only jumps. What sleeps, sleeps really. */
const jumpingClock = () => {
  let ahead = 0
  let { nowMs, monotonicMs } = systemClock
  return {
    nowMs: () => nowMs() + ahead,
    monotonicMs: () => monotonicMs() + ahead,
    sleep: systemClock.sleep,
    jump: (ms: number) => {
      ahead += ms
    },
    hold: () => {
      const [heldNowMs, heldMonotonicMs] = [nowMs(), monotonicMs()]
      nowMs = () => heldNowMs
      monotonicMs = () => heldMonotonicMs
    },
  }
}

export const startVerifier = (cardea: ToyCardea, options: Partial<VerifierOptions> = {}) => {
  const clock = jumpingClock()
  const verifier = createVerifier({ issuer: cardea.endpoint, audience, client, clock, ...options })
  onTestFinished(() => verifier.close())
  return { verifier, clock }
}

/** A token of this Cardea, issued by the clock of the machine. */
export const tokenOf = (
  cardea: ToyCardea,
  changes: Record<string, unknown> = {},
  key: TestKey | undefined = cardea.toy.keys[0],
) => {
  if (key === undefined) throw new Error('no key')
  const iat = Math.floor(systemClock.nowMs() / 1000)
  const claims = goodClaims({ iss: cardea.endpoint, iat, exp: iat + 900, ...changes })
  return { token: forge(key, headerOf(key), claims), claims }
}

/** A row of the log; it ends long after the test. */
export const entryOf = (
  kind: RevocationEntry['kind'],
  key: unknown,
  minEpoch?: number,
): RevocationEntry => ({
  kind,
  key: String(key),
  minEpoch,
  notAfter: Math.floor(systemClock.nowMs() / 1000) + 100_000,
})

/** `accepted`, or the code of the refusal. */
export const verdict = async (
  verifier: Verifier,
  token: string,
  options?: Parameters<Verifier['verify']>[1],
): Promise<VerifierErrorCode | 'accepted'> => {
  try {
    await verifier.verify(token, options)
    return 'accepted'
  } catch (error) {
    if (error instanceof VerifierError) return error.code
    throw error
  }
}
