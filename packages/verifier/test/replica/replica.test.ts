import { describe, expect, test, vi } from 'vitest'
import { seeded } from '../../../../test/support/run/seeded.ts'
import {
  createReplica,
  FeedGapError,
  type ReplicaEvent,
  type ReplicaOptions,
  type RevocationFacts,
} from '../../src/replica.ts'
import { decodeFeedBinary, encodeFeedBinary, type FeedPage } from '../../src/wire.ts'
import { entry, idOf, kidOf } from '../wire/entries.ts'
import { manualClock, settle } from './manual-clock.ts'
import { never, type Question, scriptedSource } from './scripted-source.ts'

const facts = (given: Partial<RevocationFacts> = {}): RevocationFacts => ({
  jti: idOf(101),
  sid: idOf(102),
  sub: idOf(103),
  kid: kidOf(104),
  aep: [1, 1, 1],
  ...given,
})

const session = (byte: number) => facts({ sid: idOf(byte) })

const setUp = (options: Partial<ReplicaOptions> = {}) => {
  const clock = manualClock()
  const feed = scriptedSource(clock)
  const random = seeded()
  const events: ReplicaEvent[] = []
  const replica = createReplica({
    source: feed.source,
    clock,
    fraction: () => random.next(1000) / 1000,
    onEvent: (event) => events.push(event),
    ...options,
  })
  const states = () => events.flatMap((event) => (event.type === 'state' ? [event.state] : []))
  const snapshots = () =>
    events.flatMap((event) => (event.type === 'snapshot' ? [event.reason] : []))
  const errors = () => events.flatMap((event) => (event.type === 'error' ? [event.error] : []))
  return { clock, feed, replica, states, snapshots, errors, seed: random.seed }
}

/** One that has taken its first snapshot, of what was given, and now waits for news. */
const fresh = async (options: Partial<ReplicaOptions> = {}) => {
  const parts = setUp(options)
  parts.replica.start()
  await parts.clock.advance(50)
  expect(parts.replica.state()).toBe('FRESH')
  return parts
}

/** How far apart questions were, milliseconds. */
const gaps = (questions: readonly Question[]): number[] =>
  questions.slice(1).map(({ atMs }, place) => atMs - (questions[place]?.atMs ?? 0))

describe('starting', () => {
  test('R75: is LOADING and not ready until the first snapshot has been taken in', async () => {
    const { clock, feed, replica, states } = setUp()
    let isReady = false
    const ready = replica.ready().then(() => {
      isReady = true
    })
    let answer = (_: FeedPage): void => undefined
    feed.answerWith(() => new Promise((resolve) => (answer = resolve)))
    replica.start()
    await clock.advance(1000)
    expect(replica.state()).toBe('LOADING')
    expect(replica.staleForMs()).toBeUndefined()
    expect(isReady).toBe(false)
    feed.answerWith(undefined)
    answer({ feedId: '7312-1', cursor: '0', entries: [entry('sid', idOf(1))] })
    await ready
    expect(replica.state()).toBe('FRESH')
    expect(replica.staleForMs()).toBe(0)
    expect(replica.revokedBy(session(1))).toBe('sid')
    expect(states()).toEqual(['FRESH'])
    await replica.close()
  })

  test('R75: stays LOADING while a source only fails, and what its owner knows does not change that', async () => {
    const { clock, feed, replica, errors } = setUp()
    feed.answerWith(() => Promise.reject(new Error('away')))
    replica.start()
    replica.apply([entry('sid', idOf(1))])
    await clock.advance(60_000)
    expect(replica.state()).toBe('LOADING')
    expect(replica.revokedBy(session(1))).toBe('sid')
    expect(errors().length).toBeGreaterThan(10)
    feed.answerWith(undefined)
    await clock.advance(2100)
    expect(replica.state()).toBe('FRESH')
    expect(replica.revokedBy(session(1))).toBe('sid')
    await replica.close()
  })

  test('starting twice follows once', async () => {
    const { clock, feed, replica } = setUp()
    replica.start()
    replica.start()
    await clock.advance(3000)
    expect(feed.count('snapshot')).toBe(1)
    expect(feed.count('changes')).toBeLessThan(5)
    await replica.close()
  })

  test('takes in a page of the binary form, larger than a step of loading', async () => {
    const { clock, feed, replica } = setUp()
    const id = (place: number) => {
      const bytes = Buffer.alloc(16)
      bytes.writeUInt32BE(place, 4)
      return bytes.toString('base64url')
    }
    const entries = Array.from({ length: 20_000 }, (_, place) => entry('jti', id(place)))
    const body = encodeFeedBinary({ feedId: '7312-1', cursor: '0', entries })
    feed.answerWith(({ what }) => (what === 'snapshot' ? decodeFeedBinary(body) : undefined))
    replica.start()
    await replica.ready()
    expect(replica.state()).toBe('FRESH')
    const missing = entries.filter(({ key }) => replica.revokedBy(facts({ jti: key })) !== 'jti')
    expect(missing).toEqual([])
    await clock.advance(10)
    await replica.close()
  })

  test('waiting for it ends with the signal, or when it is closed', async () => {
    const { replica } = setUp()
    const waiting = new AbortController()
    const aborted = replica.ready(waiting.signal)
    waiting.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    await expect(replica.ready(AbortSignal.abort(new Error('never')))).rejects.toThrow('never')
    const closed = replica.ready()
    await replica.close()
    await expect(closed).rejects.toThrow('closed')
    await expect(replica.ready(new AbortController().signal)).rejects.toThrow('closed')
  })

  test.each([
    { leaseMs: 999 },
    { leaseMs: Number.NaN },
    { leaseMs: Number.POSITIVE_INFINITY },
    { waitSeconds: -1 },
    { waitSeconds: 0.5 },
  ])('options that cannot be are refused at once: %o', (options) => {
    expect(() => setUp(options)).toThrow(TypeError)
  })
})

