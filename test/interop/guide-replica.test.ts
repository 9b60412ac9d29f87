import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ForeignProcess } from '../support/programs/foreign-process.ts'
import { entryOf, type Facts, factsOf, newKid, secondsFromNow } from './entries.ts'
import { guidePage, runGuide } from './guide-code.ts'
import { page, type ScriptedFeed, scriptedFeed } from './scripted-feed.ts'

let feed: ScriptedFeed
let replica: ForeignProcess

beforeEach(async () => {
  feed = await scriptedFeed()
  // Not to be known before a test has said what the feed answers.
  feed.answer = () => ({ status: 503 })
  const code = { page: guidePage, name: 'cardea_replica.py' }
  replica = await runGuide('python', 'replica.py', [code], [feed.address, 'shop', 'a secret: +'])
})
afterEach(async () => {
  await replica?.stop()
  await feed?.stop()
})

const judge = (facts: Facts) => replica.ask(facts)

/** Waits for an answer that has this member, or this member with this value. */
const untilIt = async (facts: Facts, wanted: 'unknown' | 'fresh' | boolean) => {
  await vi.waitUntil(async () => {
    const answer = await judge(facts)
    if (wanted === 'unknown') return 'unknown' in answer
    return wanted === 'fresh' ? 'revoked' in answer : answer.revoked === wanted
  })
}

describe("the guide's copy of what is revoked", () => {
  test('knows nothing before its first snapshot, and asks for it with the credentials of the client', async () => {
    const facts = factsOf()
    expect(await judge(facts)).toHaveProperty('unknown')
    feed.answer = () => page([])
    await untilIt(facts, 'fresh')
    const credentials = Buffer.from('shop:a+secret%3A+%2B').toString('base64')
    expect(feed.asked[0]).toMatchObject({
      url: '/revocations/snapshot',
      authorization: `Basic ${credentials}`,
    })
  })

  test('takes the higher epoch, in whatever order they come', async () => {
    const { sub } = factsOf().claims
    const high = entryOf('sub', { key: sub, minEpoch: 9 })
    const low = entryOf('sub', { key: sub, minEpoch: 5 })
    feed.answer = (cursor) => page(cursor === undefined ? [high, low] : [low])
    await untilIt(factsOf({ sub, aep: [1000, 8, 0] }), true)
    await vi.waitUntil(() => feed.asked.length > 5)
    expect(await judge(factsOf({ sub, aep: [1000, 8, 0] }))).toEqual({ revoked: true })
    expect(await judge(factsOf({ sub, aep: [1000, 9, 0] }))).toEqual({ revoked: false })
  })

  test('does not believe itself complete after a page that is cut off or not understood', async () => {
    const pages = {
      'that ends early': '{"feed_id":"log-1","cursor":"1","entries":[]',
      'without a cursor': '{"feed_id":"log-1","entries":[]}',
      'with a kind that it does not know': pageOfEntry({ kind: 'nbf', key: '' }),
      'with an epoch that is missing': pageOfEntry({ kind: 'everyone', key: '' }),
      'with half an epoch': pageOfEntry({ kind: 'everyone', key: '', min_epoch: 1.5 }),
      'with an id that is cut off': pageOfEntry({ kind: 'sid', key: 'AAECAwQF' }),
    }
    for (const [what, body] of Object.entries(pages)) {
      feed.answer = () => ({ body })
      const before = feed.asked.length
      await vi.waitUntil(() => feed.asked.length > before + 2)
      expect(await judge(factsOf()), what).toHaveProperty('unknown')
    }
  })

  test('counts its 5 seconds from before it asked, however late the answer comes', async () => {
    const facts = factsOf()
    let isLate = true
    feed.answer = (cursor) => {
      if (cursor === undefined) return page([])
      if (!isLate) return { status: 503 }
      isLate = false
      return { ...page([]), afterMs: 2_000 }
    }
    await untilIt(facts, 'fresh')
    await vi.waitUntil(() => !isLate)
    const { atMs = 0 } = feed.asked.at(-1) ?? {}
    await vi.waitUntil(() => performance.now() >= atMs + 5_000)
    expect(await judge(facts)).toHaveProperty('unknown')
  })

  test('follows no redirect, which would take the secret along', async () => {
    const elsewhere = await scriptedFeed()
    try {
      feed.answer = () => ({
        status: 307,
        headers: { location: `${elsewhere.address}/revocations/snapshot` },
      })
      const before = feed.asked.length
      await vi.waitUntil(() => feed.asked.length > before + 2)
      expect(elsewhere.asked).toEqual([])
      expect(await judge(factsOf())).toHaveProperty('unknown')
    } finally {
      await elsewhere.stop()
    }
  })

  test('forgets an entry that has ended, and not before', async () => {
    const facts = factsOf()
    const notAfter = secondsFromNow(2)
    const entry = entryOf('sid', { key: facts.claims.sid, notAfter })
    feed.answer = (cursor) => page(cursor === undefined ? [entry] : [])
    await untilIt(facts, true)
    await untilIt(facts, false)
    expect(Date.now() / 1000).toBeGreaterThan(notAfter)
  })
})

describe("the guide's copy, when the log cannot be continued", () => {
  const first = factsOf()
  const second = factsOf()
  const firstEntry = entryOf('sid', { key: first.claims.sid })
  const secondEntry = entryOf('sid', { key: second.claims.sid })
  const oldEverything = entryOf('everyone', { minEpoch: 1000 })

  beforeEach(async () => {
    feed.answer = (cursor) => page(cursor === undefined ? [oldEverything, firstEntry] : [])
    await untilIt(first, true)
  })

  test('takes a snapshot after a 410, and keeps what it has', async () => {
    feed.answer = (cursor) =>
      cursor === '1'
        ? { status: 410 }
        : page(cursor === undefined ? [secondEntry] : [], { cursor: '2' })
    await untilIt(second, true)
    expect(await judge(first)).toEqual({ revoked: true })
  })

  test('throws away a page of another log, takes its snapshot, and keeps what it has', async () => {
    const inPage = factsOf()
    const wrong = entryOf('sid', { key: inPage.claims.sid })
    const log = { feedId: 'log-2', cursor: '2' }
    feed.answer = (cursor) => {
      if (cursor === '1') return page([wrong], log)
      return page(cursor === undefined ? [oldEverything, secondEntry] : [], log)
    }
    await untilIt(second, true)
    expect(await judge(first)).toEqual({ revoked: true })
    expect(await judge(inPage)).toEqual({ revoked: false })
  })

  test('starts anew when a backup was put back, which a higher epoch of everything tells, but for keys', async () => {
    const stolen = factsOf({ kid: newKid(), aep: [2000, 0, 0] })
    feed.answer = () => page([entryOf('kid', { key: stolen.kid })])
    await untilIt(stolen, true)
    const log = { feedId: 'log-2', cursor: '2' }
    const everything = entryOf('everyone', { minEpoch: 2000 })
    feed.answer = (cursor) => page(cursor === undefined ? [everything] : [], log)
    await untilIt(second, true)
    const loggedInAnew = factsOf({ sid: first.claims.sid, aep: [2000, 0, 0] })
    expect(await judge(loggedInAnew)).toEqual({ revoked: false })
    expect(await judge(stolen)).toEqual({ revoked: true })
  })
})

function pageOfEntry(entry: object): string {
  const entries = [{ ...entry, not_after: secondsFromNow(900) }]
  return JSON.stringify({ feed_id: 'log-1', cursor: '1', entries })
}
