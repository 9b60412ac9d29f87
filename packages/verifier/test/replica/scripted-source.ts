import type { FeedSource } from '../../src/replica.ts'
import type { FeedPage, RevocationEntry } from '../../src/wire.ts'
import type { ManualClock } from './manual-clock.ts'

export type Question = {
  readonly what: 'snapshot' | 'changes'
  /** On the monotonic clock. */
  readonly atMs: number
  readonly cursor: string | undefined
  readonly waitSeconds: number
  readonly signal: AbortSignal
}

export type Answer = FeedPage | Promise<FeedPage>

/** A log in memory that answers like the service: the cursor counts entries, and a question is held while there is nothing new. */
export const scriptedSource = (clock: ManualClock) => {
  const entries: RevocationEntry[] = []
  const questions: Question[] = []
  const waiting = new Set<() => void>()
  let script: ((question: Question) => Answer | undefined) | undefined

  const from = (place: number): FeedPage => ({
    feedId: log.feedId,
    cursor: String(entries.length),
    entries: entries.slice(place),
  })

  const news = async (waitSeconds: number, signal: AbortSignal): Promise<void> => {
    const heard = new AbortController()
    const stop = () => heard.abort()
    waiting.add(stop)
    signal.addEventListener('abort', stop)
    await clock.sleep(waitSeconds * 1000, heard.signal)
    waiting.delete(stop)
  }

  const log = {
    /** Another one from now on: as after a fail-over or a restore. */
    feedId: '7312-1',
    questions,
    /** What happens instead of an answer from the log, while it returns something. */
    answerWith: (next: ((question: Question) => Answer | undefined) | undefined) => {
      script = next
    },
    append: (...more: readonly RevocationEntry[]) => {
      entries.push(...more)
      for (const tell of waiting) tell()
    },
    forget: () => entries.splice(0),
    count: (what: Question['what']) =>
      questions.filter((question) => question.what === what).length,
  }

  const source: FeedSource = {
    snapshot: async (signal) => {
      const question: Question = {
        what: 'snapshot',
        atMs: clock.monotonicMs(),
        cursor: undefined,
        waitSeconds: 0,
        signal,
      }
      questions.push(question)
      return (await script?.(question)) ?? from(0)
    },
    changes: async (cursor, waitSeconds, signal) => {
      const question: Question = {
        what: 'changes',
        atMs: clock.monotonicMs(),
        cursor,
        waitSeconds,
        signal,
      }
      questions.push(question)
      const scripted = await script?.(question)
      if (scripted) return scripted
      if (entries.length <= Number(cursor)) await news(waitSeconds, signal)
      return from(Number(cursor))
    },
  }
  return Object.assign(log, { source })
}

export const never = (): Promise<never> => new Promise(() => undefined)