describe('following', () => {
  test('R73: what is appended is held as soon as the source tells it, and the lease never lapses', async () => {
    const { clock, feed, replica, states } = await fresh()
    for (let byte = 1; byte < 40; byte++) {
      await clock.advance(700)
      expect(replica.revokedBy(session(byte))).toBeUndefined()
      feed.append(entry('sid', idOf(byte)))
      await clock.advance(20)
      expect(replica.revokedBy(session(byte))).toBe('sid')
      expect(replica.state()).toBe('FRESH')
    }
    expect(states()).toEqual(['FRESH'])
    await replica.close()
  })

  test('R73: the lease counts from before the question, so a slow answer has used it up already', async () => {
    const { clock, feed, replica } = await fresh()
    feed.answerWith(async ({ what, signal, cursor }) => {
      if (what === 'snapshot' || cursor !== '0') return await never()
      await clock.sleep(3000, signal)
      return { feedId: '7312-1', cursor: '1', entries: [] }
    })
    await clock.advance(1100)
    const slow = feed.questions.at(-1)
    const slowAtMs = slow?.atMs ?? 0
    expect(slow?.cursor).toBe('0')
    await clock.advance(slowAtMs + 3000 - clock.monotonicMs() + 20)
    expect(feed.questions.at(-1)?.cursor).toBe('1')
    await clock.advance(slowAtMs + 4999 - clock.monotonicMs())
    expect(replica.state()).toBe('FRESH')
    await clock.advance(1)
    expect(replica.state()).toBe('STALE')
    await replica.close()
  })

  test('R73: a snapshot that took longer than a lease leaves it STALE until the next answer', async () => {
    const { clock, feed, replica, states } = setUp()
    feed.answerWith(async ({ what, signal }) => {
      if (what === 'changes') return await never()
      await clock.sleep(6000, signal)
      return signal.aborted
        ? await never()
        : { feedId: '7312-1', cursor: '0', entries: [entry('sid', idOf(1))] }
    })
    replica.start()
    await clock.advance(12_000)
    expect(states()).toEqual(['STALE'])
    expect(replica.revokedBy(session(1))).toBe('sid')
    feed.answerWith(undefined)
    await clock.advance(6000)
    expect(states()).toEqual(['STALE', 'FRESH'])
    await replica.close()
  })

  test('the first snapshot may take 15 seconds, and one that is needed later the time of a question', async () => {
    const { clock, feed, replica, errors } = setUp()
    feed.answerWith(async ({ what, signal }) => {
      if (what === 'changes') return await never()
      await clock.sleep(14_000, signal)
      return { feedId: '7312-1', cursor: '0', entries: [entry('sid', idOf(1))] }
    })
    replica.start()
    await clock.advance(14_100)
    expect(feed.count('snapshot')).toBe(1)
    expect(errors()).toEqual([])
    expect(replica.revokedBy(session(1))).toBe('sid')
    feed.answerWith(({ what }) => {
      if (what === 'snapshot') return never()
      throw new FeedGapError('the cursor is not known')
    })
    await clock.advance(8000)
    const asked = feed.questions.find(({ what, atMs }) => what === 'snapshot' && atMs > 0)
    expect(asked?.signal.aborted).toBe(true)
    await replica.close()
  })

  test('each snapshot that is given up gets more time than the one before', async () => {
    const { clock, feed, replica, errors } = setUp()
    feed.answerWith(() => never())
    replica.start()
    await clock.advance(300_000)
    const between = gaps(feed.questions)
    expect(between.slice(0, 3).map((ms) => Math.floor(ms / 1000))).toEqual([15, 30, 60])
    expect(Math.max(...between)).toBeLessThan(63_000)
    expect(feed.questions.slice(0, -1).every(({ signal }) => signal.aborted)).toBe(true)
    expect(errors().length).toBe(feed.questions.length - 1)
    await replica.close()
  })

  test('asks the source to wait only when the answer can come before the lease ends', async () => {
    const { clock, feed, replica } = await fresh()
    await clock.advance(5000)
    expect(feed.questions.slice(1).every(({ waitSeconds }) => waitSeconds === 1)).toBe(true)
    feed.answerWith(() => Promise.reject(new Error('away')))
    await clock.advance(10_000)
    expect(replica.state()).toBe('STALE')
    const atMs = clock.monotonicMs()
    feed.answerWith(undefined)
    await clock.advance(2100)
    const after = feed.questions.filter((question) => question.atMs >= atMs)
    expect(after.map(({ waitSeconds }) => waitSeconds).slice(0, 2)).toEqual([0, 1])
    await replica.close()
  })

  test('what its owner applies is covered at once and is no proof of freshness', async () => {
    const { clock, feed, replica } = await fresh()
    feed.answerWith(() => never())
    await clock.advance(5000)
    replica.apply([entry('sid', idOf(1)), entry('kid', kidOf(2))])
    expect(replica.revokedBy(session(1))).toBe('sid')
    expect(replica.isKeyRevoked(kidOf(2))).toBe(true)
    await clock.advance(1100)
    expect(replica.state()).toBe('STALE')
    expect(() => replica.apply([entry('sid', 'no id')])).toThrow(TypeError)
    await replica.close()
  })
})

