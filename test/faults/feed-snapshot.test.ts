import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { feedBinaryMediaType } from '../../packages/verifier/src/wire.ts'
import { maxChanges } from '../../src/revocation/postgres-read-log.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Fate, type Observer, startTcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { basicHeader } from '../support/service/service-client.ts'
import type { Opening } from '../support/verifier/verifier-child.ts'
import { startVerifier } from '../support/verifier/verifier-process.ts'
import { expectKeptPromises, revokeAt } from '../support/verifier/verifier-revocations.ts'
import { mintTokens, openingFor } from '../support/verifier/verifier-tokens.ts'

let cardea: Cardea
let operator: string

beforeAll(async () => {
  cardea = await startCardea()
  operator = await cardea.operatorToken()
})
afterAll(() => cardea.stop())

/** Rows as the service writes them, of sessions that nobody has. */
const addRevocations = (count: number) =>
  sqlAs(cardea.stores.migrateUrl)(
    `INSERT INTO revocations (kind, key, not_after, actor, reason, created_at)
     SELECT 'sid', translate(encode(decode(md5(random()::text), 'hex'), 'base64'), '+/=', '-_'),
       now() + interval '970 s', 'somebody', 'their own', now() FROM generate_series(1, $1)`,
    [count],
  )

/** How long the body of a snapshot is now, bytes. */
const snapshotBytes = async ({ endpoint, client }: Opening): Promise<number> => {
  const headers = {
    authorization: basicHeader(client.id, client.secret),
    accept: feedBinaryMediaType,
  }
  const answer = await fetch(`${endpoint}/revocations/snapshot`, { headers })
  return (await answer.arrayBuffer()).byteLength
}

/** Cuts the answers to the next snapshots at these places, bytes after their first, one after the other; those after that pass. */
const cutSnapshots = (places: readonly number[]) => {
  let next = 0
  const observe = (): Observer => {
    let leftBytes: number | undefined
    return {
      onClientBytes: (bytes) => {
        if (!bytes.includes('GET /revocations/snapshot ')) return
        leftBytes = places[next]
        next += 1
      },
      onServerBytes: (bytes): Fate => {
        if (leftBytes === undefined) return 'pass'
        if (bytes.length >= leftBytes) return { cutAfterBytes: leftBytes }
        leftBytes -= bytes.length
        return 'pass'
      },
    }
  }
  return { observe, asked: () => next }
}

/** In the status line, after the head, in the middle, and a few entries before the end. */
const placesIn = (bytes: number): number[] => [5, 1_500, Math.floor(bytes / 2), bytes - 100]

const startBehind = async (observe: () => Observer) => {
  const proxy = await startTcpProxy(cardea.client.address, observe)
  onTestFinished(proxy.stop)
  const verifier = await startVerifier(await openingFor(cardea, `http://127.0.0.1:${proxy.port}`))
  onTestFinished(verifier.stop)
  return { proxy, verifier }
}

test('R75: a verifier whose snapshot is cut off, wherever, is not ready and accepts nothing, until it has a whole one', async () => {
  await addRevocations(20_000)
  const [doomed, spared] = await mintTokens(cardea, 2)
  if (!doomed || !spared) throw new Error('no tokens')
  // The last entry: whoever takes a part of the snapshot for all of it does not have it.
  await revokeAt(cardea.client, operator, { jti: doomed.jti })
  const places = placesIn(await snapshotBytes(await openingFor(cardea)))
  const line = cutSnapshots(places)
  const { verifier } = await startBehind(line.observe)
  await verifier.call('watch', { tokens: [doomed.token, spared.token], share: 0.1 })

  await vi.waitUntil(() => line.asked() === places.length, { interval: 1 })
  expect(await verifier.call('state')).toBe('LOADING')
  const early = await verifier.watched()
  expect(early.map(({ accepted, refusedWith }) => [accepted, refusedWith])).toEqual([
    [0, 'not_ready'],
    [0, 'not_ready'],
  ])

  await verifier.whenState('FRESH')
  expect(line.asked()).toBe(places.length + 1)
  expect(await verifier.verdict(spared.token)).toBe('accepted')
  expect(await verifier.verdict(doomed.token)).toBe('token_revoked')
  expect((await verifier.watched())[0]?.accepted).toBe(0)
  const { states, snapshots, errors } = await verifier.call('history')
  expect([states, snapshots]).toEqual([['FRESH'], ['first']])
  expect(errors).toBeGreaterThanOrEqual(places.length)
})

test('R73, R76: a verifier that missed too much to go on is not FRESH on a part of the next snapshot either', async () => {
  let isFrozen = false
  const opening = await openingFor(cardea)
  const places = placesIn(await snapshotBytes(opening))
  const line = cutSnapshots([Number.POSITIVE_INFINITY, ...places])
  const { verifier } = await startBehind(() => {
    const { onClientBytes, onServerBytes } = line.observe()
    return {
      onClientBytes: (bytes) => onClientBytes?.(bytes),
      onServerBytes: (bytes) => (isFrozen ? 'lose' : (onServerBytes?.(bytes) ?? 'pass')),
    }
  })
  await verifier.call('ready')
  const [doomed, spared] = await mintTokens(cardea, 2)
  if (!doomed || !spared) throw new Error('no tokens')
  await verifier.watch([doomed.token, spared.token])

  isFrozen = true
  await addRevocations(maxChanges + 1)
  const promised = await revokeAt(cardea.client, operator, { jti: doomed.jti })
  await verifier.whenState('STALE')
  isFrozen = false
  await vi.waitUntil(() => line.asked() === 1 + places.length, { interval: 1 })
  expect(await verifier.call('state')).toBe('STALE')

  await verifier.whenState('FRESH')
  expect(await verifier.verdict(spared.token)).toBe('accepted')
  await expectKeptPromises(verifier, [promised])
  expect((await verifier.watched())[1]?.acceptedInDoubt).toBe(0)
  const { states, snapshots } = await verifier.call('history')
  expect(states).toEqual(['FRESH', 'STALE', 'FRESH'])
  expect(snapshots).toEqual(['first', 'gap'])
})
