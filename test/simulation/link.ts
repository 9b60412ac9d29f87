import { FeedGapError, type FeedSource } from '../../packages/verifier/src/replica.ts'
import {
  decodeFeedBinary,
  decodeFeedJson,
  encodeFeedBinary,
  encodeFeedJson,
  type FeedPage,
} from '../../packages/verifier/src/wire.ts'
import { AppError } from '../../src/lib/app-error.ts'
import type { SharedPage } from '../../src/revocation/revocation-feed.ts'
import type { Dice } from './dice.ts'
import type { ServiceInstance } from './instance.ts'
import type { Process, Timeline } from './timeline.ts'

/** The network between a verifier and the service, in one of its moods. */
export type Mood = 'good' | 'slow' | 'bad' | 'cut'

export type Link = {
  readonly source: FeedSource
  /** When the question was asked that the newest good answer belongs to, true time; undefined before the first snapshot. */
  readonly completeAsOfMs: () => number | undefined
  /** Questions sent so far. */
  readonly questions: () => number
  mood: Mood
}

export type LinkOptions = {
  readonly dice: Dice
  readonly timeline: Timeline
  readonly name: string
  /** Of the verifier. */
  readonly process: Process
  readonly instances: () => readonly ServiceInstance[]
}

class NetworkError extends Error {}

/** Of a thousand messages each way. */
const moods = {
  good: { lost: 2, broken: 2, slow: 20 },
  slow: { lost: 5, broken: 5, slow: 700 },
  bad: { lost: 200, broken: 200, slow: 200 },
  cut: { lost: 500, broken: 1000, slow: 0 },
} as const

/** Entries twice and in another order, as no proxy should do it and a replica must not mind. */
const disarranged = (dice: Dice, page: FeedPage): FeedPage => {
  const entries = [...page.entries]
  const again = entries.filter(() => dice.perMille(300))
  return { ...page, entries: dice.shuffle([...entries, ...again]) }
}

const damaged = (dice: Dice, bytes: Uint8Array): Uint8Array =>
  bytes.subarray(0, dice.next(bytes.length))

/** As it comes out at the other end, in one of the two forms. Half of a page is no page: reading it throws. */
const carried = async (
  dice: Dice,
  { page, json, binary }: SharedPage,
  isBroken: boolean,
): Promise<FeedPage> => {
  const isDisarranged = dice.perMille(200)
  const sent = isDisarranged ? disarranged(dice, page) : page
  if (dice.perMille(500)) {
    const bytes = isDisarranged ? encodeFeedBinary(sent) : await binary()
    return decodeFeedBinary(isBroken ? damaged(dice, bytes) : bytes)
  }
  const text = isDisarranged ? encodeFeedJson(sent) : (await json()).toString()
  return decodeFeedJson(isBroken ? text.slice(0, dice.next(text.length)) : text)
}

const never = () => new Promise<never>(() => undefined)

/** Rejects when the signal aborts, as `fetch` does. */
const whenAborted = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => {
    const abort = () => reject(new NetworkError('aborted'))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
  })

export const openLink = ({ dice, timeline, name, process, instances }: LinkOptions): Link => {
  let completeAsOfMs: number | undefined
  let questions = 0
  let instance: ServiceInstance | undefined

  const travelMs = (): number => {
    if (!dice.perMille(moods[link.mood].slow)) return dice.between(0, 20)
    return dice.between(20, dice.perMille(300) ? 12_000 : 1_500)
  }
  const travel = async (what: string, to: Process): Promise<void> => {
    if (dice.perMille(moods[link.mood].lost)) await never()
    await timeline.pause(travelMs(), `${name}: ${what}`, to)
    if (link.mood === 'cut') throw new NetworkError('reset')
  }
  const exchange = async (
    what: string,
    read: (from: ServiceInstance) => Promise<SharedPage>,
  ): Promise<FeedPage> => {
    // As behind a balancer: mostly the same one, sometimes another.
    if (!instance || instance.isStopped || dice.perMille(100)) instance = dice.pick(instances())
    const other = instance
    if (!other || other.isStopped) throw new NetworkError('refused')
    await travel(`asks ${other.name} for ${what}`, other.process)
    const shared = await read(other)
    if (other.isStopped) throw new NetworkError('reset')
    await travel(`gets ${what}`, process)
    return carried(dice, shared, dice.perMille(moods[link.mood].broken))
  }
  const ask = async (
    what: string,
    signal: AbortSignal,
    read: (from: ServiceInstance) => Promise<SharedPage>,
  ): Promise<FeedPage> => {
    const askedMs = timeline.nowMs()
    questions += 1
    const answer = exchange(what, read).catch((error: unknown) => {
      const isGap = error instanceof AppError && error.code === 'cursor_unknown'
      throw isGap ? new FeedGapError('gone', { cause: error }) : error
    })
    // Some sources hear of an abort late, and answer nevertheless.
    const heeds = dice.perMille(800)
    const page = await (heeds ? Promise.race([answer, whenAborted(signal)]) : answer)
    if (!signal.aborted) completeAsOfMs = Math.max(askedMs, completeAsOfMs ?? 0)
    return page
  }
  const link: Link = {
    source: {
      snapshot: (signal) => ask('a snapshot', signal, ({ feed }) => feed.snapshot()),
      changes: (cursor, waitSeconds, signal) =>
        ask(`changes since ${cursor}`, signal, ({ feed }) =>
          feed.changes(cursor, waitSeconds, signal),
        ),
    },
    completeAsOfMs: () => completeAsOfMs,
    questions: () => questions,
    mood: 'good',
  }
  return link
}
