import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { decodeFeedJson, type FeedPage } from '../../packages/verifier/src/wire.ts'
import { openRevocation } from '../support/servers/open-revocation.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { basicHeader } from '../support/service/service-client.ts'
import type { Opening } from '../support/verifier/verifier-child.ts'
import { startVerifier, type VerifierProcess } from '../support/verifier/verifier-process.ts'
import { revokeAt } from '../support/verifier/verifier-revocations.ts'
import { mintTokens, openingFor } from '../support/verifier/verifier-tokens.ts'

let cardea: Cardea
let operator: string
let opening: Opening
let verifier: VerifierProcess

beforeAll(async () => {
  cardea = await startCardea({ instances: 2 })
  operator = await cardea.operatorToken()
  opening = await openingFor(cardea)
  verifier = await startVerifier(opening)
  await verifier.call('ready')
})
afterAll(async () => {
  await verifier.stop()
  await cardea.stop()
})

const ask = async (path: string): Promise<FeedPage> => {
  const { id, secret } = opening.client
  const headers = { authorization: basicHeader(id, secret) }
  const answer = await cardea.client.get(`/revocations${path}`, { headers })
  expect(answer.status, answer.text).toBe(200)
  return decodeFeedJson(answer.text)
}

const keysIn = ({ entries }: FeedPage): string[] => [...entries].map(({ key }) => key)

test('R76, late commit: what a transaction held open while cursors went on past it is delivered over HTTP once it commits, and refused', async () => {
  const [late, ...others] = await mintTokens(cardea, 6)
  if (!late) throw new Error('no tokens')
  await verifier.watch([late, ...others].map(({ token }) => token))
  let { cursor } = await ask('/snapshot')
  const cursors = [cursor]
  const held = await openRevocation(cardea.stores.databaseUrl, 'jti', late.jti)

  for (const [place, { token, jti }] of others.entries()) {
    await revokeAt(cardea.clientOf(place % 2), operator, { jti })
    // It has read past the open transaction: this one committed later, and is known.
    await vi.waitUntil(async () => (await verifier.verdict(token)) === 'token_revoked')
    const page = await ask(`?cursor=${cursor}`)
    expect(keysIn(page)).toContain(jti)
    expect(keysIn(page)).not.toContain(late.jti)
    cursor = page.cursor
    cursors.push(cursor)
  }
  expect(keysIn(await ask('/snapshot'))).not.toContain(late.jti)
  expect(await verifier.verdict(late.token)).toBe('accepted')

  await held.commit()
  const committedAtMs = Date.now()
  for (const from of cursors) expect(keysIn(await ask(`?cursor=${from}`))).toContain(late.jti)
  const isRefused = async () => (await verifier.verdict(late.token)) === 'token_revoked'
  // Nobody was told of this commit: only that the verifier asks again all the time brings it.
  await vi.waitUntil(isRefused, { interval: 10 })
  const [seen] = await verifier.watched()
  expect(seen?.lastAcceptedAtMs).toBeLessThan(committedAtMs + 5_000)
  expect(seen).toMatchObject({ revived: 0, acceptedInDoubt: 0 })
  // And without another snapshot, which would have hidden a cursor that loses rows.
  expect((await verifier.call('history')).snapshots).toEqual(['first'])
})
