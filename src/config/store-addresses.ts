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

const redisExpression =
  /^rediss?(?:\+(?<topology>sentinel|cluster))?:\/\/(?:(?<user>[^\s@/?#]*)@)?(?<hosts>[^\s@/?#]+)(?<path>\/[^\s?#]*)?$/

const hostExpression = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?<port>[0-9]{1,5}))?$/

/** What may follow the hosts: a database number, a Sentinel master and perhaps a number, nothing for a cluster (it has only 0). */
const redisPaths = {
  single: /^(?:\/[0-9]{0,4})?$/,
  sentinel: /^\/[A-Za-z0-9._-]+(?:\/[0-9]{1,4})?$/,
  cluster: /^(?:\/0?)?$/,
}

const isRedisHost = (text: string): boolean => {
  const match = hostExpression.exec(text)
  if (match === null) return false
  const { port = '6379' } = match.groups ?? {}
  return Number(port) >= 1 && Number(port) <= 65_535
}

/** A "%" that starts no byte would make a later parser throw, with the password in its message. */
const isPercentEncoded = (text: string): boolean => {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

const isRedisUrl = (text: string): boolean => {
  const groups = redisExpression.exec(text)?.groups
  if (groups === undefined) return false
  const { topology, user = '', hosts: hostList = '', path = '' } = groups
  const hosts = hostList.split(',')
  if (!isPercentEncoded(user) || !hosts.every(isRedisHost)) return false
  if (topology === 'sentinel') return redisPaths.sentinel.test(path)
  if (topology === 'cluster') return redisPaths.cluster.test(path)
  return hosts.length === 1 && redisPaths.single.test(path)
}

/** No query: `ioredis` would take any of its options from there, the host included. */
export const redisUrl: Format<string> = {
  limits:
    'redis:// or rediss:// URL, or with +sentinel (…/master-name) or +cluster and several hosts between commas; no query',
  parse: (text) =>
    isRedisUrl(text)
      ? { value: text }
      : { problem: 'must be a redis://, rediss://, …+sentinel:// or …+cluster:// URL' },
}

/** `rediss` checks the server's certificate: Node's default, which `nodeTlsProblems` makes sure of. */
export const verifiesRedisTls = (url: string): boolean => /^rediss[+:]/.test(url)
