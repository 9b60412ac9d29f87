import { decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { startVerifier, type VerifierProcess } from '../support/verifier/verifier-process.ts'
import {
  expectKeptPromises,
  type Promised,
  revokeAt,
} from '../support/verifier/verifier-revocations.ts'
import { mintTokens, openingFor, type TestToken } from '../support/verifier/verifier-tokens.ts'
import { inLanes } from './race.ts'

const revocations = 1_000
const replicas = 10
/** The last tokens are not revoked one by one: that the others are refused would mean nothing if all were. */
const survivors = 5
/** Each replica may use this much of one processor for its questions, or the service would get nothing. */
const share = 0.05

let cardea: Cardea
let operator: string
let tokens: TestToken[]
let verifiers: VerifierProcess[]

/** One in four with the rest of its session. */
const isRevokedBySession = (place: number): boolean => place % 4 === 0

/** The tokens were minted for sessions that do not exist, and only one that exists can be revoked. They get rows like that of the login. */
const openSessions = (minted: readonly TestToken[]) =>
  sqlAs(cardea.stores.migrateUrl)(
    `INSERT INTO sessions SELECT (jsonb_populate_record(NULL::sessions, to_jsonb(known) || jsonb_build_object('id', sid::text))).*
      FROM (SELECT * FROM sessions LIMIT 1) known, unnest($1::bytea[]) sid`,
    [minted.map(({ sid }) => Buffer.from(sid, 'base64url'))],
  )

beforeAll(async () => {
  cardea = await startCardea({ instances: 2 })
  operator = await cardea.operatorToken()
  tokens = await mintTokens(cardea, revocations + survivors)
  await openSessions(tokens.filter((_, place) => isRevokedBySession(place)))
  const openings = [
    await openingFor(cardea, cardea.clientOf(0).address),
    await openingFor(cardea, cardea.clientOf(1).address),
  ]
  verifiers = await Promise.all(
    Array.from({ length: replicas }, (_, place) => startVerifier(openings[place % 2]!)),
  )
  await Promise.all(verifiers.map(({ call }) => call('ready')))
  const texts = tokens.map(({ token }) => token)
  await Promise.all(verifiers.map(({ watch }) => watch(texts, share)))
})
afterAll(async () => {
  await Promise.all(verifiers.map(({ stop }) => stop()))
  await cardea.stop()
})

test(`R73: of ${revocations} revocations not one token is accepted after its effective_by by any of ${replicas} replicas in processes of their own`, async () => {
  const promises: Promised[] = []
  await inLanes(4, revocations, async (lane, place) => {
    const { jti, sid } = tokens[place]!
    const target = isRevokedBySession(place) ? { sid } : { jti }
    promises[place] = await revokeAt(cardea.clientOf(lane % 2), operator, target)
  })
  for (const verifier of verifiers) {
    await expectKeptPromises(verifier, promises)
    for (const { token } of tokens.slice(revocations)) {
      expect(await verifier.verdict(token)).toBe('accepted')
    }
    // By following, and not by starting over.
    expect((await verifier.call('history')).snapshots).toEqual(['first'])
  }
})

test('R73, R79: once the signing key is revoked every replica refuses what is left by effective_by, though its key set still has the key', async () => {
  const { kid } = decodeProtectedHeader(tokens[0]!.token)
  const { effectiveByMs } = await revokeAt(cardea.client, operator, { kid })
  for (const { watched } of verifiers) {
    const ofSurvivors = async () => (await watched()).slice(revocations)
    const areRefused = async () =>
      (await ofSurvivors()).every(({ refusedWith }) => refusedWith === 'token_revoked')
    await vi.waitUntil(areRefused, { interval: 25 })
    for (const seen of await ofSurvivors()) {
      expect(seen.lastAcceptedAtMs).toBeLessThan(effectiveByMs)
      expect(seen).toMatchObject({ revived: 0, acceptedInDoubt: 0 })
    }
  }
})