describe('R74: losing the source', () => {
  test('a frozen connection makes it STALE a lease after its last answered question, and is given up', async () => {
    const { clock, feed, replica, states } = await fresh()
    await clock.advance(3000)
    const lastAnswered = feed.questions.at(-2)?.atMs ?? 0
    feed.answerWith(() => never())
    // The question that is under way was asked before and is still answered.
    const underWay = feed.questions.at(-1)
    await clock.advance(1100)
    expect(feed.questions.at(-1)).not.toBe(underWay)
    const endsAtMs = (underWay?.atMs ?? lastAnswered) + 5000
    await clock.advance(endsAtMs - 1 - clock.monotonicMs())
    expect(replica.state()).toBe('FRESH')
    expect(replica.staleForMs()).toBe(0)
    await clock.advance(1)
    expect(replica.state()).toBe('STALE')
    await clock.advance(1)
    // It was told although no answer came.
    expect(states()).toEqual(['FRESH', 'STALE'])
    await clock.advance(6999)
    expect(replica.staleForMs()).toBe(7000)
    expect(feed.questions.filter(({ signal }) => signal.aborted).length).toBeGreaterThan(1)

    feed.append(entry('sid', idOf(1)))
    feed.answerWith(undefined)
    await clock.advance(6000)
    expect(replica.state()).toBe('FRESH')
    expect(replica.staleForMs()).toBe(0)
    expect(replica.revokedBy(session(1))).toBe('sid')
    expect(states()).toEqual(['FRESH', 'STALE', 'FRESH'])
    await replica.close()
  })

  test('a frozen question is repeated in time, so that one dead connection does not make it STALE', async () => {
    const { clock, feed, replica, states } = await fresh()
    let frozen = 0
    feed.answerWith(() => (frozen++ === 0 ? never() : undefined))
    await clock.advance(20_000)
    expect(frozen).toBeGreaterThan(1)
    expect(states()).toEqual(['FRESH'])
    await replica.close()
  })

  test('an answer that comes after its question was given up is not used', async () => {
    const { clock, feed, replica } = await fresh()
    let answerLate = (_: FeedPage): void => undefined
    feed.answerWith(() => new Promise((resolve) => (answerLate = resolve)))
    await clock.advance(1100)
    const late = answerLate
    await clock.advance(7000)
    expect(replica.state()).toBe('STALE')
    late({ feedId: '7312-1', cursor: '99', entries: [] })
    await clock.advance(10)
    expect(replica.state()).toBe('STALE')
    expect(feed.questions.at(-1)?.cursor).toBe('0')
    await replica.close()
  })

  test('failures are tried again later and later, up to 2 s, and told each time', async () => {
    const { clock, feed, replica, errors } = await fresh()
    await clock.advance(2000)
    const before = feed.questions.length
    feed.answerWith(() => Promise.reject(new Error('away')))
    await clock.advance(60_000)
    const failed = feed.questions.slice(before)
    const between = gaps(failed)
    expect(errors().length).toBe(failed.length)
    expect(between.slice(0, 5).every((ms, place) => ms >= 50 * 2 ** place)).toBe(true)
    expect(between.slice(0, 5).every((ms, place) => ms <= 100 * 2 ** place)).toBe(true)
    expect(between.slice(6).every((ms) => ms >= 1000 && ms <= 2000)).toBe(true)
    feed.answerWith(undefined)
    await clock.advance(3000)
    expect(replica.state()).toBe('FRESH')
    // One that was answered begins the count anew.
    const recovered = feed.questions.length
    let failures = 0
    feed.answerWith(() => (failures++ === 0 ? Promise.reject(new Error('away')) : undefined))
    await clock.advance(1200)
    const [pauseMs = 0] = gaps(feed.questions.slice(recovered))
    expect(pauseMs).toBeGreaterThanOrEqual(50)
    expect(pauseMs).toBeLessThanOrEqual(100)
    await replica.close()
  })

  test('an answer with an entry that cannot be one proves nothing', async () => {
    const { clock, feed, replica, errors } = await fresh()
    feed.answerWith(() => ({
      feedId: '7312-1',
      cursor: '1',
      entries: [entry('sid', 'no id')],
    }))
    await clock.advance(7000)
    expect(replica.state()).toBe('STALE')
    expect(errors()[0]).toBeInstanceOf(TypeError)
    expect(feed.questions.every(({ cursor }) => cursor !== '1')).toBe(true)
    await replica.close()
  })
})

