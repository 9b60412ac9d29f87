import type { Clock } from '../clock.ts'

/** This machine's clock and Cardea's do not agree. Which of them is wrong, only an operator can say. */
class ClockDiffers extends Error {
  override readonly name = 'ClockDiffers'
}

/**
 * Entries are kept for 40 s longer than a clock that is right needs them, 15 of which what was under way meanwhile may use up. A clock
 * that is further behind takes a token for alive when the entry that revoked it is no longer sent; one that is ahead refuses what is
 * good.
 */
const toleratedMs = 25_000

/** `date` is that of an answer (RFC 9110 section 6.6.1), `askedAtMs` the wall-clock time at which it was asked for. */
export type ClockWatch = (date: string | null, askedAtMs: number) => void

/** Tells when the clocks begin to differ, and not again before they agreed in between. No decision is based on it. */
export const watchClock = (
  clock: Pick<Clock, 'nowMs'>,
  tell: (error: Error) => void,
): ClockWatch => {
  let differed = false
  return (date, askedAtMs) => {
    const theirsMs = Date.parse(date ?? '')
    if (Number.isNaN(theirsMs)) return
    // Answered between the two: an answer that took long says nothing against either clock.
    const behindMs = theirsMs - clock.nowMs()
    const aheadMs = askedAtMs - theirsMs
    const differs = Math.max(behindMs, aheadMs) > toleratedMs
    if (differs && !differed) {
      const [ms, how] = behindMs > 0 ? [behindMs, 'behind'] : [aheadMs, 'ahead of']
      tell(new ClockDiffers(`the clock is ${Math.round(ms / 1000)} s ${how} that of the feed`))
    }
    differed = differs
  }
}
