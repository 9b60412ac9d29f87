import pg from 'pg'

/** The database cannot be used in this state, and waiting does not help: an operator must change something. */
export class UnfitDatabase extends Error {
  override readonly name = 'UnfitDatabase'
  /** What the operator must do. */
  readonly fix: string

  constructor(message: string, fix: string, cause?: unknown) {
    super(message, { cause })
    this.fix = fix
  }
}

export type SessionOptions = {
  /** The only schema for unqualified names. Undefined: that of the role or the database. */
  readonly schema?: string | undefined
  /** Zero or undefined: no limit. */
  readonly statementTimeoutMs?: number
  /** How long a transaction may wait for its next statement. Zero or undefined: no limit. */
  readonly idleInTransactionTimeoutMs?: number | undefined
}

/**
 * The session settings that the statements rely on. They override those of the server, the database and the role. A setting that this
 * server does not know is left out. `synchronous_commit` is raised and never lowered: the operator chooses what a standby must confirm.
 */
const relied: Readonly<Record<string, string>> = {
  // The output format of values: the driver reads only these forms.
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  client_encoding: 'UTF8',
  bytea_output: 'hex',
  extra_float_digits: '1',
  // How statements and parameters are parsed.
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  // The statement after a lock must see what the previous holder has committed.
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  // Makes the statement fail. Otherwise rows hidden by a policy would be silently missing, including revocations.
  row_security: 'off',
  // A response guarantees that its changes are on disk.
  synchronous_commit: 'on',
  // Compiling costs more than any of these statements.
  jit: 'off',
  // Connections are idle in the pool, and a listening one is always idle.
  lock_timeout: '0',
  idle_session_timeout: '0',
  transaction_timeout: '0',
}

export const settingsFor = (options: SessionOptions): Readonly<Record<string, string>> => ({
  ...relied,
  statement_timeout: String(options.statementTimeoutMs ?? 0),
  idle_in_transaction_session_timeout: String(options.idleInTransactionTimeoutMs ?? 0),
  ...(options.schema !== undefined && { search_path: pg.escapeIdentifier(options.schema) }),
})

/** What the server reports about itself and this session. */
export type ServerFacts = {
  readonly version: number
  readonly encoding: string
  readonly settings: Readonly<Record<string, string>>
}

/** PostgreSQL 15 no longer grants CREATE on the schema `public` to everyone, and lets every role read the log position. */
const oldestVersion = 150_000

/** @throws UnfitDatabase */
export const assertServer = ({ version, encoding }: ServerFacts): void => {
  if (version < oldestVersion) {
    const text = `Postgres has the version ${Math.floor(version / 10_000)}, and Cardea needs 15 or later`
    throw new UnfitDatabase(text, 'run PostgreSQL 15 or later')
  }
  if (encoding !== 'UTF8') {
    throw new UnfitDatabase(
      `the database has the encoding ${encoding}, which cannot hold every name and address`,
      "make another database, CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and name it in DATABASE_URL",
    )
  }
}

/** Whether a connection works although the setting has another value. */
const isGoodEnough: Readonly<Record<string, (value: string, wanted: string) => boolean>> = {
  DateStyle: (value) => value.startsWith('ISO'),
  client_encoding: (value) => value === 'UTF8',
  extra_float_digits: (value) => Number(value) > 0,
  standard_conforming_strings: (value) => value === 'on',
  array_nulls: (value) => value === 'on',
  default_transaction_isolation: (value) => value === 'read committed',
  synchronous_commit: (value) => value !== 'off',
  lock_timeout: (value) => value === '0',
  search_path: (value, wanted) => value === wanted || pg.escapeIdentifier(value) === wanted,
}

/**
 * For a pooler's connection, on which nothing may be set: the setting would stay with the server connection, which other clients get next.
 * @throws UnfitDatabase
 */
export const assertPooledSettings = (
  { settings }: ServerFacts,
  wanted: Readonly<Record<string, string>>,
): void => {
  for (const [name, isGood] of Object.entries(isGoodEnough)) {
    const [value, needed] = [settings[name], wanted[name]]
    if (value === undefined || needed === undefined || isGood(value, needed)) continue
    throw new UnfitDatabase(
      `the connections of the pooler have ${name} = ${value}, and Cardea needs ${needed}`,
      `set it for the role of DATABASE_URL, ALTER ROLE … SET ${name} = ${needed}, and let the pooler open new connections`,
    )
  }
}

/**
 * SQLSTATE insufficient_privilege, feature_not_supported and undefined_function: managed Postgres services use all three for missing
 * features.
 */
const withheld = /^(42501|0A000|42883)$/

export const isWithheld = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && withheld.test(String(error.code))

/** Converts a missing privilege into an error that names it, instead of failing repeatedly. */
export const unfitIfWithheld = (error: unknown): unknown =>
  isWithheld(error)
    ? new UnfitDatabase(
        `this Postgres withholds a function that Cardea needs: ${error.message}`,
        'let the role of DATABASE_URL call it, GRANT EXECUTE ON FUNCTION … TO …; docs/guides/operate.md lists what Cardea calls',
        error,
      )
    : error
