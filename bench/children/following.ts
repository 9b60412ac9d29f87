import { setTimeout as sleep } from 'node:timers/promises'
import { answerCalls } from '../calls.ts'
import { issuer } from '../database.ts'
import { createVerifier, type Verifier } from '../shipped-verifier.ts'
import type { ClientCredential } from './server.ts'

type Following = {
  readonly address: string
  readonly client: ClientCredential
  readonly verifiers: number
}

/** How often each verifier checks a watched token. */
const askEveryMs = 1

/** Gives up after this: twice the promised bound, so each verifier must have refused long before. */
const longestMs = 10_000

let verifiers: readonly Verifier[] = []
let watched: Promise<number[]> = Promise.resolve([])

/** A clock that all processes of one machine share: milliseconds since the Unix epoch, with fractions. */
const nowMs = (): number => performance.timeOrigin + performance.now()

const accepts = async (verifier: Verifier, token: string): Promise<boolean> => {
  try {
    await verifier.verify(token)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'token_revoked') return false
    throw error
  }
}

/** Checks repeatedly until the token is refused. Returns when it was last accepted. */
const lastAcceptance = async (verifier: Verifier, token: string): Promise<number> => {
  const endMs = nowMs() + longestMs
  let acceptedAtMs = 0
  while (await accepts(verifier, token)) {
    acceptedAtMs = nowMs()
    if (acceptedAtMs > endMs) throw new Error('a revoked token is still accepted')
    await sleep(askEveryMs)
  }
  return acceptedAtMs
}

/** Several verifiers in one process, each with its own replica and connection to the feed, like separate services. */
const calls = {
  open: async ({ address, client, verifiers: count }: Following): Promise<void> => {
    verifiers = Array.from({ length: count }, () =>
      createVerifier({ issuer, audience: issuer, endpoint: address, client }),
    )
    await Promise.all(verifiers.map(async (verifier) => await verifier.ready()))
  },
  /** Resolves when every verifier has accepted the token once. From then on each checks it continuously. */
  watch: async (token: string): Promise<void> => {
    for (const verifier of verifiers) await verifier.verify(token)
    watched = Promise.all(verifiers.map(async (verifier) => await lastAcceptance(verifier, token)))
    // `refused`, which is called later, reports its failure.
    watched.catch(() => undefined)
  },
  /** Resolves when every verifier has refused the token, with the time when each last accepted it. */
  refused: async (_: null): Promise<number[]> => await watched,
}

export type FollowingCalls = typeof calls

answerCalls(calls, async () => {
  await Promise.all(verifiers.map(async (verifier) => await verifier.close()))
})
