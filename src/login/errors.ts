import { AppError, defineErrors } from '../lib/app-error.ts'
import type { LimitName } from './login-limits.ts'

export const loginErrors = defineErrors({
  // One code and one text for unknown, wrong and disabled: the answer must not tell which accounts exist.
  invalid_credentials: {
    status: 401,
    title: 'The e-mail address or the password is wrong.',
  },
  too_many_attempts: {
    status: 429,
    title: 'Too many attempts to log in. Wait as long as Retry-After says.',
  },
  too_many_acts: {
    status: 429,
    title: 'This account has done too much in a short time. Wait as long as Retry-After says.',
  },
  unknown_audience: {
    status: 400,
    title: 'This service issues no tokens for that audience.',
  },
  limits_unavailable: {
    status: 503,
    title: 'The limits on log-in attempts cannot be checked just now. Try again.',
  },
})

type LimitRefusal = {
  readonly limit: LimitName
  readonly firstInWindow: boolean
  readonly retryAfterSeconds: number
}

/** `too_many_attempts`, with what the audit needs to know. The caller of the API is not told which limit it was. */
export class TooManyAttempts extends AppError {
  readonly limit: LimitName
  /** A flood is refused thousands of times; only the first refusal of a window is worth an audit entry. */
  readonly firstInWindow: boolean

  constructor({ limit, firstInWindow, retryAfterSeconds }: LimitRefusal) {
    super('too_many_attempts', loginErrors.definitions.too_many_attempts, { retryAfterSeconds })
    this.limit = limit
    this.firstInWindow = firstInWindow
  }
}
