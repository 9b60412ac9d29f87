import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { answerCalls } from '../calls.ts'
import { issuer } from '../database.ts'
import {
  createReplica,
  createRevocationSet,
  createVerifier,
  decodeFeedBinary,
  encodeFeedBinary,
} from '../shipped-verifier.ts'
import type { ClientCredential } from './server.ts'

export type Loaded = {
  readonly seconds: number
  /** For one lookup. */
  readonly coversNs: number
}

const idBytes = 16
/** Enough to look up entries all over the tables and not only a few that stay in the processor's caches. */
const questions = 200_000

const clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (ms: number, signal?: AbortSignal): Promise<void> => {
    await sleep(ms, undefined, { signal }).catch(() => undefined)
  },
}

const idsIn = (bytes: Buffer) => (place: number) =>
  bytes.toString('base64url', place * idBytes, (place + 1) * idBytes)

/** Half tokens, half sessions. */
const kindOf = (place: number) => (place % 2 === 0 ? 'jti' : 'sid')

/** A page in the feed format. It is made entry by entry, because a million objects would disturb the measurement. */
const pageOf = (count: number, idAt: (place: number) => string): Uint8Array => {
  const notAfter = Math.floor(Date.now() / 1000) + 3600
  const entries = {
    length: count,
    *[Symbol.iterator]() {
      for (let place = 0; place < count; place += 1) {
        yield { kind: kindOf(place), key: idAt(place), minEpoch: undefined, notAfter } as const
      }
    },
  }
  return encodeFeedBinary({ feedId: 'bench-1', cursor: '1', entries })
}

/** The facts of tokens. Every second one is revoked, by its own id or by its session's. */
const factsOf = (count: number, idAt: (place: number) => string) => {
  const other = idsIn(randomBytes(3 * questions * idBytes))
  return Array.from({ length: questions }, (_, turn) => {
    // A prime step visits the entries in an order that is unrelated to their places in the tables.
    const place = (turn * 611_953) % count
    const isRevoked = turn % 2 === 0
    const pick = (kind: 'jti' | 'sid', else_: string) =>
      isRevoked && kindOf(place) === kind ? idAt(place) : else_
    return {
      isRevoked,
      facts: {
        jti: pick('jti', other(3 * turn)),
        sid: pick('sid', other(3 * turn + 1)),
        sub: other(3 * turn + 2),
        kid: 'cYkVp0YdsO7zr1mCqn3Vb1mAV7VsnTTnlGkbpHYoDhs',
        aep: [0, 0, 0] as const,
      },
    }
  })
}

/** Waits forever, because nothing is new. */
const quiet = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('not asked any more')))
  })

let page: Uint8Array = new Uint8Array()
let asked: ReturnType<typeof factsOf> = []

const calls = {
  /** Makes this many entries. Returns the memory of the set that holds them, bytes. */
  prepare: (count: number): number => {
    const idAt = idsIn(randomBytes(count * idBytes))
    page = pageOf(count, idAt)
    asked = factsOf(count, idAt)
    const set = createRevocationSet()
    for (const entry of decodeFeedBinary(page).entries) set.add(entry)
    return set.bytes
  },
  /** The bytes exist already. The measurement is what a new replica does with them until it can be queried. */
  load: async (_: null): Promise<Loaded> => {
    const replica = createReplica({
      clock,
      fraction: Math.random,
      source: {
        snapshot: async () => decodeFeedBinary(page),
        changes: (_cursor, _waitSeconds, signal) => quiet(signal),
      },
    })
    const startMs = performance.now()
    replica.start()
    await replica.ready()
    const askedMs = performance.now()
    for (const { facts, isRevoked } of asked) {
      if ((replica.revokedBy(facts) !== undefined) !== isRevoked) throw new Error('a wrong answer')
    }
    const coversNs = ((performance.now() - askedMs) * 1e6) / questions
    await replica.close()
    return { seconds: (askedMs - startMs) / 1000, coversNs }
  },
  /** Starts a complete verifier over HTTP. Returns the seconds until it is ready. */
  follow: async (input: { address: string; client: ClientCredential }): Promise<number> => {
    const { address: endpoint, client } = input
    const startMs = performance.now()
    const verifier = createVerifier({ issuer, audience: issuer, endpoint, client })
    await verifier.ready(AbortSignal.timeout(60_000))
    const seconds = (performance.now() - startMs) / 1000
    await verifier.close()
    return seconds
  },
}

export type LoadingSnapshotCalls = typeof calls

answerCalls(calls)
