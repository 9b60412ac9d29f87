import type { Replica } from '../../packages/verifier/src/replica.ts'
import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { Clock } from '../../src/lib/machine.ts'
import type { LongPollNotifier } from '../../src/revocation/index.ts'

import { ownReplica } from '../../src/revocation/open-revocations.ts'
import { type RevocationFeed, revocationFeed } from '../../src/revocation/revocation-feed.ts'
import type { ReadLog } from '../../src/revocation/revocation-log.ts'
import type { Dice } from './dice.ts'
import type { Line } from './line.ts'
import type { Process, Timeline } from './timeline.ts'
import type { Truth } from './truth.ts'

/** One instance of the service: its own idea of the time, the feed that it serves, and its own replica. */
export type ServiceInstance = {
  readonly name: string
  readonly process: Process
  readonly clock: Clock
  readonly feed: RevocationFeed
  readonly own: Replica
  /** After a commit: this instance knows at once, the others hear of it if the word arrives. */
  readonly spread: (entries: readonly RevocationEntry[]) => void
  readonly hear: () => void
  /** When the question of the newest answer that the own replica got was asked, true time. */
  readonly completeAsOfMs: () => number | undefined
  /** What is under way in it. */
  readonly lines: Set<Line>
  /** As by a kill: nothing that is under way goes on. */
  readonly stop: () => void
  isStopped: boolean
}

export type InstanceOptions = {
  readonly name: string
  readonly dice: Dice
  readonly timeline: Timeline
  readonly truth: Truth
  /** Whether nothing is slow any more. */
  readonly isAtRest: () => boolean
  /** The word to the other instances, which may get lost. */
  readonly announce: () => void
}

/** The clocks of the machines that Cardea runs on are kept, by NTP, to about that. */
const mostSkewMs = 2_000

const wakeUpsOn = (timeline: Timeline, process: Process): LongPollNotifier => {
  let count = 0
  const waiting = new Set<() => void>()
  return {
    wake: () => {
      count += 1
      for (const go of [...waiting]) go()
    },
    count: () => count,
    after: (since, ms, signal) =>
      new Promise((resolve) => {
        if (since !== count || signal?.aborted) return resolve()
        const go = () => {
          waiting.delete(go)
          cancel()
          resolve()
        }
        const cancel = timeline.after(ms, 'the feed has waited', go, process)
        waiting.add(go)
        signal?.addEventListener('abort', go, { once: true })
      }),
    close: () => undefined,
  }
}

/** A reading takes its time, on the way there and back. What it reads is that of one moment in between. */
const faraway = (
  log: ReadLog,
  { dice, timeline, isAtRest }: InstanceOptions,
  process: Process,
): ReadLog => {
  const travel = (what: string): Promise<void> => {
    const kind = dice.next(1_000)
    if (kind < 700 || isAtRest()) return Promise.resolve()
    return timeline.pause(dice.between(1, kind < 970 ? 20 : 3_000), what, process)
  }
  const read = async <T>(run: () => Promise<T>): Promise<T> => {
    await travel('-> the log')
    const answer = await run()
    await travel('<- the log')
    return answer
  }
  return {
    changes: (from) => read(() => log.changes(from)),
    snapshot: () => read(() => log.snapshot()),
  }
}

/** Notes when a question was asked that got an answer. */
const watched = (feed: RevocationFeed, timeline: Timeline) => {
  let completeAsOfMs: number | undefined
  const note = async <T>(ask: () => Promise<T>): Promise<T> => {
    const askedMs = timeline.nowMs()
    const answer = await ask()
    completeAsOfMs = Math.max(askedMs, completeAsOfMs ?? 0)
    return answer
  }
  const noted: RevocationFeed = {
    snapshot: () => note(() => feed.snapshot()),
    changes: (cursor, waitSeconds, signal) => note(() => feed.changes(cursor, waitSeconds, signal)),
  }
  return { feed: noted, completeAsOfMs: () => completeAsOfMs }
}

export const startInstance = (options: InstanceOptions): ServiceInstance => {
  const { name, dice, timeline, truth, announce } = options
  const process: Process = { frozenUntilMs: 0 }
  const skewMs = dice.between(-mostSkewMs, mostSkewMs)
  const born = timeline.nowMs()
  const clock: Clock = {
    nowMs: () => timeline.nowMs() + skewMs,
    monotonicMs: () => timeline.nowMs() - born,
  }
  const wakeUps = wakeUpsOn(timeline, process)
  const log = faraway(truth.readLog(clock), options, process)
  const feed = revocationFeed({ log, wakeUps })
  const { feed: ownFeed, completeAsOfMs } = watched(feed, timeline)
  const own = ownReplica({
    feed: ownFeed,
    clock,
    fraction: dice.fraction,
    report: () => undefined,
  })
  own.start()
  const hear = () => {
    wakeUps.wake()
    own.wake()
  }
  const instance: ServiceInstance = {
    name,
    process,
    clock,
    feed,
    own,
    hear,
    completeAsOfMs,
    lines: new Set(),
    spread: (entries) => {
      if (entries.length === 0 || instance.isStopped) return
      own.apply(entries)
      hear()
      announce()
    },
    stop: () => {
      instance.isStopped = true
      for (const line of instance.lines) line.cut()
      void own.close()
    },
    isStopped: false,
  }
  return instance
}
