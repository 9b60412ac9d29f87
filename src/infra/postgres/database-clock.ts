import { setTimeout as pause } from 'node:timers/promises'
import { type Clock, systemClock } from '../../lib/machine.ts'
import { shareCurrentRead } from '../../lib/share-reads.ts'
import type { Sql } from './database.ts'
import { storeErrors } from './store-failure.ts'

/** One measurement of Postgres's clock. All times are milliseconds; `sent` and `received` use the same two local clocks. */
export type Reading = {
  readonly sent: LocalTime
  readonly received: LocalTime
  /** `clock_timestamp()`, at some moment between the two. */
  readonly databaseMs: number
}

export type LocalTime = { readonly wallMs: number; readonly monotonicMs: number }

/** The offset to add to the local monotonic clock: a value between the two. */
export type Estimate = {
  readonly lowMs: number
  readonly highMs: number
  /** The local time of the measurement. */
  readonly at: LocalTime
}

/** A reading is behind by up to its round trip. A reading that took longer is not used. */
const longestRoundTripMs = 2_000

/** Time services change the speed of a clock by up to 500 ppm, here and at the Postgres server. */
const drift = 0.001

/** Both local clocks measure the same duration within this tolerance, unless one was set or the machine was suspended. */
const localToleranceMs = 1_000

/**
 * Whether the two local clocks advanced equally. They do not when the machine was suspended (its monotonic clock stops) or when its wall
 * clock was set. Only Postgres can tell which.
 */
export const movedAlike = (from: LocalTime, to: LocalTime): boolean => {
  const wallMs = to.wallMs - from.wallMs
  const monotonicMs = to.monotonicMs - from.monotonicMs
  return Math.abs(wallMs - monotonicMs) < localToleranceMs
}

/**
 * The lower bound. The time is never ahead of Postgres, so a verifier without leeway whose clock agrees with Postgres never gets a token
 * issued in its future.
 */
export const offsetOf = ({ lowMs }: Estimate): number => lowMs

/**
 * The estimate after one more reading; undefined when the reading cannot be used. Each reading proves that the offset lies between two
 * values, so the shortest round trip is the most precise, and a longer one never makes the estimate worse. A reading that contradicts the
 * estimate replaces it: a clock was set, the machine was suspended, or another server replied.
 */
export const refine = (before: Estimate | undefined, reading: Reading): Estimate | undefined => {
  const { sent, received, databaseMs } = reading
  const isSlow = received.monotonicMs - sent.monotonicMs > longestRoundTripMs
  if (isSlow || !movedAlike(sent, received)) return undefined
  const lowMs = databaseMs - received.monotonicMs
  const highMs = databaseMs - sent.monotonicMs
  if (before && movedAlike(before.at, received)) {
    const driftMs = (received.monotonicMs - before.at.monotonicMs) * drift
    const both = {
      lowMs: Math.max(lowMs, before.lowMs - driftMs),
      highMs: Math.min(highMs, before.highMs + driftMs),
      at: received,
    }
    if (both.lowMs <= both.highMs) return both
  }
  return { lowMs, highMs, at: received }
}

/**
 * How this machine's wall clock compares with Postgres's. `differs`: by more than 5 s, which gets a warning. `too_far`: by more than 30 s.
 * The process works, with Postgres's time, but is not ready.
 */
export type ClockAgreement = 'agrees' | 'differs' | 'too_far'

export type DatabaseClock = Clock & {
  /** Measures until the time is known. Throws `store_unavailable` when it is not known in time (default: 30 s). */
  readonly start: (patienceMs?: number) => Promise<void>
  /** Compares the clocks again; parallel calls share one statement. Throws `store_unavailable` when that failed. */
  readonly measure: () => Promise<void>
  /**
   * False when `nowMs` may be wrong: the machine was suspended, its wall clock was set, or the last measurement is too old. Costs two reads
   * of local clocks.
   */
  readonly isSure: () => boolean
  /** Wait for it before a decision that depends on time. Measures when the time is not sure, otherwise returns nothing. */
  readonly settle: () => Promise<void> | undefined
  readonly agreement: () => ClockAgreement
  /** How far this machine's wall clock was ahead of Postgres's at the last measurement, milliseconds. Negative: behind. */
  readonly aheadMs: () => number
}

export type DatabaseClockOptions = {
  readonly sql: Sql
  /** Called when the agreement changes, not at each measurement. */
  readonly onChange: (agreement: ClockAgreement, aheadMs: number) => void
  /** The clocks of this machine. Tests pass others. */
  readonly local?: Clock
}

const differsAboveMs = 5_000
const tooFarAboveMs = 30_000

/**
 * The difference must fall this far below the limit before the clocks agree again, so that a difference at the limit is not reported
 * repeatedly.
 */
const hysteresisMs = 1_000

/** Without a measurement for this long, two good clocks may be apart by half a second. */
const sureForMs = 10 * 60_000

/** A backward correction up to this size stops the clock until it is right. A larger one sets it back. */
const longestStandstillMs = 5_000

const startPatienceMs = 30_000
const startPauseMs = 200

/** A double holds microseconds exactly enough for centuries. */
const statement = {
  name: 'database_clock',
  text: 'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms',
}

