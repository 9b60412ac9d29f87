import type { Clock } from '../clock.ts'

/** The clocks of this machine and of Cardea differ. Only an operator can find out which one is wrong. */
class ClockDiffers extends Error {
  override readonly name = 'ClockDiffers'
}

/**
 * Entries are kept 40 s longer than a correct clock needs; up to 15 s of that is for requests in progress. A clock that is further behind
 * accepts a token after the entry that revoked it is no longer sent. A clock that is ahead refuses valid tokens.
 */
const toleratedMs = 25_000

/** `date` is that of a response (RFC 9110 section 6.6.1), `askedAtMs` the wall-clock time of the request. */
export type ClockWatch = (date: string | null, askedAtMs: number) => void

/** Reports once when the clocks begin to differ, and again only after they agreed in between. No decision uses it. */
export const watchClock = (
  clock: Pick<Clock, 'nowMs'>,
  report: (error: Error) => void,
): ClockWatch => {
  let differed = false
  return (date, askedAtMs) => {
    const theirsMs = Date.parse(date ?? '')
    if (Number.isNaN(theirsMs)) return
    // The response was made between the two, so a slow response proves nothing about either clock.
    const behindMs = theirsMs - clock.nowMs()
    const aheadMs = askedAtMs - theirsMs
    const differs = Math.max(behindMs, aheadMs) > toleratedMs
    if (differs && !differed) {
      const [ms, how] = behindMs > 0 ? [behindMs, 'behind'] : [aheadMs, 'ahead of']
      report(new ClockDiffers(`the clock is ${Math.round(ms / 1000)} s ${how} that of the feed`))
    }
    differed = differs
  }
}
