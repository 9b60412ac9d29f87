/** Why a URL cannot be used. Neither text contains a part of it. */
export class PostgresUrlProblem extends TypeError {
  /** The problem, written to follow the name of a setting: "must be a postgres:// URL". */
  readonly problem: string

  constructor(problem: string) {
    super(`the Postgres URL ${problem}`)
    this.name = 'PostgresUrlProblem'
    this.problem = problem
  }
}

const shape = /^(postgres(?:ql)?:\/\/)(?=\S)([^/?#\s]*)((?:[/?#]\S*)?)$/

const notUrl = 'must be a postgres:// or postgresql:// URL'

/** libpq and `pg` accept "user:password@/database?host=/folder" for a Unix socket; `URL` requires a host after the @. */
const withSomeHost = (url: string): string => url.replace('@/', '@socket/')

const parse = (url: string): URL => {
  if (!URL.canParse(withSomeHost(url))) throw new PostgresUrlProblem(notUrl)
  return new URL(withSomeHost(url))
}

/** libpq's values for "any host that accepts writes" and for no requirement. Cardea always requires a primary. */
const wantsPrimary = new Set(['read-write', 'primary', 'any'])

/** The names of the schema parameter in other drivers. `pg` ignores them, so the tables would be looked up elsewhere. */
const schemaParameters = ['search_path', 'schema', 'currentSchema']

const assertQuery = ({ searchParams }: URL): void => {
  if (!searchParams.getAll('target_session_attrs').every((word) => wantsPrimary.has(word))) {
    throw new PostgresUrlProblem(
      'must have no target_session_attrs but read-write or primary: only a primary is used',
    )
  }
  if (schemaParameters.some((name) => searchParams.has(name))) {
    throw new PostgresUrlProblem(
      'names a schema in its query, which has no effect: set DATABASE_SCHEMA',
    )
  }
}

/** Splits "a:1,b" before the path into "a:1" and "b". */
const ofAuthority = (url: string): string[] => {
  const [, scheme, authority = '', rest] = shape.exec(url) ?? []
  if (scheme === undefined) throw new PostgresUrlProblem(notUrl)
  const at = authority.lastIndexOf('@') + 1
  const hosts = authority.slice(at).split(',')
  if (hosts.length > 1 && hosts.includes('')) throw new PostgresUrlProblem('has an empty host')
  return hosts.map((host) => `${scheme}${authority.slice(0, at)}${host}${rest}`)
}

/** Reads "?host=a,b&port=1,2" like libpq: one port for each host, or one for all. */
const ofQuery = (url: string): string[] => {
  const { searchParams } = parse(url)
  const hosts = searchParams.get('host')?.split(',') ?? []
  if (hosts.length < 2) return [url]
  const ports = searchParams.get('port')?.split(',')
  if (hosts.includes('')) throw new PostgresUrlProblem('has an empty host')
  if (ports && ports.length > 1 && ports.length !== hosts.length) {
    throw new PostgresUrlProblem('must name as many ports as hosts, or one for all')
  }
  const [beforeQuery] = url.split('?')
  return hosts.map((host, place) => {
    searchParams.set('host', host)
    const port = ports?.[place] ?? ports?.[0]
    if (port !== undefined) searchParams.set('port', port)
    return `${beforeQuery}?${searchParams}`
  })
}

/**
 * A URL for each host in this one, in order. `pg` connects to a single host and would look up "a,b" as one name. A URL with one host is
 * returned unchanged.
 * @throws PostgresUrlProblem
 */
export const postgresHosts = (url: string): readonly [string, ...string[]] => {
  const [first, ...others] = ofAuthority(url).flatMap(ofQuery)
  if (first === undefined) throw new PostgresUrlProblem('names no host')
  for (const one of [first, ...others]) assertQuery(parse(one))
  return [first, ...others]
}

/** The values of `sslmode` in the URL. `pg` uses the last one. */
export const postgresSslModes = (url: string): readonly string[] =>
  parse(postgresHosts(url)[0]).searchParams.getAll('sslmode')
