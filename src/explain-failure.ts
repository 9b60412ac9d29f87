import { ConfigError, usesEmbeddedPostgres } from './config/index.ts'
import { MigrationBlocked } from './infra/postgres/lock-patience.ts'
import { MigrationMismatch } from './infra/postgres/migrate.ts'
import { UnfitDatabase } from './infra/postgres/session-settings.ts'
import { RedisLoginRejected } from './infra/redis/redis.ts'
import { WrongKeyEncryptionKey } from './keys/index.ts'
import { AppError } from './lib/app-error.ts'

/**
 * Maps what stops the process or a command to a text for a person at a terminal, a hint and the exit code. Errors of requests are mapped in
 * http/failures.ts, and errors of the Postgres driver in infra/postgres/store-failure.ts.
 */
export type Failure = {
  readonly messages: readonly string[]
  readonly hint: string
  /** Stable, for scripts. */
  readonly code: string
  readonly exitCode: number
}

/** The exit codes of every command; `docs/reference/cli.md` lists them. */
export const exitCodes = { failed: 1, usage: 2, settings: 3, inUse: 4, storeAway: 5 } as const

type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

const one = (code: string, message: string, hint: string, exitCode: ExitCode): Failure => ({
  messages: [message],
  hint,
  code,
  exitCode,
})

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : ''

const textOf = (error: unknown): string => {
  // Trying both addresses of `localhost` ends in an AggregateError, whose own message is empty.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error
  return first instanceof Error ? first.message : String(first)
}

const hints: Readonly<Record<string, string>> = {
  account_exists: '`cardea account list --email …` shows it',
  account_not_found: '`cardea account list` lists the accounts',
  client_name_taken:
    '`cardea client list` shows which client has it: add a secret to that client with `cardea client secret add`, or free the name with `cardea client disable`',
  client_disabled: 'a disabled client is never enabled again; `cardea client create` makes another',
  client_secret_not_found: '`cardea client secret list` lists the secrets',
  client_not_found: '`cardea client list` lists the clients',
  invalid_client_name:
    'take 1 to 64 letters, digits, dots, underscores and hyphens, a letter or digit first',
  invalid_client_owner:
    '`cardea account enable` enables a disabled account; or name another owner, or none',
  invalid_client_scope:
    'take up to 32 scopes of printable characters without quotes and backslashes; `account` and `admin` are for people',
  invalid_email: 'write it as name@example.com',
  last_client_secret:
    'disable the client with `cardea client disable`, or add another secret first',
  too_many_client_secrets: '`cardea client secret list` lists the secrets',
  unknown_client_audience: 'AUDIENCE lists the allowed ones',
  session_not_found:
    '`GET /admin/accounts/{id}/sessions` shows those of an account; the token of a service client is revoked with --jti',
  signing_key_not_found: '`cardea keys list --all` lists every key that ever existed',
  password_rejected: 'choose a longer or less common one; PASSWORD_MIN_LENGTH sets the minimum',
}

const databaseHint =
  'check DATABASE_URL, and that Postgres runs, is the primary and accepts the login of this role; DATABASE_START_TIMEOUT_SECONDS sets how long to wait for it'

const embeddedHint =
  'the embedded Postgres may need more time on a busy machine: set DATABASE_START_TIMEOUT_SECONDS higher; postgres.log in DATA_DIR says what it does'

const appFailure = (error: AppError): Failure => {
  const { code, cause } = error
  if (code === 'store_unavailable') {
    return one(
      code,
      `Postgres does not respond: ${textOf(cause)}`,
      usesEmbeddedPostgres() ? embeddedHint : databaseHint,
      exitCodes.storeAway,
    )
  }
  const why = error.status >= 500 && cause !== undefined ? ` (${textOf(cause)})` : ''
  const hint = hints[code] ?? `the code is ${code}; docs/reference/errors.md explains it`
  return one(code, `${error.message}${why}`, hint, exitCodes.failed)
}

type Known = readonly [
  type: new (...args: never[]) => Error,
  code: string,
  hint: string,
  exitCode: ExitCode,
]

const { failed, settings, inUse, storeAway } = exitCodes