describe('events', () => {
  test('a listener that throws does not stop the following; its error is reported as one of its own', async () => {
    const reported: unknown[] = []
    const report = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((task) => {
      try {
        task()
      } catch (error) {
        reported.push(error)
      }
    })
    try {
      const failure = new Error('the listener failed')
      const { clock, feed, replica } = setUp({
        onEvent: () => {
          throw failure
        },
      })
      replica.start()
      await replica.ready()
      await clock.advance(3000)
      expect(feed.count('snapshot')).toBe(1)
      expect(replica.state()).toBe('FRESH')
      expect(reported).toEqual([failure, failure])
      await replica.close()
    } finally {
      report.mockRestore()
    }
  })
})

describe('R76: a log that cannot be continued', () => {
  test('a gap leads to a new snapshot; what was held stays held', async () => {
    const { clock, feed, replica, snapshots, states, errors } = await fresh()
    feed.append(entry('sid', idOf(1)))
    await clock.advance(50)
    feed.answerWith(({ what }) => {
      if (what === 'changes') throw new FeedGapError('the cursor is not known')
      feed.answerWith(undefined)
      return { feedId: '7312-1', cursor: '1', entries: [entry('sid', idOf(2))] }
    })
    await clock.advance(1500)
    expect(snapshots()).toEqual(['first', 'gap'])
    expect(replica.revokedBy(session(1))).toBe('sid')
    expect(replica.revokedBy(session(2))).toBe('sid')
    expect(states()).toEqual(['FRESH'])
    expect(errors()).toEqual([])
    await replica.close()
  })

  test('a page of another log is never applied, and proves nothing', async () => {
    const { clock, feed, replica, snapshots } = await fresh()
    feed.answerWith(({ what }) =>
      what === 'snapshot'
        ? never()
        : { feedId: '7312-2', cursor: '7', entries: [entry('sid', idOf(1))] },
    )
    await clock.advance(4000)
    expect(feed.count('snapshot')).toBe(2)
    await clock.advance(2100)
    expect(replica.revokedBy(session(1))).toBeUndefined()
    expect(replica.state()).toBe('STALE')
    expect(snapshots()).toEqual(['first'])
    await replica.close()
  })

  test('after a fail-over the snapshot of the new log is taken; what only the old one told still holds', async () => {
    const { clock, feed, replica, snapshots } = await fresh()
    feed.append(entry('sid', idOf(1)), entry('sub', idOf(2), { minEpoch: 5 }))
    await clock.advance(50)
    feed.forget()
    feed.append(entry('sid', idOf(3)))
    feed.feedId = '7312-2'
    await clock.advance(2500)
    expect(snapshots()).toEqual(['first', 'feed_changed'])
    expect(replica.state()).toBe('FRESH')
    for (const byte of [1, 3]) expect(replica.revokedBy(session(byte))).toBe('sid')
    expect(replica.revokedBy(facts({ sub: idOf(2), aep: [1, 4, 1] }))).toBe('sub')
    await replica.close()
  })

  test('after a restore with a higher global epoch only the new log counts: nothing from before lives, nobody who logs in anew is refused', async () => {
    const { clock, feed, replica } = await fresh()
    feed.append(entry('sid', idOf(1)), entry('sub', idOf(2), { minEpoch: 5 }))
    await clock.advance(50)
    const before = facts({ sub: idOf(2), sid: idOf(1), aep: [1, 4, 1] })
    const anew = facts({ sub: idOf(2), aep: [1_767_225_600, 3, 1] })
    expect(replica.revokedBy(anew)).toBe('sub')
    feed.forget()
    feed.append(entry('everyone', '', { minEpoch: 1_767_225_600 }), entry('sid', idOf(3)))
    feed.feedId = '7312-2'
    await clock.advance(2500)
    expect(replica.revokedBy(before)).toBe('everyone')
    expect(replica.revokedBy(anew)).toBeUndefined()
    expect(replica.revokedBy({ ...anew, sid: idOf(3) })).toBe('sid')
    await replica.close()
  })

  test('after a restore only the new log counts also where the owner has revoked everyone itself', async () => {
    const { clock, feed, replica } = await fresh()
    feed.append(entry('sub', idOf(2), { minEpoch: 5 }))
    await clock.advance(50)
    const everyone = entry('everyone', '', { minEpoch: 1_767_225_600 })
    feed.forget()
    feed.feedId = '7312-2'
    feed.append(everyone)
    replica.apply([everyone])
    await clock.advance(2500)
    expect(replica.revokedBy(facts({ sub: idOf(2), aep: [1_767_225_600, 3, 1] }))).toBeUndefined()
    await replica.close()
  })

  test('after a restore with a higher global epoch a revoked key stays revoked: tokens made with it can look new', async () => {
    const { clock, feed, replica } = await fresh()
    feed.append(entry('kid', kidOf(1)))
    await clock.advance(50)
    feed.forget()
    feed.append(entry('everyone', '', { minEpoch: 1_767_225_600 }))
    feed.feedId = '7312-2'
    await clock.advance(2500)
    expect(replica.revokedBy(session(1))).toBe('everyone')
    expect(replica.isKeyRevoked(kidOf(1))).toBe(true)
    expect(replica.revokedBy(facts({ kid: kidOf(1), aep: [1_767_225_600, 1, 1] }))).toBe('kid')
    await replica.close()
  })

  test('what its owner applies while the new log is loaded is not lost', async () => {
    const { clock, feed, replica } = await fresh()
    const large = {
      length: 10_000,
      *[Symbol.iterator]() {
        yield entry('everyone', '', { minEpoch: 9 })
        for (let place = 1; place < 10_000; place++) {
          yield entry('jti', Buffer.from(String(place).padStart(16)).toString('base64url'))
          if (place === 9000 && feed.count('snapshot') > 1) replica.apply([entry('sid', idOf(1))])
        }
      },
    }
    feed.feedId = '7312-2'
    feed.answerWith(({ what }) =>
      what === 'snapshot' ? { feedId: '7312-2', cursor: '0', entries: large } : undefined,
    )
    await clock.advance(2500)
    expect(replica.state()).toBe('FRESH')
    expect(replica.revokedBy(facts({ aep: [8, 1, 1] }))).toBe('everyone')
    expect(replica.revokedBy(facts({ sid: idOf(1), aep: [9, 1, 1] }))).toBe('sid')
    await replica.close()
  })

  test('a cursor that goes back comes from a server that is behind: a new snapshot, and no lease for it', async () => {
    const { clock, feed, replica, snapshots } = await fresh()
    feed.append(entry('sid', idOf(1)))
    await clock.advance(1100)
    feed.answerWith(({ what, cursor }) => {
      if (what === 'snapshot') return never()
      return cursor === '1' ? { feedId: '7312-1', cursor: '0', entries: [] } : undefined
    })
    await clock.advance(7000)
    expect(replica.state()).toBe('STALE')
    feed.answerWith(undefined)
    await clock.advance(20_000)
    expect(replica.state()).toBe('FRESH')
    expect(snapshots()).toEqual(['first', 'gap'])
    await replica.close()
  })

  test('cursors that are no numbers are carried as they are', async () => {
    const { clock, feed, replica } = setUp()
    let turn = 0
    feed.answerWith(async ({ waitSeconds, signal }) => {
      await clock.sleep(waitSeconds * 1000, signal)
      turn += 1
      return { feedId: 'a', cursor: `x${9 - turn}`, entries: [] }
    })
    replica.start()
    await clock.advance(4000)
    expect(replica.state()).toBe('FRESH')
    expect(feed.questions.slice(1, 3).map(({ cursor }) => cursor)).toEqual(['x8', 'x7'])
    await replica.close()
  })

  test('a source that never continues is not asked without a pause', async () => {
    const { clock, feed, replica } = await fresh()
    feed.answerWith(({ what }) => {
      if (what === 'changes') throw new FeedGapError('the cursor is not known')
      return undefined
    })
    await clock.advance(60_000)
    expect(feed.questions.length).toBeLessThan(120)
    await replica.close()
  })

  test('duplicates and reordering never un-revoke anything', async () => {
    const random = seeded()
    const { clock, feed, replica } = await fresh()
    const entries = Array.from({ length: 100 }, (_, place) =>
      place % 2 === 0
        ? entry('sid', idOf(place))
        : entry('sub', idOf(place % 10), { minEpoch: 1 + random.next(50) }),
    )
    const told = new Set<(typeof entries)[number]>()
    feed.answerWith(async ({ signal }) => {
      await clock.sleep(20, signal)
      const page = random.shuffle(entries).slice(0, random.next(12))
      for (const one of page) told.add(one)
      return { feedId: '7312-1', cursor: '0', entries: [...page, ...page] }
    })
    for (let round = 0; round < 60; round++) {
      await clock.advance(100)
      for (const one of told) {
        const token =
          one.kind === 'sid'
            ? facts({ sid: one.key })
            : facts({ sub: one.key, aep: [1, (one.minEpoch ?? 0) - 1, 1] })
        // The page of this very moment may still be on its way in.
        if (replica.revokedBy(token) === undefined) await clock.advance(10)
        expect(replica.revokedBy(token), `seed ${random.seed}`).toBe(one.kind)
      }
    }
    expect(told.size).toBeGreaterThan(50)
    await replica.close()
  })
})

