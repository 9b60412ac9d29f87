export type RedisNode = { readonly host: string; readonly port: number }

type Access = {
  readonly tls: boolean
  readonly username: string | undefined
  readonly password: string | undefined
}

export type RedisAddress =
  | (Access & { readonly kind: 'single'; readonly node: RedisNode; readonly database: number })
  | (Access & {
      readonly kind: 'sentinel'
      readonly nodes: readonly RedisNode[]
      readonly masterName: string
      readonly database: number
    })
  | (Access & { readonly kind: 'cluster'; readonly nodes: readonly RedisNode[] })

// Not `URL`: it refuses several hosts, and its error would quote the whole address with the password.
const shape = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^\s@/?#]*)@)?([^@/?#]+)(?:\/([^?#]*))?$/

const hostShape = /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?$/

/** Why a URL cannot be read. Neither text contains a part of it. */
export class RedisUrlProblem extends TypeError {
  /** The problem, written to follow the name of a setting: "has an empty password". */
  readonly problem: string

  constructor(problem: string) {
    super(`the Redis URL ${problem}`)
    this.name = 'RedisUrlProblem'
    this.problem = problem
  }
}

const refuse = (problem: string) => new RedisUrlProblem(problem)

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    // The error of decodeURIComponent is dropped on purpose, because it could contain a part of the password.
    throw refuse('has a user name or password with a broken percent sign (write % as %25)')
  }
}

const readAccess = (text: string | undefined): Omit<Access, 'tls'> => {
  if (text === undefined) return { username: undefined, password: undefined }
  const colon = text.indexOf(':')
  if (colon < 0) throw refuse('needs user:password@ or :password@ before the host')
  const username = decode(text.slice(0, colon))
  const password = decode(text.slice(colon + 1))
  if (password === '') throw refuse('has an empty password')
  return { username: username === '' ? undefined : username, password }
}

const readNode = (text: string, defaultPort: number): RedisNode => {
  const [, host, portText] = hostShape.exec(text) ?? []
  const port = Number(portText ?? defaultPort)
  if (host === undefined || port < 1 || port > 65535) {
    throw refuse('has a host that is not name:port, address:port or [IPv6 address]:port')
  }
  return { host: host.replace(/^\[|\]$/g, ''), port }
}

const readDatabase = (text: string | undefined): number => {
  if (text === undefined || text === '') return 0
  if (!/^(0|[1-9][0-9]{0,4})$/.test(text)) throw refuse('has a database that is not a number')
  return Number(text)
}

const readSentinel = (path: string): { masterName: string; database: number } => {
  const [masterName = '', database, ...rest] = path.split('/')
  if (!/^[A-Za-z0-9._-]+$/.test(masterName) || rest.length > 0) {
    throw refuse('needs /master-name or /master-name/database after the sentinels')
  }
  return { masterName, database: readDatabase(database) }
}

/**
 * Parses `redis://`, `rediss://` (TLS), `redis+sentinel://h:p,h:p/master-name[/db]`, `redis+cluster://h:p,h:p` and the TLS forms of both.
 * User and password are those of the Redis nodes, not of the Sentinels.
 * @throws RedisUrlProblem
 */
export const parseRedisUrl = (url: string): RedisAddress => {
  const [, scheme, mode, accessText, hosts, path = ''] = shape.exec(url) ?? []
  if (hosts === undefined) {
    throw refuse(
      'must be redis[s][+sentinel|+cluster]://[[user]:password@]host[:port]…, without a query',
    )
  }
  const access = { tls: scheme === 'rediss', ...readAccess(accessText) }
  const [first, ...others] = hosts
    .split(',')
    .map((host) => readNode(host, mode === 'sentinel' ? 26379 : 6379))
  if (first === undefined) throw refuse('names no host')
  if (mode === 'sentinel') {
    return { kind: 'sentinel', ...access, nodes: [first, ...others], ...readSentinel(path) }
  }
  if (mode === 'cluster') {
    // A cluster has a single database.
    if (readDatabase(path) !== 0) throw refuse('names a database, which a cluster does not have')
    return { kind: 'cluster', ...access, nodes: [first, ...others] }
  }
  if (others.length > 0) throw refuse('names several hosts without +sentinel or +cluster')
  return { kind: 'single', ...access, node: first, database: readDatabase(path) }
}
