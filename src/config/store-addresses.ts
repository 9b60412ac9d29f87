import { PostgresUrlProblem, postgresHosts, postgresSslModes } from '../lib/postgres-url.ts'
import { parseRedisUrl, RedisUrlProblem } from '../lib/redis-url.ts'
import type { Format } from './setting.ts'

/** Several hosts are for fail-over: the primary is one of them. */
export const postgresUrl: Format<string> = {
  limits: 'postgres:// or postgresql:// URL, one host or several between commas',
  parse: (text) => {
    const problem = percentProblem(text)
    if (problem !== undefined) return { problem }
    // Everything after it would be dropped: most likely the end of a password, the host and the database.
    if (text.includes('#')) return { problem: 'has a # (write it as %23)' }
    try {
      postgresHosts(text)
      return { value: text }
    } catch (error) {
      if (error instanceof PostgresUrlProblem) return { problem: error.problem }
      throw error
    }
  },
}

/**
 * Whether `pg` checks the server's certificate, in every version. In pg 8.23 (pg-connection-string 2.14) `prefer`, `require` and
 * `verify-ca` all mean `verify-full`; with `uselibpqcompat=true`, and by default from pg 9 on, `prefer` and `require` check nothing. So
 * only the two modes that check in both cases are accepted. `pg` uses the last of several `sslmode`, so a repeated one is not accepted. An
 * `ssl=` parameter has no effect beside `sslmode`.
 */
export const verifiesPostgresTls = (databaseUrl: string): boolean => {
  const modes = postgresSslModes(databaseUrl)
  return modes.length === 1 && (modes[0] === 'verify-full' || modes[0] === 'verify-ca')
}

/** No query: `ioredis` would read any of its options from there, including the host. */
export const redisUrl: Format<string> = {
  limits:
    'redis:// or rediss:// URL, or with +sentinel (…/master-name) or +cluster and several hosts between commas; no query',
  parse: (text) => {
    try {
      parseRedisUrl(text)
      return { value: text }
    } catch (error) {
      if (error instanceof RedisUrlProblem) return { problem: error.problem }
      throw error
    }
  },
}

/** `rediss` checks the server's certificate by Node's default, which `nodeTlsProblems` ensures. */
export const verifiesRedisTls = (url: string): boolean => parseRedisUrl(url).tls

/**
 * Postgres truncates longer names, reserves these prefixes, and reads `$user` in a search path as the name of the role, even when quoted.
 */
const maxNameBytes = 63
const reserved = /^(pg_|information_schema$|\$user$)/

/** Any name that Postgres accepts. It is quoted wherever it is used. */
export const schemaName: Format<string> = {
  limits: 'name of a schema as it is written, up to 63 bytes, not pg_…',
  parse: (text) =>
    Buffer.byteLength(text) <= maxNameBytes && !/\p{Cc}/u.test(text) && !reserved.test(text)
      ? { value: text }
      : { problem: 'must be up to 63 bytes without control characters, neither pg_… nor $user' },
}

export const namesSentinels = (url: string | undefined): boolean =>
  url !== undefined && parseRedisUrl(url).kind === 'sentinel'

const brokenPercentSign = 'has a broken percent sign (write % as %25)'

/**
 * Finds broken percent escapes. Otherwise the drivers and the router would fail on them with an error that names no setting. The error of
 * `decodeURIComponent` is dropped, so that it cannot quote a password.
 */
export const percentProblem = (address: string): string | undefined => {
  try {
    decodeURIComponent(address)
    return undefined
  } catch {
    return brokenPercentSign
  }
}