describe('R78: entries end', () => {
  test('an entry is dropped some time after its end', async () => {
    const { clock, feed, replica } = await fresh()
    const nowSeconds = Math.floor(clock.nowMs() / 1000)
    feed.append(entry('sid', idOf(1), { notAfter: nowSeconds + 100 }))
    feed.append(entry('sid', idOf(2), { notAfter: nowSeconds + 970 }))
    await clock.advance(99_000)
    expect(replica.revokedBy(session(1))).toBe('sid')
    await clock.advance(33_000)
    expect(replica.revokedBy(session(1))).toBeUndefined()
    expect(replica.revokedBy(session(2))).toBe('sid')
    await replica.close()
  })

  test('entries end also while the source is away', async () => {
    const { clock, feed, replica } = await fresh()
    const nowSeconds = Math.floor(clock.nowMs() / 1000)
    feed.append(entry('sid', idOf(1), { notAfter: nowSeconds + 100 }))
    await clock.advance(1000)
    feed.answerWith(() => Promise.reject(new Error('away')))
    await clock.advance(135_000)
    expect(replica.state()).toBe('STALE')
    expect(replica.revokedBy(session(1))).toBeUndefined()
    await replica.close()
  })

  test('a clock that is set back behind what it dropped ends the freshness at that moment, whatever is under way, and what it dropped too early is fetched again, once', async () => {
    const { clock, feed, replica, states, snapshots } = await fresh()
    const nowSeconds = Math.floor(clock.nowMs() / 1000)
    feed.append(entry('sid', idOf(1), { notAfter: nowSeconds + 970 }))
    await clock.advance(100)
    clock.setWallBy(3_600_000)
    await clock.advance(31_000)
    expect(replica.state()).toBe('FRESH')
    expect(replica.revokedBy(session(1))).toBeUndefined()
    // Not at the next question: until then tokens of the session would be accepted.
    clock.setWallBy(-3_600_000)
    expect(replica.state()).toBe('STALE')
    expect(replica.staleForMs()).toBe(0)
    feed.append(entry('sid', idOf(2)))
    while (replica.state() === 'STALE') await clock.advance(1)
    expect(replica.revokedBy(session(1))).toBe('sid')
    expect(replica.revokedBy(session(2))).toBe('sid')
    await clock.advance(60_000)
    expect(states()).toEqual(['FRESH', 'STALE', 'FRESH'])
    expect(snapshots()).toEqual(['first', 'gap'])
    await replica.close()
  })
})