const agreementOf = (aheadMs: number, before: ClockAgreement): ClockAgreement => {
  const apartMs = Math.abs(aheadMs)
  if (apartMs > tooFarAboveMs - (before === 'too_far' ? hysteresisMs : 0)) return 'too_far'
  return apartMs > differsAboveMs - (before === 'agrees' ? 0 : hysteresisMs) ? 'differs' : 'agrees'
}

/** The texts in the log and on the command line when the clocks begin to differ. */
const reports = {
  differs: 'the clocks of this machine and of Postgres differ; the time of Postgres is used',
  too_far:
    'the clocks of this machine and of Postgres differ so much that this process is not ready',
} as const

/** Nothing fails because of it, but operators must know. */
class ClocksDiffer extends Error {
  override readonly name = 'ClocksDiffer'
}

export type AgreementReports = {
  readonly report: (error: unknown, what: string) => void
  /** `begun`: the texts under which it may have been reported. */
  readonly reportEnd: (what: string, begun: readonly string[]) => void
}

export const reportAgreement =
  ({ report, reportEnd }: AgreementReports): DatabaseClockOptions['onChange'] =>
  (agreement, aheadMs) => {
    if (agreement === 'agrees') {
      const end = 'the clocks of this machine and of Postgres agree again'
      reportEnd(end, Object.values(reports))
      return
    }
    const seconds = (Math.abs(aheadMs) / 1000).toFixed(1)
    const where = aheadMs < 0 ? 'behind' : 'ahead of'
    const error = new ClocksDiffer(`this machine's clock is ${seconds} s ${where} Postgres's`)
    report(error, reports[agreement])
  }

type AgreementWatch = {
  readonly note: (aheadMs: number) => void
  readonly agreement: () => ClockAgreement
  readonly aheadMs: () => number
}

const watchAgreement = (onChange: DatabaseClockOptions['onChange']): AgreementWatch => {
  let agreement: ClockAgreement = 'agrees'
  let lastAheadMs = 0
  return {
    agreement: () => agreement,
    aheadMs: () => lastAheadMs,
    note: (aheadMs) => {
      lastAheadMs = aheadMs
      const found = agreementOf(aheadMs, agreement)
      if (found === agreement) return
      agreement = found
      onChange(found, aheadMs)
    },
  }
}

const notMeasured = (why: string) =>
  storeErrors.error('store_unavailable', { retryAfterSeconds: 1, cause: new Error(why) })

/** A clock that is correct by definition, for tests. */
export const trustedClock = (clock: Clock): DatabaseClock => ({
  ...clock,
  start: async () => undefined,
  measure: async () => undefined,
  isSure: () => true,
  settle: () => undefined,
  agreement: () => 'agrees',
  aheadMs: () => 0,
})

/**
 * The time for all decisions: that of Postgres, from the local monotonic clock and a measured offset. All processes agree with it within a
 * round trip, whatever the wall clocks of their machines show. Reading it needs no statement.
 */
export const databaseClock = (options: DatabaseClockOptions): DatabaseClock => {
  const { sql, local = systemClock } = options
  const { note, agreement, aheadMs } = watchAgreement(options.onChange)
  let estimate: Estimate | undefined
  let offsetMs = Number.NaN
  let lastMs = Number.NEGATIVE_INFINITY

  const localTime = (): LocalTime => ({
    wallMs: local.nowMs(),
    monotonicMs: local.monotonicMs(),
  })

  const accept = (refined: Estimate): void => {
    estimate = refined
    offsetMs = offsetOf(refined)
    const rightMs = refined.at.monotonicMs + offsetMs
    if (lastMs - rightMs > longestStandstillMs) lastMs = Math.floor(rightMs)
    note(refined.at.wallMs - rightMs)
  }

  const read = async (): Promise<void> => {
    const sent = localTime()
    const [row] = await sql.query<{ now_ms: number }>(statement)
    if (!row) throw notMeasured('no time in the response')
    const refined = refine(estimate, { sent, received: localTime(), databaseMs: row.now_ms })
    if (!refined) throw notMeasured('comparing clocks took too long, or a clock jumped meanwhile')
    accept(refined)
  }

  const measure = shareCurrentRead(read)

  const start = async (patienceMs = startPatienceMs): Promise<void> => {
    const giveUpMs = local.monotonicMs() + patienceMs
    for (;;) {
      try {
        return await measure()
      } catch (error) {
        if (local.monotonicMs() >= giveUpMs) throw error
        await pause(startPauseMs)
      }
    }
  }

  const isSure = (): boolean => {
    if (!estimate) return false
    const now = localTime()
    const ageMs = now.monotonicMs - estimate.at.monotonicMs
    return ageMs < sureForMs && movedAlike(estimate.at, now)
  }

  return {
    start,
    measure,
    isSure,
    // A running measurement may have begun before the suspension that invalidated it.
    settle: () => (isSure() ? undefined : measure().catch(measure)),
    nowMs: () => {
      if (!estimate) throw notMeasured("Postgres's clock was not read yet")
      const nowMs = Math.floor(local.monotonicMs() + offsetMs)
      if (nowMs > lastMs) lastMs = nowMs
      return lastMs
    },
    monotonicMs: local.monotonicMs,
    agreement,
    aheadMs,
  }
}
