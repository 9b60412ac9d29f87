import { AppError, defineErrors } from '../../lib/app-error.ts'
import { NotPrimary } from './primary-client.ts'
import { UnfitDatabase } from './session-settings.ts'

export const storeErrors = defineErrors({
  store_unavailable: {
    status: 503,
    title: 'A store that the service depends on does not respond. Try again.',
  },
})

/**
 * SQLSTATE classes that mean "not now" and are not caused by the request: connection (08), authentication and database (28, 3D000: new
 * connections get these after a password or a database was changed while the service runs), transaction rolled back (40), read-only or not
 * a primary (25006), a transaction that took too long (25P03, 25P04), resources (53), operator intervention (57, including the statement
 * timeout), system error (58).
 */
const passing = /^(08|28|40|53|57|58)|^(25006|25P0[34]|3D000)$/

/** Errors that `pg` and the socket raise themselves, including those of TLS, have no SQLSTATE. */
const fromTheWire =
  /timeout|terminated|ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|not queryable|Client was closed|Connection ended|CERT|_SIGNATURE|ERR_TLS|ERR_SSL|EPROTO|support SSL/i

/** Every SQLSTATE contains a digit. An errno of five letters such as `EPIPE` does not. */
const sqlStateShape = /^(?=.*[0-9])[0-9A-Z]{5}$/

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined

const describesTheWire = (error: unknown): boolean => {
  if (error instanceof AggregateError) return error.errors.some(describesTheWire)
  return error instanceof Error && fromTheWire.test(`${codeOf(error) ?? ''} ${error.message}`)
}

/**
 * Maps an error of the Postgres driver. An unreachable store becomes `store_unavailable` (503: the client may retry). Anything else, such
 * as a wrong statement, is returned unchanged and ends as a 500.
 */
export const storeFailure = (error: unknown): unknown => {
  const code = codeOf(error)
  const away =
    error instanceof NotPrimary ||
    error instanceof UnfitDatabase ||
    (code !== undefined && sqlStateShape.test(code) ? passing.test(code) : describesTheWire(error))
  if (!away) return error
  return storeErrors.error('store_unavailable', { retryAfterSeconds: 1, cause: error })
}

/** Whether `storeFailure` made this error for an unreachable store. */
export const isStoreAway = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'store_unavailable'

/** The error of the driver or the server behind `store_unavailable`. */
const causeOf = (error: unknown): unknown => (isStoreAway(error) ? error.cause : error)

/** The message of that error. */
export const messageOf = (error: unknown): string => {
  const cause = causeOf(error)
  // Trying every address of a name ends in an AggregateError, whose own message is empty.
  const last: unknown = cause instanceof AggregateError ? cause.errors.at(-1) : cause
  return last instanceof Error ? last.message : String(last)
}

/** Whether Postgres responds but accepts no writes: it is a standby, or read-only. */
export const isNotPrimary = (error: unknown): boolean => causeOf(error) instanceof NotPrimary

/** Errors of the role, its password or the database (SQLSTATE), and of certificates. Waiting fixes none of them. */
const lasting = /^(28|3D000)|CERT|_SIGNATURE|ERR_TLS|ERR_SSL|support SSL/

/** Whether Postgres is unreachable because of a setting, which an operator must correct. */
export const isLasting = (error: unknown): boolean => {
  const cause = causeOf(error)
  if (cause instanceof UnfitDatabase) return true
  return cause instanceof Error && lasting.test(codeOf(cause) ?? cause.message)
}

/**
 * Whether Postgres itself reported that a statement failed, so that it has changed nothing. Other failures say nothing about that: the
 * connection was lost, or Postgres is shutting down (class 57), which it may report after the commit.
 */
export const hasRolledBack = (error: unknown): boolean => {
  const code = codeOf(causeOf(error)) ?? ''
  return sqlStateShape.test(code) && !/^(08|57|58)/.test(code)
}
