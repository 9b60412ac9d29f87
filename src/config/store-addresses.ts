import { parseRedisUrl, RedisUrlProblem } from '../lib/redis-url.ts'
import type { Format } from './setting.ts'

const parsePostgresUrl = (text: string): URL | undefined => {
  if (!/^postgres(ql)?:\/\/[^\s]+$/.test(text)) return undefined
  // libpq and `pg` take "user:password@/database?host=/folder" for a Unix socket; `URL` demands a host after the @.
  const withHost = text.replace('@/', '@socket/')
  return URL.canParse(withHost) ? new URL(withHost) : undefined
}

/** One host only: `pg` takes no list of hosts, and would look up "a,b" as one name. */
export const postgresUrl: Format<string> = {
  limits: 'postgres:// or postgresql:// URL, one host',
  parse: (text) => {
    const url = parsePostgresUrl(text)
    if (url === undefined) return { problem: 'must be a postgres:// or postgresql:// URL' }
    return url.hostname.includes(',') ? { problem: 'must name one host' } : { value: text }
  },
}

/**
 * True when `pg` will check the server's certificate whatever its version. In pg 8.23 (pg-connection-string 2.14)
 * `prefer`, `require` and `verify-ca` all mean `verify-full`; with `uselibpqcompat=true`, and by default from pg 9 on,
 * `prefer` and `require` check nothing. So only the two modes that check under both readings count. The last of several
 * `sslmode` wins in `pg`: a repeated one is not trusted at all. An `ssl=` parameter has no say beside `sslmode`.
 */
export const verifiesPostgresTls = (databaseUrl: string): boolean => {
  const modes = parsePostgresUrl(databaseUrl)?.searchParams.getAll('sslmode') ?? []
  return modes.length === 1 && (modes[0] === 'verify-full' || modes[0] === 'verify-ca')
}

/** No query: `ioredis` would take any of its options from there, the host included. */
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

/** `rediss` checks the server's certificate: Node's default, which `nodeTlsProblems` makes sure of. */
export const verifiesRedisTls = (url: string): boolean => parseRedisUrl(url).tls
