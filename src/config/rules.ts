import { isWellKnownSecret } from './secret-format.ts'
import type { SettingProblem } from './setting.ts'
import { namesSentinels, verifiesPostgresTls, verifiesRedisTls } from './store-addresses.ts'

/** The checked and frozen settings. Contains secrets: never log it. */
export type Config = {
  readonly production: boolean
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** An absolute path. */
  readonly dataDir: string
  /** Undefined: the embedded Postgres; never in production. */
  readonly databaseUrl: string | undefined
  /** Undefined: migrations use `databaseUrl`. */
  readonly migrateDatabaseUrl: string | undefined
  /** Undefined: the schema of the connection. */
  readonly databaseSchema: string | undefined
  /** Undefined: no Redis; never in production. */
  readonly redisUrl: string | undefined
  readonly redisSentinelUsername: string | undefined
  readonly redisSentinelPassword: string | undefined
  readonly allowPlaintextStores: boolean
  readonly databasePoolSize: number
  readonly redisTimeoutMs: number
  readonly databaseConnectTimeoutMs: number
  readonly databaseStartTimeoutSeconds: number
  readonly databaseStatementTimeoutMs: number
  readonly databasePreparedStatements: boolean
  readonly revokeOnDataLoss: boolean
  /** Exactly as configured. */
  readonly issuer: string
  /** Never empty; the first is the default. `issuer` is accepted too, even if it is not listed. */
  readonly audiences: readonly string[]
  readonly allowedOrigins: readonly string[]
  /** CIDR ranges; a plain address became a /32 or a /128. Empty: no proxy is trusted. */
  readonly trustedProxies: readonly string[]
  readonly maxHeaderBytes: number
  readonly shutdownDelaySeconds: number
  /** The first makes, all verify. Undefined: generated and kept in `dataDir`; never in production. */
  readonly secrets: readonly string[] | undefined
  /** The first makes, all verify. Undefined: the one in `dataDir`, which is generated together with a secret; otherwise none. */
  readonly passwordPeppers: readonly string[] | undefined
  readonly accessTokenSeconds: number
  readonly refreshGraceSeconds: number
  readonly refreshLostResponse: 'resume' | 'end'
  readonly sessionIdleSeconds: number
  /** At least `sessionIdleSeconds`. */
  readonly sessionAbsoluteSeconds: number
  /** At most `sessionAbsoluteSeconds`. */
  readonly browserSessionSeconds: number
  readonly sessionsPerAccount: number
  readonly signingAlgorithm: 'ES256' | 'RS256' | 'Ed25519'
  readonly signingKeyRotationSeconds: number
  /** The issuer's host is at or below it. Undefined: the session cookie belongs to one host. */
  readonly cookieDomain: string | undefined
  /** At or below `cookieDomain`, as in a `Host` header. Undefined: every host at or below it. */
  readonly returnHosts: readonly string[] | undefined
  readonly serviceName: string | undefined
  /** The path of a file. */
  readonly serviceLogo: string | undefined
  readonly passwordMinLength: number
  readonly hashConcurrency: number
  readonly hashQueue: number
  readonly loginFailuresPerSource: number
  readonly loginFailuresPerNetwork: number
  readonly loginFailuresGlobal: number
  readonly loggedActsPerAccount: number
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
}

type Rule = SettingProblem & { readonly isBroken: (config: Config) => boolean }

const isPlainPostgres = (url: string | undefined): boolean =>
  url !== undefined && !verifiesPostgresTls(url)

const isPlainRedis = (url: string | undefined): boolean =>
  url !== undefined && !verifiesRedisTls(url)

const holdsWellKnown = (secrets: readonly string[] | undefined): boolean =>
  secrets?.some(isWellKnownSecret) ?? false

const isAtOrBelow = (host: string, domain: string): boolean =>
  host === domain || host.endsWith(`.${domain}`)

/** Without the port. */
const hostOf = (authority: string): string => authority.replace(/:\d+$/, '')

const unlessAllowed = 'or ALLOW_PLAINTEXT_STORES=true on a private network'
const postgresWithoutTls = `must end with sslmode=verify-full (or verify-ca) in production, ${unlessAllowed}`
const wellKnown =
  'contains a well-known or repeated text: make one with "openssl rand -base64 32" (in production)'

