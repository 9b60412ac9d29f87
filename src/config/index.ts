/**
 * Settings: environment variables in, one frozen object out. The tables in `*-settings.ts` say what each variable means;
 * nothing else in the product reads the environment.
 */
import { isIPv6 } from 'node:net'
import { resolve } from 'node:path'
import type { Config } from './config.ts'
import { ConfigError } from './config-error.ts'
import { type Environment, type SettingReader, settingReader } from './environment.ts'
import { nodeTlsProblems } from './node-tls.ts'
import { brokenRules } from './rules.ts'
import { settings } from './settings.ts'

export type { Config } from './config.ts'
export { ConfigError } from './config-error.ts'
export type { Environment } from './environment.ts'
export { sizeThreadPool } from './thread-pool.ts'
export { configWarnings } from './warnings.ts'

const secondsPerDay = 86_400

/** Every interface is no address to call: the loopback one is, from this machine. */
const localIssuer = (host: string, port: number): string => {
  if (host === '0.0.0.0' || host === '::') return `http://127.0.0.1:${port}`
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`
}

const readIdentity = (read: SettingReader['read']) => {
  const host = read(settings.host)
  const port = read(settings.port)
  const issuer = read(settings.issuer) ?? localIssuer(host, port)
  return { host, port, issuer, audiences: read(settings.audiences) ?? [issuer] }
}

const readConfig = (read: SettingReader['read'], production: boolean): Config => ({
  production,
  ...readIdentity(read),
  dataDir: resolve(read(settings.dataDir)),
  allowedOrigins: read(settings.allowedOrigins),
  trustedProxies: read(settings.trustedProxies),
  logLevel: read(settings.logLevel),
  databaseUrl: read(settings.databaseUrl),
  migrateDatabaseUrl: read(settings.migrateDatabaseUrl),
  redisUrl: read(settings.redisUrl),
  allowPlaintextStores: read(settings.allowPlaintextStores),
  databasePoolSize: read(settings.databasePoolSize),
  databaseConnectTimeoutMs: read(settings.databaseConnectTimeoutMs),
  databaseStartTimeoutSeconds: read(settings.databaseStartTimeoutSeconds),
  databaseStatementTimeoutMs: read(settings.databaseStatementTimeoutMs),
  databasePreparedStatements: read(settings.databasePreparedStatements),
  revokeOnDataLoss: read(settings.revokeOnDataLoss),
  secrets: read(settings.secrets),
  accessTokenSeconds: read(settings.accessTokenSeconds),
  refreshGraceSeconds: read(settings.refreshGraceSeconds),
  refreshLostResponse: read(settings.refreshLostResponse),
  sessionIdleSeconds: read(settings.sessionIdleDays) * secondsPerDay,
  sessionAbsoluteSeconds: read(settings.sessionAbsoluteDays) * secondsPerDay,
  sessionsPerAccount: read(settings.sessionsPerAccount),
  signingAlgorithm: read(settings.signingAlgorithm),
  signingKeyRotationSeconds: read(settings.signingKeyRotationDays) * secondsPerDay,
  passwordPeppers: read(settings.passwordPeppers),
  passwordMinLength: read(settings.passwordMinLength),
  hashConcurrency: read(settings.hashConcurrency),
  hashQueue: read(settings.hashQueue),
  loginFailuresPerSource: read(settings.loginFailuresPerSource),
  loginFailuresPerNetwork: read(settings.loginFailuresPerNetwork),
  loginFailuresGlobal: read(settings.loginFailuresGlobal),
  loggedActsPerAccount: read(settings.loggedActsPerAccount),
})

/** For whoever has to explain a failure before or without a `Config`. */
export const usesEmbeddedPostgres = (environment: Environment = process.env): boolean => {
  const { DATABASE_URL: url } = environment
  return url === undefined || url === ''
}

/** Config is flat: an object of values and of lists of values. */
const freezeWithLists = (config: Config): Config => {
  for (const value of Object.values(config)) Object.freeze(value)
  return Object.freeze(config)
}

/**
 * Reads and checks every setting. Throws `ConfigError` with all that is missing or bad; it names variables and never
 * shows a value.
 */
export const loadConfig = (environment: Environment = process.env): Config => {
  // Production decides what the reader demands, so it is read first; a bad word is reported by this first reader.
  const first = settingReader(environment, false)
  const production = first.read(settings.environment) === 'production'
  const { read, problems } = settingReader(environment, production)

  const config = readConfig(read, production)
  const unreadable = [...first.problems, ...problems]
  // A rule about a setting that could not be read would judge the fallback in its place.
  const names = new Set(unreadable.map((problem) => problem.name))
  const broken = brokenRules(config).filter((problem) => !names.has(problem.name))
  const { NODE_TLS_REJECT_UNAUTHORIZED: rejectUnauthorized } = environment
  const fromNode = production ? nodeTlsProblems(rejectUnauthorized) : []

  const all = [...unreadable, ...broken, ...fromNode]
  if (all.length > 0) throw new ConfigError(all)
  return freezeWithLists(config)
}