describe('the pace', () => {
  test('a source that answers at once and always the same is asked twice a second in the end', async () => {
    for (const entries of [[], [entry('sid', idOf(1))]]) {
      const { clock, feed, replica } = await fresh()
      feed.answerWith(() => ({ feedId: '7312-1', cursor: '0', entries }))
      await clock.advance(2000)
      const before = feed.questions.length
      expect(before).toBeLessThan(25)
      await clock.advance(10_000)
      expect(feed.questions.length - before).toBeLessThan(42)
      expect(replica.state()).toBe('FRESH')
      await replica.close()
    }
  })

  test('news are followed by a short pause in which a burst gathers', async () => {
    const { clock, feed, replica } = await fresh()
    const before = feed.questions.length
    for (let byte = 0; byte < 250; byte++) {
      feed.append(entry('sid', idOf(byte)))
      await clock.advance(1)
    }
    const asked = feed.questions.length - before
    expect(asked).toBeGreaterThan(20)
    expect(asked).toBeLessThanOrEqual(51)
    await clock.advance(20)
    expect(replica.revokedBy(session(249))).toBe('sid')
    await replica.close()
  })

  test('a page that repeats thousands of entries for each new one slows the questions down', async () => {
    const { clock, feed, replica } = await fresh()
    const id = (place: number) => Buffer.from(String(place).padStart(16)).toString('base64url')
    const known = Array.from({ length: 3000 }, (_, place) => entry('jti', id(place)))
    replica.apply(known)
    let asked = 0
    feed.answerWith(() => {
      asked += 1
      return {
        feedId: '7312-1',
        cursor: '0',
        entries: [...known, entry('sid', id(asked))],
      }
    })
    await clock.advance(2000)
    const before = asked
    await clock.advance(2000)
    expect(asked - before).toBeGreaterThan(5)
    expect(asked - before).toBeLessThan(15)
    await replica.close()
  })

  test('a source that cannot wait is asked two to four times a second, and at once when woken', async () => {
    const { clock, feed, replica } = await fresh({ waitSeconds: 0 })
    await clock.advance(10_000)
    const between = gaps(feed.questions).slice(1)
    expect(between.every((ms) => ms >= 250 && ms <= 512)).toBe(true)
    expect(feed.questions.every(({ waitSeconds }) => waitSeconds === 0)).toBe(true)
    await clock.advance(260)
    const last = feed.questions.at(-1)?.atMs ?? 0
    await clock.advance(Math.max(0, last + 100 - clock.monotonicMs()))
    feed.append(entry('sid', idOf(1)))
    replica.wake()
    await settle()
    expect(feed.questions.at(-1)?.atMs).toBe(clock.monotonicMs())
    expect(replica.revokedBy(session(1))).toBe('sid')
    await replica.close()
  })

  test('a wake-up while a question is under way asks once more right after it', async () => {
    const { clock, feed, replica } = await fresh({ waitSeconds: 0 })
    let answer = (_: FeedPage): void => undefined
    feed.answerWith(() => new Promise((resolve) => (answer = resolve)))
    await clock.advance(600)
    const before = feed.questions.length
    for (let times = 0; times < 5; times++) replica.wake()
    feed.answerWith(undefined)
    answer({ feedId: '7312-1', cursor: '0', entries: [] })
    await clock.advance(11)
    expect(feed.questions.length).toBe(before + 1)
    await clock.advance(200)
    expect(feed.questions.length).toBe(before + 1)
    await replica.close()
  })

  test('a flood of wake-ups is no flood of questions, and does not shorten the pause after a failure', async () => {
    const { clock, feed, replica } = await fresh({ waitSeconds: 0 })
    const flood = async (ms: number): Promise<number> => {
      const before = feed.questions.length
      for (let passed = 0; passed < ms; passed++) {
        replica.wake()
        await clock.advance(1)
      }
      return feed.questions.length - before
    }
    expect(await flood(300)).toBeLessThanOrEqual(61)
    feed.answerWith(() => Promise.reject(new Error('away')))
    await clock.advance(10_000)
    expect(await flood(2000)).toBeLessThanOrEqual(3)
    await replica.close()
  })

  test('follows with a lease too short for waiting', async () => {
    const { clock, feed, replica, states } = await fresh({ leaseMs: 1000 })
    await clock.advance(20_000)
    expect(states()).toEqual(['FRESH'])
    expect(feed.questions.length).toBeLessThan(200)
    await replica.close()
  })
})

