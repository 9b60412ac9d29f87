import type { Config } from './config.ts'
import type { SettingProblem } from './config-error.ts'
import { isWellKnownSecret } from './secret.ts'
import { verifiesPostgresTls, verifiesRedisTls } from './store-addresses.ts'

type Rule = SettingProblem & { readonly isBroken: (config: Config) => boolean }

const isPlainPostgres = (url: string | undefined): boolean =>
  url !== undefined && !verifiesPostgresTls(url)

const isPlainRedis = (url: string | undefined): boolean =>
  url !== undefined && !verifiesRedisTls(url)

const holdsWellKnown = (secrets: readonly string[] | undefined): boolean =>
  secrets?.some(isWellKnownSecret) ?? false

const unlessAllowed = 'or ALLOW_PLAINTEXT_STORES=true on a private network'
const postgresWithoutTls = `must end with sslmode=verify-full (or verify-ca) in production, ${unlessAllowed}`
const wellKnown =
  'holds a well-known or repeated text: make one with "openssl rand -base64 32" (in production)'

/** What only two settings together can break; checked everywhere. */
const alwaysRules: readonly Rule[] = [
  {
    name: 'SESSION_ABSOLUTE_DAYS',
    message: 'must be at least SESSION_IDLE_DAYS',
    isBroken: (config) => config.sessionAbsoluteSeconds < config.sessionIdleSeconds,
  },
  {
    // A statement that waited longer than the grace rotates with an old time, and tabs that retry together would get different successors.
    name: 'REFRESH_GRACE_SECONDS',
    message:
      'must be 0, or longer than DATABASE_CONNECT_TIMEOUT_MS and DATABASE_STATEMENT_TIMEOUT_MS together',
    isBroken: ({ refreshGraceSeconds, databaseConnectTimeoutMs, databaseStatementTimeoutMs }) =>
      refreshGraceSeconds > 0 &&
      refreshGraceSeconds * 1000 <= databaseConnectTimeoutMs + databaseStatementTimeoutMs,
  },
  {
    // Of two tabs that refresh at once the second would get a further token, and the first one's next refresh would look like theft.
    name: 'REFRESH_GRACE_SECONDS',
    message: 'must be above 0 unless REFRESH_LOST_RESPONSE is end',
    isBroken: ({ refreshGraceSeconds, refreshLostResponse }) =>
      refreshGraceSeconds === 0 && refreshLostResponse === 'resume',
  },
  {
    // One key, one purpose: what leaks from one use must not open the other (ASVS 5.0 11.1.2).
    name: 'PASSWORD_PEPPER',
    message: 'must not repeat a secret of CARDEA_SECRET',
    isBroken: (config) =>
      config.passwordPeppers?.some((pepper) => config.secrets?.includes(pepper)) ?? false,
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

/** Settings that are well written each and still must not stand. A name may appear twice. */
export const brokenRules = (config: Config): SettingProblem[] => {
  const rules = config.production ? [...alwaysRules, ...productionRules] : alwaysRules
  return rules
    .filter((rule) => rule.isBroken(config))
    .map(({ name, message }) => ({ name, message }))
}
