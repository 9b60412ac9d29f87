import { type Logger, pino } from 'pino'
import { AppError } from '../lib/app-error.ts'
import { type Clock, systemClock } from '../lib/machine.ts'
import { type Refusal, refusalLog } from './refusal-log.ts'

export type OutageTimes = {
  /** Interval of the reminders while the outage lasts. */
  readonly remindEveryMs: number
  /**
   * The outage is over after this time without a failure. While reads of the revocation log fail, they are repeated at least every two
   * seconds, so an outage is noticed even without requests.
   */
  readonly quietMs: number
}

const defaultOutageTimes: OutageTimes = { remindEveryMs: 60_000, quietMs: 10_000 }

/** A longer chain of causes is a loop or a mistake. */
const maxCausesOfOutage = 5

/** Whether Postgres is behind an error. Redis reports its own outages, once each. */
const isStoreAway = (error: unknown, causesLeft = maxCausesOfOutage): boolean =>
  (error instanceof AppError && error.code === 'store_unavailable') ||
  (error instanceof Error && causesLeft > 0 && isStoreAway(error.cause, causesLeft - 1))

export type OutageLog = {
  /** Returns whether the failure belongs to an outage. If so, its line was written or counted here. */
  readonly note: (level: 'warn' | 'error', fields: object, message: string) => boolean
}

/**
 * Limits the log lines during an outage of Postgres: the first failure, then one line a minute, and one line at the end. Otherwise every
 * request and background job would log a stack trace and fill the disk. The suppressed lines are logged at `debug`.
 */
const outageLog = (
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

type LogLine = (fieldsOrMessage: object | string, message?: string) => void

/** Writes one JSON object per line. Lines about a request carry its `request_id`. */
export type Log = {
  readonly debug: LogLine
  readonly info: LogLine
  /** During an outage of a store, the first failure is written and the others are counted. */
  readonly warn: LogLine
  /** Like `warn`. */
  readonly error: LogLine
  /** Logs a refused request: one line at `info` for each kind and source, then a count every minute. */
  readonly refusal: (refusal: Refusal) => void
  /** Whether lines were dropped and their number could not be logged yet. */
  readonly isDropping: () => boolean
}

/** How an error is written to the log. */
type LoggedError = {
  readonly type: string
  readonly message: string
  readonly stack: string
  readonly code?: string
  readonly cause?: LoggedError
}

/** A longer chain of causes is a loop or a mistake. */
const maxCauses = 5

const describeError = (error: unknown, causesLeft: number): LoggedError => {
  if (!(error instanceof Error)) return { type: typeof error, message: 'not an Error', stack: '' }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  return {
    type: error.name,
    message: error.message,
    stack: error.stack ?? '',
    ...(code !== undefined && { code }),
    ...(error.cause !== undefined &&
      causesLeft > 0 && { cause: describeError(error.cause, causesLeft - 1) }),
  }
}

/**
 * Copies only properties that are known to be harmless. The usual serializer copies all, and database drivers attach statements, parameters
 * and rows to their errors.
 */
const serializeError = (error: unknown): LoggedError => describeError(error, maxCauses)

/** The destination of log lines. It never blocks. */
export type LogStream = {
  readonly write: (line: string) => void
  /** For a stream that drops lines instead of blocking. Once it accepts lines again, it passes the number of dropped lines to `report`. */
  readonly onDropped?: (report: (count: number) => void) => void
  readonly isDropping?: () => boolean
}

export type LogOptions = {
  readonly logLevel: string
  readonly logStream: LogStream
  readonly clock?: Pick<Clock, 'monotonicMs'>
  readonly outageTimes?: OutageTimes
  /** Interval of the counts of further refusals. */
  readonly refusalWindowMs?: number
}

export const openLog = ({
  logLevel,
  logStream,
  clock = systemClock,
  outageTimes = defaultOutageTimes,
  refusalWindowMs = 60_000,
}: LogOptions): Log => {
  const lines = pino({ level: logLevel, serializers: { err: serializeError } }, logStream)
  logStream.onDropped?.((count) => lines.error({ lines: count }, 'lines of the log were dropped'))
  const outages = outageLog(lines, clock, outageTimes)
  const failing =
    (level: 'warn' | 'error'): LogLine =>
    (fieldsOrMessage, message = '') => {
      if (typeof fieldsOrMessage === 'string') lines[level](fieldsOrMessage)
      else if (!outages.note(level, fieldsOrMessage, message))
        lines[level](fieldsOrMessage, message)
    }
  return {
    debug: lines.debug.bind(lines),
    info: lines.info.bind(lines),
    warn: failing('warn'),
    error: failing('error'),
    refusal: refusalLog(lines, clock, refusalWindowMs),
    isDropping: () => logStream.isDropping?.() ?? false,
  }
}
