import { pino } from 'pino'
import { type Clock, systemClock } from '../lib/clock.ts'
import { defaultOutageTimes, type OutageTimes, outageLog } from './outage-log.ts'

type LogLine = (fieldsOrMessage: object | string, message?: string) => void

/** One JSON object a line; what belongs to a request names it in `request_id`. */
export type Log = {
  readonly debug: LogLine
  readonly info: LogLine
  /** Of the failures of a store that is away the first is written, the others are counted. */
  readonly warn: LogLine
  /** As `warn`. */
  readonly error: LogLine
  /** Whether lines were dropped that nobody could be told of yet. */
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

/** A chain of causes longer than this is a loop or a mistake. */
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
 * Picks what is known to be harmless. The usual serializer copies every property, and drivers hang statements, their
 * parameters and rows on their errors.
 */
const serializeError = (error: unknown): LoggedError => describeError(error, maxCauses)

/** Where lines go. It never blocks. */
export type LogStream = {
  readonly write: (line: string) => void
  /** For a stream that drops lines instead of waiting: `tell` is given their number when it works again. */
  readonly onDropped?: (tell: (count: number) => void) => void
  readonly isDropping?: () => boolean
}

export type LogOptions = {
  readonly logLevel: string
  readonly logStream: LogStream
  readonly clock?: Pick<Clock, 'monotonicMs'>
  readonly outageTimes?: OutageTimes
}

export const openLog = ({
  logLevel,
  logStream,
  clock = systemClock,
  outageTimes = defaultOutageTimes,
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
    isDropping: () => logStream.isDropping?.() ?? false,
  }
}
