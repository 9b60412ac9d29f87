import { type Logger, pino } from 'pino'
import { openLogStream } from './log-stream.ts'

/** One JSON object a line; what belongs to a request names it in `request_id`. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>

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

export type LogOptions = {
  readonly logLevel: string
  /** Where lines go; standard output when absent. */
  readonly logStream?: { readonly write: (line: string) => void }
}

export const openLog = ({ logLevel, logStream }: LogOptions): Log =>
  pino({ level: logLevel, serializers: { err: serializeError } }, logStream ?? openLogStream())