const known: readonly Known[] = [
  [
    MigrationMismatch,
    'migration_mismatch',
    'run the version that made this database, or restore the migration file',
    failed,
  ],
  [
    MigrationBlocked,
    'migration_blocked',
    'let that session end (a back-up, a report), or end it with `SELECT pg_terminate_backend(pid)`; then run `cardea migrate` again: no migration is half done',
    failed,
  ],
  [
    RedisLoginRejected,
    'redis_login_rejected',
    'check user, password and database of REDIS_URL; Sentinels have a password of their own, REDIS_SENTINEL_PASSWORD',
    storeAway,
  ],
  [
    WrongKeyEncryptionKey,
    'wrong_secret',
    'start with the CARDEA_SECRET that was in use before (several may be listed)',
    settings,
  ],
]

type Explanation = { readonly hint: string; readonly exitCode: ExitCode }

/** Errors of `packages/embedded-stores`, by code, because production does not load their classes. */
const embeddedStores: Readonly<Record<string, Explanation>> = {
  data_dir_in_use: {
    hint: 'two services cannot share one folder; commands can run beside a service',
    exitCode: inUse,
  },
  unsafe_file: {
    hint: 'a user who can change these files or read their secrets can log in as anybody; if that may have happened, replace the secrets: docs/guides/operate.md',
    exitCode: settings,
  },
  data_dir_forbidden: {
    hint: 'run it as the owner of the folder (`sudo -u …`), or set DATA_DIR to a folder of your own',
    exitCode: failed,
  },
}

type Symptom = readonly [code: RegExp, message: string, hint: string, exitCode: ExitCode]

/** By the error code of Node, OpenSSL or Postgres (SQLSTATE). */
const symptoms: readonly Symptom[] = [
  [
    /^EADDRINUSE$/,
    'the address is taken by another program',
    'set PORT to a free port, or end that program',
    failed,
  ],
  [
    /^EACCES$/,
    'this user lacks a permission',
    'set PORT to 1024 or more; run it as the owner of the files in DATA_DIR, or set DATA_DIR to a folder of your own',
    failed,
  ],
  [
    /^(28...|3D000)$/,
    'Postgres rejected the login of this role',
    'check user, password and database of DATABASE_URL and MIGRATE_DATABASE_URL',
    storeAway,
  ],
  [
    /^42501$/,
    'the database role lacks a privilege',
    'run `cardea migrate` with MIGRATE_DATABASE_URL naming the owner of the tables; it grants what is missing',
    failed,
  ],
  [
    /CERT|_SIGNATURE$/,
    'the certificate of a store is not trusted',
    'NODE_EXTRA_CA_CERTS names the file of its authority; the host name must be the one in it',
    storeAway,
  ],
]

/** The explanation of an error that carries one or has a known code. */
const symptomFailure = (error: unknown): Failure | undefined => {
  if (error instanceof UnfitDatabase) {
    return one('database_unfit', error.message, error.fix, failed)
  }
  const code = codeOf(error)
  const symptom = symptoms.find(([pattern]) => pattern.test(code))
  if (!symptom) return undefined
  const [, message, hint, exitCode] = symptom
  return one(code, `${message}: ${textOf(error)}`, hint, exitCode)
}

/** Explains anything that stops the process or a command. The text never contains the value of a setting. */
export const explainFailure = (error: unknown): Failure => {
  if (error instanceof ConfigError) {
    const messages = error.problems.map(({ name, message }) => `${name} ${message}`)
    const hint = 'docs/reference/configuration.md explains every setting'
    return { messages, hint, code: 'settings', exitCode: exitCodes.settings }
  }
  if (error instanceof AppError) return symptomFailure(error.cause) ?? appFailure(error)
  for (const [type, code, hint, exitCode] of known) {
    if (error instanceof type) return one(code, error.message, hint, exitCode)
  }
  const code = codeOf(error)
  const embedded = embeddedStores[code]
  if (embedded) return one(code, textOf(error), embedded.hint, embedded.exitCode)
  return (
    symptomFailure(error) ??
    one('failed', textOf(error), '`cardea doctor` checks this deployment', exitCodes.failed)
  )
}

/** `error:` lines, then `hint:`. */
export const failureText = ({ messages, hint }: Failure): string =>
  [...messages.map((message) => `error: ${message}`), `hint: ${hint}`, ''].join('\n')