describe('closing', () => {
  test('ends what is under way, leaves no timer, and the replica is never FRESH again', async () => {
    for (const untilMs of [0, 1, 50, 500, 1030, 4000]) {
      const { clock, feed, replica } = setUp()
      replica.start()
      await clock.advance(untilMs)
      await replica.close()
      expect(clock.sleeping(), `closed after ${untilMs} ms`).toBe(0)
      expect(['STALE', 'LOADING']).toContain(replica.state())
      const asked = feed.questions.length
      replica.start()
      replica.wake()
      await clock.advance(10_000)
      expect(feed.questions.length).toBe(asked)
      expect(replica.state()).not.toBe('FRESH')
    }
  })

  test.each([
    ['its first snapshot', async () => setUp()],
    ['a question', fresh],
  ])('does not wait for a source that never answers %s, and tells it to stop', async (_, open) => {
    const { clock, feed, replica, errors } = await open()
    feed.answerWith(() => never())
    replica.start()
    await clock.advance(1100)
    expect(feed.questions.at(-1)?.signal.aborted).toBe(false)
    await replica.close()
    expect(feed.questions.at(-1)?.signal.aborted).toBe(true)
    expect(clock.sleeping()).toBe(0)
    expect(errors()).toEqual([])
  })

  test('an answer that arrives in the moment of closing does not make it FRESH', async () => {
    const { clock, feed, replica } = setUp()
    let answer = (_: FeedPage): void => undefined
    feed.answerWith(() => new Promise((resolve) => (answer = resolve)))
    replica.start()
    await clock.advance(10)
    answer({ feedId: '7312-1', cursor: '0', entries: [] })
    await Promise.resolve()
    await replica.close()
    expect(replica.state()).toBe('LOADING')
  })

  test('ends the loading of a large snapshot between two steps', async () => {
    const { clock, feed, replica } = setUp()
    const id = (place: number) => Buffer.from(String(place).padStart(16)).toString('base64url')
    let made = 0
    const entries = {
      length: 100_000,
      *[Symbol.iterator]() {
        for (; made < 100_000; made++) yield entry('jti', id(made))
      },
    }
    feed.answerWith(() => ({ feedId: '7312-1', cursor: '0', entries }))
    replica.start()
    await Promise.resolve()
    await Promise.resolve()
    await replica.close()
    expect(made).toBeLessThan(100_000)
    expect(replica.state()).toBe('LOADING')
    expect(clock.sleeping()).toBe(0)
  })

  test('closing one that was never started, and closing twice, ends at once', async () => {
    const { replica } = setUp()
    await replica.close()
    await replica.close()
    expect(replica.state()).toBe('LOADING')
    expect(replica.staleForMs()).toBeUndefined()
  })
})
