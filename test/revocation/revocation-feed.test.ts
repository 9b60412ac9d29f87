import { beforeEach, describe, expect, test } from 'vitest'
import { decodeFeedBinary, decodeFeedJson } from '../../packages/verifier/src/wire.ts'
import { cursorText, type FeedCursor } from '../../src/revocation/feed-cursor.ts'
import { longPollNotifier } from '../../src/revocation/index.ts'

import { revocationFeed } from '../../src/revocation/revocation-feed.ts'
import type { LogChanges, LoggedEntry, ReadLog } from '../../src/revocation/revocation-log.ts'
import { idNamed, nameOfId } from '../support/service/named-id.ts'

const at = (next: bigint, ...running: bigint[]): FeedCursor => ({ running, next })

const logged = (xid: bigint, name: string): LoggedEntry => ({
  xid,
  entry: { kind: 'sid', key: idNamed(name), minEpoch: undefined, notAfter: 2_000_000_000 },
})

/** A log whose answers the test gives, read by read. */
const heldLog = () => {
  type Read = { readonly from: FeedCursor; readonly answer: (changes: LogChanges | Error) => void }
  const reads: Read[] = []
  let snapshots = 0
  const log: ReadLog = {
    changes: (from) =>
      new Promise((resolve, reject) => {
        const answer = (changes: LogChanges | Error) =>
          changes instanceof Error ? reject(changes) : resolve(changes)
        reads.push({ from, answer })
      }),
    snapshot: async () => {
      snapshots += 1
      return { feedId: 'log', cursor: '7', entries: [] }
    },
  }
  return { log, reads, snapshots: () => snapshots }
}

const nothing: LogChanges = { feedId: 'log', cursor: at(10n), rows: [] }

let held: ReturnType<typeof heldLog>
let wakeUps: ReturnType<typeof longPollNotifier>
let feed: ReturnType<typeof revocationFeed>

beforeEach(() => {
  held = heldLog()
  wakeUps = longPollNotifier()
  feed = revocationFeed({ log: held.log, wakeUps })
})

/** Read `number`, once it has begun. */
const read = (number: number) =>
  expect.poll(() => held.reads[number - 1], { interval: 2 }).toBeDefined()

const answer = async (number: number, changes: LogChanges | Error): Promise<void> => {
  await read(number)
  held.reads[number - 1]?.answer(changes)
}

const namesIn = (page: Awaited<ReturnType<typeof feed.changes>>): string[] =>
  [...page.page.entries].map(({ key }) => nameOfId(key))

describe('followers who ask together', () => {
  test('from different cursors they share a read from the lowest, and each gets what lies at or after its own', async () => {
    const cursors = ['6', '5', '9', '6']
    const asked = Promise.all(cursors.map((cursor) => feed.changes(cursor)))
    const rows = [logged(5n, 'five'), logged(6n, 'six'), logged(8n, 'eight'), logged(9n, 'nine')]
    await answer(1, { ...nothing, rows })
    const pages = await asked
    expect(held.reads.map(({ from }) => from)).toEqual([at(5n)])
    expect(pages.map(namesIn)).toEqual([
      ['six', 'eight', 'nine'],
      ['five', 'six', 'eight', 'nine'],
      ['nine'],
      ['six', 'eight', 'nine'],
    ])
    expect(pages.map(({ page }) => page.cursor)).toEqual(['10', '10', '10', '10'])
  })

  test('who waits for a transaction that ran when they read last gets its rows, and nothing else twice', async () => {
    const cursors = [at(10n, 5n, 8n), at(9n), at(10n, 7n)]
    const asked = Promise.all(cursors.map((cursor) => feed.changes(cursorText(cursor))))
    const rows = [5n, 6n, 7n, 8n, 9n].map((xid) => logged(xid, `x${xid}`))
    await answer(1, { ...nothing, rows })
    const pages = await asked
    expect(held.reads.map(({ from }) => from)).toEqual([at(9n, 5n, 7n, 8n)])
    expect(pages.map(namesIn)).toEqual([['x5', 'x8'], ['x9'], ['x7']])
  })

  test('who asks from a made-up cursor that covers too much sends nobody else back', async () => {
    const outcomes = Promise.allSettled(
      [at(10n, 1n), at(10n)].map((from) => feed.changes(cursorText(from))),
    )
    await answer(1, { ...nothing, rows: 'too_many' })
    await answer(2, { ...nothing, rows: 'too_many' })
    await answer(3, nothing)
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
  })

  test('an answer is encoded once for all who asked from the same cursor', async () => {
    const asked = Promise.all(['6', '6', '9'].map((cursor) => feed.changes(cursor)))
    await answer(1, { ...nothing, rows: [logged(6n, 'six')] })
    const [one, other, later] = await asked
    const [json, binary] = [await one?.json(), await one?.binary()]
    expect(await other?.json()).toBe(json)
    expect(await other?.binary()).toBe(binary)
    expect(await later?.json()).not.toBe(json)
    const expected = { feedId: 'log', cursor: '10', entries: [logged(6n, 'six').entry] }
    expect(decodeFeedJson(String(json))).toEqual(expected)
    const { entries, ...rest } = decodeFeedBinary(binary ?? new Uint8Array())
    expect({ ...rest, entries: [...entries] }).toEqual(expected)
  })
})