/** Rules about combinations of settings, checked everywhere. */
const alwaysRules: readonly Rule[] = [
  {
    name: 'SESSION_ABSOLUTE_DAYS',
    message: 'must be at least SESSION_IDLE_DAYS',
    isBroken: (config) => config.sessionAbsoluteSeconds < config.sessionIdleSeconds,
  },
  {
    name: 'BROWSER_SESSION_HOURS',
    message: 'must not be longer than SESSION_ABSOLUTE_DAYS',
    isBroken: (config) => config.browserSessionSeconds > config.sessionAbsoluteSeconds,
  },
  {
    // A statement that waited longer than the grace period rotates with an old time, and tabs that retry together would get different
    // successors.
    name: 'REFRESH_GRACE_SECONDS',
    message:
      'must be 0, or longer than DATABASE_CONNECT_TIMEOUT_MS and DATABASE_STATEMENT_TIMEOUT_MS together',
    isBroken: ({ refreshGraceSeconds, databaseConnectTimeoutMs, databaseStatementTimeoutMs }) =>
      refreshGraceSeconds > 0 &&
      refreshGraceSeconds * 1000 <= databaseConnectTimeoutMs + databaseStatementTimeoutMs,
  },
  {
    // When two tabs refresh at once, the second would get a further token, and the next refresh of the first would look like theft.
    name: 'REFRESH_GRACE_SECONDS',
    message: 'must be above 0 unless REFRESH_LOST_RESPONSE is end',
    isBroken: ({ refreshGraceSeconds, refreshLostResponse }) =>
      refreshGraceSeconds === 0 && refreshLostResponse === 'resume',
  },
  {
    name: 'COOKIE_DOMAIN',
    message:
      'must be the host of ISSUER, or a domain above it, and ISSUER must begin with https://',
    isBroken: ({ cookieDomain, issuer }) =>
      cookieDomain !== undefined &&
      !(/^https:/i.test(issuer) && isAtOrBelow(new URL(issuer).hostname, cookieDomain)),
  },
  {
    name: 'RETURN_HOSTS',
    message: 'must name hosts at or below COOKIE_DOMAIN, which must be set',
    isBroken: ({ cookieDomain, returnHosts = [] }) =>
      returnHosts.some(
        (host) => cookieDomain === undefined || !isAtOrBelow(hostOf(host), cookieDomain),
      ),
  },
  {
    // Each key has one purpose, so that a leak from one use does not affect the other (ASVS 5.0 11.1.2).
    name: 'PASSWORD_PEPPER',
    message: 'must not repeat a secret of CARDEA_SECRET',
    isBroken: (config) =>
      config.passwordPeppers?.some((pepper) => config.secrets?.includes(pepper)) ?? false,
  },
  {
    // It would be ignored, while the operator believes that it protects something.
    name: 'REDIS_SENTINEL_PASSWORD',
    message: 'has no use: REDIS_URL names no Sentinels (redis+sentinel://)',
    isBroken: ({ redisUrl, redisSentinelPassword }) =>
      redisSentinelPassword !== undefined && !namesSentinels(redisUrl),
  },
  {
    name: 'REDIS_SENTINEL_USERNAME',
    message: 'needs REDIS_SENTINEL_PASSWORD',
    isBroken: ({ redisSentinelUsername, redisSentinelPassword }) =>
      redisSentinelUsername !== undefined && redisSentinelPassword === undefined,
  },
]

const productionRules: readonly Rule[] = [
  {
    name: 'ISSUER',
    message: 'must begin with https:// in production',
    isBroken: (config) => !/^https:/i.test(config.issuer),
  },
  {
    name: 'CARDEA_SECRET',
    message: wellKnown,
    isBroken: (config) => holdsWellKnown(config.secrets),
  },
  {
    name: 'PASSWORD_PEPPER',
    message: wellKnown,
    isBroken: (config) => holdsWellKnown(config.passwordPeppers),
  },
  {
    name: 'DATABASE_URL',
    message: postgresWithoutTls,
    isBroken: (config) => !config.allowPlaintextStores && isPlainPostgres(config.databaseUrl),
  },
  {
    name: 'MIGRATE_DATABASE_URL',
    message: postgresWithoutTls,
    isBroken: (config) =>
      !config.allowPlaintextStores && isPlainPostgres(config.migrateDatabaseUrl),
  },
  {
    name: 'REDIS_URL',
    message: `must begin with rediss in production, ${unlessAllowed}`,
    isBroken: (config) => !config.allowPlaintextStores && isPlainRedis(config.redisUrl),
  },
]

/** Settings that are valid alone but not together. A name may appear twice. */
export const brokenRules = (config: Config): SettingProblem[] => {
  const rules = config.production ? [...alwaysRules, ...productionRules] : alwaysRules
  return rules
    .filter((rule) => rule.isBroken(config))
    .map(({ name, message }) => ({ name, message }))
}

/**
 * TLS ends at a proxy. If no proxy is configured, every request except health checks is refused, because it seems to be plain HTTP from the
 * proxy's address.
 */
export const noTrustedProxy =
  'TRUSTED_PROXIES is empty: no proxy is trusted to terminate TLS, so every request except /health/ gets 403'

/** Warnings about allowed but risky settings: one sentence each, logged at every start. Contains no secret. */
export const configWarnings = (config: Config): string[] => {
  const warnings: string[] = []
  if (config.allowPlaintextStores) {
    warnings.push(
      'ALLOW_PLAINTEXT_STORES is true: connections to Postgres and Redis may be readable and forgeable on the network',
    )
  }
  if (config.issuer.endsWith(':0')) {
    warnings.push('PORT is 0 and ISSUER is not set: the issuer of tokens names no real address')
  }
  if (config.cookieDomain !== undefined) {
    warnings.push(
      `COOKIE_DOMAIN is set: every host below ${config.cookieDomain} can read and set the session cookie, so each of them must be trusted`,
    )
    if (config.trustedProxies.length === 0) {
      warnings.push(
        'COOKIE_DOMAIN is set and TRUSTED_PROXIES is empty: the requested page is unknown, so the login page cannot return to it',
      )
    }
  }
  if (!config.production) return warnings
  if (config.trustedProxies.length === 0) warnings.push(noTrustedProxy)
  if (config.allowedOrigins.some((origin) => origin.startsWith('http:'))) {
    warnings.push('ALLOWED_ORIGINS contains an http:// origin: its pages can be changed in transit')
  }
  return warnings
}
