import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import {
  type CryptoKey,
  calculateJwkThumbprint,
  decodeJwt,
  exportJWK,
  generateKeyPair,
  SignJWT,
} from 'jose'
import type { AccessTokenClaims } from '../../src/index.ts'
import type { FeedPage, RevocationEntry } from '../../src/wire.ts'
import { encodeFeedBinary, encodeFeedJson, feedBinaryMediaType } from '../../src/wire.ts'

export const newId = (): string => randomBytes(16).toString('base64url')

/** What a token says unless a test says otherwise; `null` leaves a claim out. */
export type ClaimChanges = { readonly [Name in keyof AccessTokenClaims]?: unknown }

/** A small real issuer: keys, the feed and introspection over HTTP, as Cardea serves them. */
export type TestIssuer = {
  /** The `iss`, and where it is reached. */
  readonly url: string
  readonly audience: string
  readonly client: { readonly id: string; readonly secret: string }
  readonly kid: string
  /** Everything that was asked, as `GET /revocations`. */
  readonly requests: readonly string[]
  readonly token: (claims?: ClaimChanges, header?: Record<string, unknown>) => Promise<string>
  /** Puts entries into the log; those who wait for news are answered at once. */
  readonly revoke: (...entries: readonly RevocationEntry[]) => void
  /** While away, every connection is cut as soon as it asks. */
  readonly setAway: (isAway: boolean) => void
  readonly stop: () => Promise<void>
}

type Answer = { readonly status: number; readonly type: string; readonly body: string | Uint8Array }

const json = (status: number, value: unknown, type = 'application/json'): Answer => ({
  status,
  type,
  body: JSON.stringify(value),
})

/** The log and those who wait for it to grow. */
const createLog = () => {
  const feedId = `${randomUUID()}-1`
  const entries: RevocationEntry[] = []
  const waiting = new Set<() => void>()

  const news = (waitMs: number) =>
    new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, waitMs)
      waiting.add(wake)
    })

  const wakeAll = () => {
    for (const wake of waiting) wake()
  }

  return {
    entries,
    wakeAll,
    news,
    pageFrom: (cursor: number): FeedPage => ({
      feedId,
      cursor: String(entries.length),
      entries: entries.slice(cursor),
    }),
    add: (added: readonly RevocationEntry[]) => {
      entries.push(...added)
      wakeAll()
    },
  }
}

type Log = ReturnType<typeof createLog>

const page = (request: IncomingMessage, found: FeedPage): Answer =>
  request.headers.accept?.includes(feedBinaryMediaType)
    ? { status: 200, type: feedBinaryMediaType, body: encodeFeedBinary(found) }
    : { status: 200, type: 'application/json', body: encodeFeedJson(found) }

const changes = async (request: IncomingMessage, url: URL, log: Log): Promise<Answer> => {
  const cursor = Number(url.searchParams.get('cursor') ?? Number.NaN)
  if (!Number.isInteger(cursor) || cursor > log.entries.length) {
    return json(410, { code: 'cursor_unknown' }, 'application/problem+json')
  }
  const waitMs = Number(url.searchParams.get('wait') ?? 0) * 1000
  if (cursor === log.entries.length && waitMs > 0) await log.news(waitMs)
  return page(request, log.pageFrom(cursor))
}

const introspect = async (request: IncomingMessage, log: Log): Promise<Answer> => {
  const token = new URLSearchParams(await text(request)).get('token') ?? ''
  const { jti, sid } = decodeJwt<AccessTokenClaims>(token)
  const isRevoked = log.entries.some(({ key }) => key === jti || key === sid)
  return json(200, isRevoked ? { active: false } : { active: true, jti })
}

const wholeSecond = () => Math.floor(Date.now() / 1000)

const newKey = async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  return { privateKey, kid, jwks: { keys: [{ ...jwk, kid, use: 'sig', alg: 'ES256' }] } }
}

type Minting = { readonly url: string; readonly audience: string; readonly kid: string }

/** Without whitespace and in this order, as Cardea writes them. */
const mint = (
  { url, audience, kid }: Minting,
  key: CryptoKey,
  changed: ClaimChanges,
  header: Record<string, unknown>,
): Promise<string> => {
  const issuedAt = wholeSecond()
  const claims = {
    iss: url,
    sub: newId(),
    aud: audience,
    client_id: 'web',
    iat: issuedAt,
    exp: issuedAt + 900,
    jti: newId(),
    sid: newId(),
    aep: [1, 1, 1],
    auth_time: issuedAt,
    amr: ['pwd'],
    acr: 'aal1',
    scope: '',
    roles: [],
    ...changed,
  }
  const kept = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== null))
  return new SignJWT(kept)
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid, ...header })
    .sign(key)
}

const send = (response: ServerResponse, { status, type, body }: Answer): void => {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
}

export const startIssuer = async (): Promise<TestIssuer> => {
  const { privateKey, kid, jwks } = await newKey()
  const client = { id: 'orders', secret: randomBytes(32).toString('base64url') }
  const basic = `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}`
  const log = createLog()
  const requests: string[] = []
  let isAway = false

  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const url = new URL(request.url ?? '/', 'http://issuer')
    const asked = `${request.method} ${url.pathname}`
    requests.push(asked)
    if (asked === 'GET /.well-known/jwks.json') return json(200, jwks, 'application/jwk-set+json')
    if (request.headers.authorization !== basic) return json(401, { code: 'invalid_client' })
    if (asked === 'GET /revocations/snapshot') return page(request, log.pageFrom(0))
    if (asked === 'GET /revocations') return await changes(request, url, log)
    if (asked === 'POST /oauth/introspect') return await introspect(request, log)
    return json(404, { code: 'not_found' })
  }

  const server = createServer((request, response) => {
    if (isAway) {
      request.socket.destroy()
      return
    }
    answer(request).then(
      (found) => send(response, found),
      () => send(response, json(500, { code: 'internal_error' })),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the issuer has no port')
  const url = `http://127.0.0.1:${address.port}`
  const audience = 'https://orders.example.com'

  return {
    url,
    audience,
    client,
    kid,
    requests,
    token: (claims = {}, header = {}) => mint({ url, audience, kid }, privateKey, claims, header),
    revoke: (...entries) => log.add(entries),
    setAway: (away) => {
      isAway = away
      if (away) server.closeAllConnections()
    },
    stop: async () => {
      log.wakeAll()
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
