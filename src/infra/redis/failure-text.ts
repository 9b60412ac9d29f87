/**
 * The message of an error of ioredis and nothing else: its errors carry the failed command with all arguments, and the
 * first command of a connection is the one with the password.
 */
export const redisFailure = (error: unknown): Error => {
  // Trying several addresses of one name ends in an AggregateError, whose own message is empty.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error
  const message = first instanceof Error ? first.message : 'unknown failure'
  return new Error(`redis: ${message}`)
}
