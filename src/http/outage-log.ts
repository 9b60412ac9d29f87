import type { Logger } from 'pino'
import { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/clock.ts'

export type OutageTimes = {
  /** While the outage lasts. */
  readonly remindEveryMs: number
  /**
   * So long without a failure, and the outage is over. The service reads the log of revocations all the time, every two seconds at
   * least while that fails, so a store that is away is noticed also when nobody asks anything.
   */
  readonly quietMs: number
}

export const defaultOutageTimes: OutageTimes = { remindEveryMs: 60_000, quietMs: 10_000 }

/** A chain of causes longer than this is a loop or a mistake. */
const maxCauses = 5

/** Whether Postgres is behind an error. Redis tells of its outages itself, once each. */
const isStoreAway = (error: unknown, causesLeft = maxCauses): boolean =>
  (error instanceof AppError && error.code === 'store_unavailable') ||
  (error instanceof Error && causesLeft > 0 && isStoreAway(error.cause, causesLeft - 1))

export type OutageLog = {
  /** Whether the failure belongs to an outage. Its line is then written, or counted, here. */
  readonly note: (level: 'warn' | 'error', fields: object, message: string) => boolean
}

/**
 * Of an outage of Postgres the first failure is written, then one line a minute while it lasts, and one at its end. Every request and
 * every background job fails meanwhile, and their lines, with their stack traces, would fill a disk. They are at `debug`.
 */
export const outageLog = (
  lines: Pick<Logger, 'debug' | 'warn' | 'error'>,
  clock: Pick<Clock, 'monotonicMs'>,
  { remindEveryMs, quietMs }: OutageTimes,
): OutageLog => {
  let failures = 0
  let begunAtMs = 0
  let lastFailureAtMs = 0
  let remindAtMs = 0

  const soFar = () => ({ failures, seconds: Math.round((lastFailureAtMs - begunAtMs) / 1000) })
  const look = (): void => {
    const nowMs = clock.monotonicMs()
    if (nowMs - lastFailureAtMs >= quietMs) {
      lines.warn({ outage: 'is over', ...soFar() }, 'postgres answers again')
      failures = 0
      return
    }
    if (nowMs >= remindAtMs) {
      lines.error({ outage: 'goes on', ...soFar() }, 'postgres still does not answer')
      remindAtMs = nowMs + remindEveryMs
    }
    planLook()
  }
  const planLook = (): void => {
    setTimeout(look, Math.min(quietMs, remindEveryMs) / 4).unref()
  }

  return {
    note: (level, fields, message) => {
      const { code, err } = fields as { readonly code?: unknown; readonly err?: unknown }
      if (code !== 'store_unavailable' && !isStoreAway(err)) return false
      lastFailureAtMs = clock.monotonicMs()
      failures += 1
      if (failures > 1) {
        lines.debug(fields, message)
        return true
      }
      begunAtMs = lastFailureAtMs
      remindAtMs = begunAtMs + remindEveryMs
      lines[level]({ outage: 'begins', ...fields }, message)
      planLook()
      return true
    },
  }
}
