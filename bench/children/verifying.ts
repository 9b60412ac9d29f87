import type { JsonWebKey } from 'node:crypto'
import { askingRedis, introspecting } from '../asking-verifiers.ts'
import { answerCalls } from '../calls.ts'
import { issuer } from '../database.ts'
import { openConnection } from '../http-connection.ts'
import { otherVerifiers, type Verify } from '../other-verifiers.ts'
import { type Lane, runLanes, type Sample } from '../sample.ts'
import { createVerifier, type Verifier } from '../shipped-verifier.ts'
import { idsOf } from '../tokens.ts'
import type { ClientCredential } from './server.ts'

/** Verified repeatedly: few enough for every cache. */
const seenTokens = 100

/** Smaller than the number of tokens, which come in turn: none is still cached when it comes again, and each is added to the cache. */
const smallCache = 500

/** For variants that wait for another process. */
const requestsAtOnce = 16

/** Fast work is done in batches, so that reading the clock is not measured. */
const batch = 100

/** The share of a round for the times of single verifications. */
const timedShare = 0.25

export type WayToVerify =
  | 'token seen before'
  | 'token seen for the first time'
  | 'jose.jwtVerify'
  | 'jsonwebtoken'
  | 'fast-jwt'
  | 'fast-jwt with its cache'
  | 'jose and Redis EXISTS'
  | 'introspection'

/** Runs as many in parallel as it has lanes, which share its tokens in turn. `next` continues from round to round. */
type Way = { readonly tokens: readonly string[]; readonly lanes: readonly Verify[]; next: number }

type Opening = {
  readonly address: string
  readonly client: ClientCredential
  readonly redisUrl: string
  /** Distinct, and many more than `smallCache`. */
  readonly tokens: readonly string[]
}

let ways: Readonly<Record<WayToVerify, Way>> | undefined
let forgetful: Verifier | undefined
const closing: (() => unknown)[] = []

const keyOf = async (address: string, token: string): Promise<JsonWebKey> => {
  const answer = await fetch(`${address}/.well-known/jwks.json`)
  const { keys } = (await answer.json()) as { readonly keys: readonly JsonWebKey[] }
  const key = keys.find((published) => published['kid'] === idsOf(token).kid)
  if (!key) throw new Error('the key of the tokens is not published')
  return key
}

const ownVerifier = async (
  { address, client }: Opening,
  more: { maxCachedTokens?: number } = {},
): Promise<Verifier> => {
  const verifier = createVerifier({
    issuer,
    audience: issuer,
    endpoint: address,
    client,
    ...more,
  })
  closing.push(verifier.close)
  await verifier.ready()
  return verifier
}

const introspectionLanes = async ({ address, client }: Opening): Promise<Verify[]> => {
  const lanes: Verify[] = []
  for (let lane = 0; lane < requestsAtOnce; lane += 1) {
    const connection = await openConnection(address)
    closing.push(connection.close)
    lanes.push(introspecting(connection, client))
  }
  return lanes
}

const openWays = async (opening: Opening): Promise<Record<WayToVerify, Way>> => {
  const seen = opening.tokens.slice(0, seenTokens)
  const usual = await ownVerifier(opening)
  forgetful = await ownVerifier(opening, { maxCachedTokens: smallCache })
  const others = await otherVerifiers(await keyOf(opening.address, seen[0] ?? ''))
  const redis = await askingRedis(opening.redisUrl, others.jose)
  closing.push(redis.close)
  const alone = (verify: Verify): Way => ({ tokens: seen, lanes: [verify], next: 0 })
  // Variants without a cache get as many different tokens as the one that they are compared with.
  const anew = (verify: Verify): Way => ({ tokens: opening.tokens, lanes: [verify], next: 0 })
  return {
    'token seen before': alone(usual.verify),
    'token seen for the first time': anew(forgetful.verify),
    'jose.jwtVerify': anew(others.jose),
    jsonwebtoken: anew(others.jsonwebtoken),
    'fast-jwt': anew(others.fastJwt),
    'fast-jwt with its cache': alone(others.fastJwtWithCache),
    'jose and Redis EXISTS': {
      tokens: seen,
      lanes: Array(requestsAtOnce).fill(redis.ask),
      next: 0,
    },
    introspection: { tokens: seen, lanes: await introspectionLanes(opening), next: 0 },
  }
}

/** Each turn of a lane verifies this many. */
const lanesOf = (way: Way, each: number): Lane[] =>
  way.lanes.map((verify) => async () => {
    for (let turn = 0; turn < each; turn += 1) {
      const token = way.tokens[way.next % way.tokens.length] ?? ''
      way.next += 1
      const verified = verify(token)
      // Awaiting a synchronous result would cost more than the lookup in the cache.
      if (verified instanceof Promise) await verified
    }
  })

const runWay = async (way: Way, { seconds }: { seconds: number }): Promise<Sample> => {
  if (way.lanes.length > 1) return await runLanes(lanesOf(way, 1), { seconds })
  const rate = await runLanes(lanesOf(way, batch), { seconds: seconds * (1 - timedShare) })
  const times = await runLanes(lanesOf(way, 1), { seconds: seconds * timedShare })
  const { cpuShare } = rate
  return { ...times, count: rate.count * batch, perSecond: rate.perSecond * batch, cpuShare }
}

const calls = {
  open: async (opening: Opening): Promise<void> => {
    ways = await openWays(opening)
  },
  run: async ({ how, seconds }: { how: WayToVerify; seconds: number }): Promise<Sample> => {
    if (!ways) throw new Error('not open')
    const sample = await runWay(ways[how], { seconds })
    if (forgetful?.stats().cacheHits !== 0) throw new Error('a first time was not one')
    return sample
  },
}

export type VerifyingCalls = typeof calls

answerCalls(calls, async () => {
  for (const close of closing) await close()
})
