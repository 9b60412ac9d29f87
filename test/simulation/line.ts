import type { Dice } from './dice.ts'
import { away } from './memory-postgres.ts'
import type { Process, Timeline } from './timeline.ts'

/** The way between one operation of an instance and the database: every question and every answer takes its time, or is lost. */
export type Line = {
  readonly there: (what: string) => Promise<void>
  readonly back: (what: string) => Promise<void>
  /** Cuts it: whatever is under way fails, as when the instance is killed. */
  readonly cut: () => void
}

export type LineOptions = {
  readonly dice: Dice
  readonly timeline: Timeline
  readonly process: Process
  readonly isDatabaseAway: () => boolean
  /** Of a thousand answers so many never come. */
  readonly lostPerMille: number
  /** Whether every answer takes its time: much can happen in between. */
  readonly isSlow: boolean
}

/**
 * What one operation may lose in all: an entry of the log is kept 40 s longer than the tokens live that it covers, for commits that come
 * after its end was reckoned. Two operations that are this late and clocks that differ by 2 s each way stay below that.
 */
const mostMsAnOperation = 16_000

const delayMs = (dice: Dice, way: 'question' | 'answer' | 'commit', isSlow: boolean): number => {
  const kind = dice.next(1000)
  if (isSlow && way === 'answer') return dice.between(50, 2_000)
  // An entry whose number was taken early and whose commit comes late is what a feed can lose.
  if (way === 'commit' && kind < 200) return dice.between(30, 6_000)
  if (kind < 600) return 0
  if (kind < 950) return dice.between(1, 30)
  return dice.between(30, kind < 990 ? 1_500 : 3_000)
}

/**
 * Between the answer that a token is made from and its signature any time may pass, where a process stands still: the token is issued
 * as of before the question.
 */
const standsStillMs = (dice: Dice, what: string, isSlow: boolean): number =>
  isSlow &&
  /^(session_(rotate|recover|find)|rotations[.](rotate|recover)|sessions[.]find)$/.test(what) &&
  dice.perMille(500)
    ? dice.between(60_000, 240_000)
    : 0

export const openLine = (options: LineOptions): Line => {
  const { dice, timeline, process } = options
  let leftMs = mostMsAnOperation
  let isCut = false
  const travel = async (way: 'question' | 'answer', what: string): Promise<void> => {
    const isCommit = way === 'question' && what === 'commit'
    const ms = Math.min(leftMs, delayMs(dice, isCommit ? 'commit' : way, options.isSlow))
    leftMs -= ms
    await timeline.pause(ms, `${way === 'question' ? '->' : '<-'} ${what}`, process)
    if (isCut) throw away()
  }
  return {
    there: async (what) => {
      await travel('question', what)
      if (options.isDatabaseAway()) throw away()
    },
    back: async (what) => {
      await travel('answer', what)
      await timeline.pause(standsStillMs(dice, what, options.isSlow), 'standing still', process)
      if (dice.perMille(options.lostPerMille)) throw away()
    },
    cut: () => {
      isCut = true
    },
  }
}
