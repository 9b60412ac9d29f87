import { expect, test } from 'vitest'
import {
  encodeFeedBinary,
  encodeFeedJson,
  type FeedPage,
  type RevocationEntry,
} from '../../packages/verifier/src/wire.ts'
import { packedEntries } from '../../src/revocation/postgres-read-log.ts'
import { binaryOf, jsonOf } from '../../src/revocation/revocation-feed.ts'
import { seeded } from '../support/run/seeded.ts'
import { idNamed } from '../support/service/named-id.ts'

const { next } = seeded()

const someEntry = (place: number): RevocationEntry => {
  const notAfter = 1_900_000_000 + place
  const id = idNamed(`entry ${place}`)
  const entries: RevocationEntry[] = [
    { kind: 'jti', key: id, minEpoch: undefined, notAfter },
    { kind: 'sub', key: id, minEpoch: place, notAfter },
    {
      kind: 'kid',
      key: Buffer.alloc(32, place).toString('base64url'),
      minEpoch: undefined,
      notAfter,
    },
    { kind: 'everyone', key: '', minEpoch: 2 ** 33 + place, notAfter },
  ]
  return entries[next(entries.length)]!
}

const pageOf = (count: number): FeedPage => ({
  feedId: '7312-1-9',
  cursor: '123',
  entries: Array.from({ length: count }, (_, place) => someEntry(place)),
})

test.each([0, 1, 4_999, 5_000, 5_001, 12_345])(
  'a page of %i entries, encoded with pauses, is byte for byte the page that the package encodes',
  async (count) => {
    const page = pageOf(count)
    expect((await jsonOf(page)).equals(Buffer.from(encodeFeedJson(page)))).toBe(true)
    expect((await binaryOf(page)).equals(encodeFeedBinary(page))).toBe(true)
  },
)

test('others get a turn while a large page is encoded', async () => {
  let turns = 0
  const timer = setInterval(() => {
    turns += 1
  }, 0)
  await jsonOf(pageOf(50_000))
  clearInterval(timer)
  expect(turns).toBeGreaterThan(1)
})

test('packed entries are the entries that were packed, as often as one looks', () => {
  const { entries, add } = packedEntries()
  expect([entries.length, [...entries]]).toEqual([0, []])
  const all = [...pageOf(1_000).entries]
  add(all.slice(0, 300))
  add([])
  add(all.slice(300))
  expect(entries).toHaveLength(1_000)
  expect([...entries]).toEqual(all)
  expect([...entries]).toEqual(all)
})
