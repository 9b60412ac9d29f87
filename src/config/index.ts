import { isIPv6 } from 'node:net'
import { resolve } from 'node:path'
import { settings } from './given-settings.ts'
import { readLogoFile } from './logo-file.ts'
import { misspeltSettings } from './misspelt-settings.ts'
import { nodeTlsProblems } from './node-settings.ts'
import { brokenRules, type Config } from './rules.ts'
import { ConfigError, type SettingProblem } from './setting.ts'
import { type Environment, isGiven, type SettingReader, settingReader } from './setting-reader.ts'

/**
 * Reads the settings from environment variables into one frozen object. The tables in `*-settings.ts` define each variable. No other code
 * in the product reads the environment.
 */

export {
  foreignEnvironment,
  type GivenSettings,
  givenSettings,
  settingsBeside,
} from './given-settings.ts'
export { readLogoFile } from './logo-file.ts'
export { misspeltSettings } from './misspelt-settings.ts'
export { sizeThreadPool } from './node-settings.ts'
export { type Config, configWarnings, noTrustedProxy } from './rules.ts'
export { ConfigError } from './setting.ts'
export type { Environment } from './setting-reader.ts'

const secondsPerHour = 3600

const secondsPerDay = 86_400

/** A wildcard address cannot be called, but from this machine the loopback address can. */
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
  maxHeaderBytes: read(settings.maxHeaderBytes),
  shutdownDelaySeconds: read(settings.shutdownDelaySeconds),
  logLevel: read(settings.logLevel),
  databaseUrl: read(settings.databaseUrl),
  migrateDatabaseUrl: read(settings.migrateDatabaseUrl),
  databaseSchema: read(settings.databaseSchema),
  redisUrl: read(settings.redisUrl),
  redisTimeoutMs: read(settings.redisTimeoutMs),
  redisSentinelUsername: read(settings.redisSentinelUsername),
  redisSentinelPassword: read(settings.redisSentinelPassword),
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
  browserSessionSeconds: read(settings.browserSessionHours) * secondsPerHour,
  sessionsPerAccount: read(settings.sessionsPerAccount),
  signingAlgorithm: read(settings.signingAlgorithm),
  signingKeyRotationSeconds: read(settings.signingKeyRotationDays) * secondsPerDay,
  cookieDomain: read(settings.cookieDomain),
  returnHosts: read(settings.returnHosts),
  serviceName: read(settings.serviceName),
  serviceLogo: read(settings.serviceLogo),
  passwordPeppers: read(settings.passwordPeppers),
  passwordMinLength: read(settings.passwordMinLength),
  hashConcurrency: read(settings.hashConcurrency),
  hashQueue: read(settings.hashQueue),
  loginFailuresPerSource: read(settings.loginFailuresPerSource),
  loginFailuresPerNetwork: read(settings.loginFailuresPerNetwork),
  loginFailuresGlobal: read(settings.loginFailuresGlobal),
  loggedActsPerAccount: read(settings.loggedActsPerAccount),
})

/** For code that explains a failure before or without a `Config`. */
export const usesEmbeddedPostgres = (environment: Environment = process.env): boolean =>
  !isGiven(environment, settings.databaseUrl)

/** Config is flat: an object of values and of lists of values. */
const freezeWithLists = (config: Config): Config => {
  for (const value of Object.values(config)) Object.freeze(value)
  return Object.freeze(config)
}

const logoProblems = ({ serviceLogo }: Config): SettingProblem[] => {
  const read = serviceLogo === undefined ? undefined : readLogoFile(serviceLogo)
  if (read === undefined || 'value' in read) return []
  return [{ name: settings.serviceLogo.name, message: read.problem }]
}

export type LoadOptions = {
  /**
   * Also checks the files that the pages show. Commands leave it out, because they may run where these files are not mounted, or in another
   * working directory.
   */
  readonly checksFiles?: boolean
}

/** Reads and checks every setting. Throws `ConfigError` with all missing and invalid ones. It names variables and never shows a value. */
export const loadConfig = (
  environment: Environment = process.env,
  { checksFiles = false }: LoadOptions = {},
): Config => {
  // Production decides which settings are required, so it is read first. This first reader reports an invalid value of it.
  const first = settingReader(environment, false)
  const production = first.read(settings.environment) === 'production'
  const { read, problems } = settingReader(environment, production)

  const config = readConfig(read, production)
  const unreadable = [...first.problems, ...problems]
  // A rule about a setting that could not be read would check its default instead.
  const names = new Set(unreadable.map((problem) => problem.name))
  const broken = brokenRules(config).filter((problem) => !names.has(problem.name))
  const { NODE_TLS_REJECT_UNAUTHORIZED: rejectUnauthorized } = environment
  const fromNode = production ? nodeTlsProblems(rejectUnauthorized) : []

  const inFiles = checksFiles ? logoProblems(config) : []

  const all = [...unreadable, ...broken, ...fromNode, ...inFiles]
  // A missing setting may be present under a misspelt name.
  if (all.length > 0) throw new ConfigError([...all, ...misspeltSettings(environment)])
  return freezeWithLists(config)
}