describe('a cursor', () => {
  const unknown = { code: 'cursor_unknown', status: 410 }

  test('that no log gives out is refused without a read', async () => {
    const texts = [
      ...['', ' ', '-1', '+1', '01', '1.0', '1e3', '0x1', 'a', '1 ', '١', '1;', '1:1:', '1.'],
      ...['1..1', '1.01', '1.A', '.1'],
    ]
    const tooLarge = ['18446744073709551616', '18446744073709551615.1', `1.${'z'.repeat(13)}`]
    for (const text of [
      ...texts,
      ...tooLarge,
      '9'.repeat(21),
      '9'.repeat(200),
      `1${'.1'.repeat(128)}`,
    ]) {
      await expect(feed.changes(text), text).rejects.toMatchObject(unknown)
    }
    expect(held.reads).toEqual([])
  })

  test('beyond the end of this log is refused: it was given out by another, and so is the largest', async () => {
    const asked = ['10', '11', '18446744073709551615'].map((cursor) => feed.changes(cursor))
    const outcomes = Promise.allSettled(asked)
    await answer(1, nothing)
    const [good, beyond, largest] = await outcomes
    expect(good?.status).toBe('fulfilled')
    for (const outcome of [beyond, largest]) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: unknown })
    }
  })

  test('too far behind is refused, and does not send those back who asked with it', async () => {
    const outcomes = Promise.allSettled(['1', '2', '9'].map((cursor) => feed.changes(cursor)))
    await answer(1, { ...nothing, rows: 'too_many' })
    await answer(2, { ...nothing, rows: 'too_many' })
    await answer(3, { ...nothing, rows: 'too_many' })
    await answer(4, { ...nothing, rows: 'too_many' })
    await answer(5, { ...nothing, rows: [logged(9n, 'nine')] })
    const read = [at(1n), at(1n), at(1n), at(2n), at(9n)]
    expect(held.reads.map(({ from }) => from)).toEqual(read)
    const [oldest, old, recent] = await outcomes
    for (const outcome of [oldest, old]) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: unknown })
    }
    expect(recent?.status === 'fulfilled' && namesIn(recent.value)).toEqual(['nine'])
  })
})

describe('waiting for something new', () => {
  test('is not done when there is something', async () => {
    const asked = feed.changes('5', 3)
    await answer(1, { ...nothing, rows: [logged(9n, 'here')] })
    expect(namesIn(await asked)).toEqual(['here'])
    expect(held.reads).toHaveLength(1)
  })

  test('ends at a wake-up, with a read for all who waited, from where the first one ended', async () => {
    const asked = Promise.all([feed.changes('5', 3), feed.changes('6', 3)])
    await answer(1, nothing)
    await new Promise((resolve) => setImmediate(resolve))
    wakeUps.wake()
    await answer(2, { ...nothing, cursor: at(12n), rows: [logged(11n, 'new')] })
    const [one, other] = await asked
    expect(held.reads.map(({ from }) => from)).toEqual([at(5n), at(10n)])
    expect(namesIn(one)).toEqual(['new'])
    expect(one).toBe(other)
  })

  test('does not miss a wake-up that came while the first read was under way', async () => {
    const asked = feed.changes('5', 3)
    await read(1)
    wakeUps.wake()
    await answer(1, nothing)
    await answer(2, { ...nothing, rows: [logged(10n, 'new')] })
    expect(namesIn(await asked)).toEqual(['new'])
  })

  test('ends with the time at the latest, and the answer is that of a read after it', async () => {
    const asked = feed.changes('5', 1)
    await answer(1, nothing)
    // Nobody says anything; that the entry is found nevertheless is what makes wake-ups dispensable.
    await answer(2, { ...nothing, rows: [logged(10n, 'unannounced')] })
    expect(namesIn(await asked)).toEqual(['unannounced'])
  })

  test('is ended by whoever hangs up, without another read', async () => {
    const hangUp = new AbortController()
    const asked = feed.changes('5', 3, hangUp.signal)
    await answer(1, nothing)
    hangUp.abort()
    await asked
    expect(held.reads).toHaveLength(1)
  })
})
