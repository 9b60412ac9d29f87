import type { Core } from '../../core.ts'
import { postgresAfterLoss } from '../../data-loss.ts'
import { missingIndexes } from '../../infra/postgres/build-indexes.ts'
import type { Sql } from '../../infra/postgres/database.ts'
import { unknownMigrations } from '../../infra/postgres/migrate.ts'
import { inspectKeys, postgresSigningKeyStore } from '../../keys/index.ts'
import { malformedRevocations, postgresReadLog } from '../../revocation/index.ts'
import { isSchemaCurrent } from '../../schema.ts'
import { type Finding, fail, failIn, guarded, ok, skip, warn } from './finding.ts'

/** What the application's role could do beyond what it needs. */
export type Privileges = {
  readonly isSuperuser: boolean
  /** Directly, or through membership in a role. */
  readonly ownsTables: boolean
  readonly mayCreate: boolean
  readonly mayChangeAudit: boolean
}

const statement = {
  name: 'doctor_privileges',
  text: `SELECT
      (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS "isSuperuser",
      EXISTS (
        SELECT FROM pg_class
        WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind IN ('r', 'p')
          AND pg_has_role(relowner, 'USAGE')
      ) AS "ownsTables",
      has_schema_privilege(current_schema(), 'CREATE') AS "mayCreate",
      has_table_privilege('audit_events', 'UPDATE, DELETE, TRUNCATE') AS "mayChangeAudit"`,
}

/** Requires that the tables exist. */
const askPrivileges = async (sql: Sql): Promise<Privileges> => {
  const [row] = await sql.query<Privileges>(statement)
  if (!row) throw new TypeError('a SELECT without FROM gave no row')
  return row
}

/** Above this a time service does not work. No decision uses this machine's clock, but the fault grows. */
const skewWarnMs = 1000

const versionStatement = {
  name: 'doctor_version',
  text: `SELECT current_setting('server_version') AS version`,
}

/** Every connection refuses a version that is too old. */
const checkVersion = async ({ database }: Core): Promise<Finding> => {
  const [row] = await database.query<{ version: string }>(versionStatement)
  return ok('postgres', `PostgreSQL ${row?.version} responds`)
}

/** The same check as at the start of the service. */
const checkFitness = async (core: Core): Promise<Finding> => {
  const feedId = await core.assertFit()
  return ok('postgres-functions', `all work that the service needs; the log is ${feedId}`)
}

/** Committed data must be on disk and survive a power cut. */
const durabilityStatement = {
  name: 'doctor_durability',
  text: `SELECT name FROM unnest('{fsync,full_page_writes}'::text[]) AS name WHERE current_setting(name) = 'off'`,
}

const checkDurability = async ({ config, database }: Core): Promise<Finding> => {
  const off = await database.query<{ name: string }>(durabilityStatement)
  if (off.length === 0) return ok('postgres-durability', 'what is committed is on disk')
  const names = off.map(({ name }) => name).join(' and ')
  return failIn(config.production)(
    'postgres-durability',
    `${names} is off: a power cut loses or breaks what was committed`,
    'set it to on in the configuration of Postgres',
  )
}

/** The service's criterion: a `fail` here is a warning in its log, and above 30 s it is not ready. */
const checkClock = async ({ machine: { clock: time } }: Core): Promise<Finding> => {
  await time.start()
  const skewMs = Math.abs(time.aheadMs())
  const text = `this machine and Postgres are ${Math.round(skewMs)} ms apart`
  const fix = 'let a time service (chrony, systemd-timesyncd) keep both clocks'
  if (time.agreement() !== 'agrees') return fail('postgres-clock', text, fix)
  return skewMs > skewWarnMs ? warn('postgres-clock', text, fix) : ok('postgres-clock', text)
}

const timeoutsStatement = {
  name: 'doctor_timeouts',
  text: `SELECT name, setting::integer AS "valueMs" FROM pg_settings
    WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout') ORDER BY name`,
}

/** Behind a pooler nothing is set on a connection, so the limits are those of the role. Zero: no limit. */
const checkTimeouts = async ({ database }: Core): Promise<readonly Finding[]> => {
  const rows = await database.query<{ name: string; valueMs: number }>(timeoutsStatement)
  const lost = rows.filter(({ valueMs }) => valueMs === 0).map(({ name }) => name)
  if (lost.length === 0)
    return [ok('postgres-timeouts', 'Postgres ends statements and transactions that take too long')]
  const text = `${lost.join(' and ')} of the service did not reach Postgres: a stalled process keeps its locks`
  const fix =
    'set both for the role, e.g. ALTER ROLE … SET idle_in_transaction_session_timeout = 5000'
  return [warn('postgres-timeouts', text, fix)]
}

/** This is temporary during an upgrade, and permanent after a rollback. */
const checkNewer = async ({ database }: Core): Promise<readonly Finding[]> => {
  const unknown = await unknownMigrations(database)
  if (unknown.length === 0) return []
  const text = `has migrations that this version does not know: ${unknown.join(', ')}`
  return [warn('schema', text, 'run the version that made them, or restore a back-up from before')]
}

const checkSchema = async (core: Core): Promise<readonly Finding[]> => {
  if (await isSchemaCurrent(core.database)) {
    const found = [...(await checkNewer(core)), ...(await checkIndexes(core))]
    return [ok('schema', 'has all that this version needs'), ...found]
  }
  const text = 'is not migrated to this version'
  // The next process that opens the embedded database migrates it.
  return core.config.databaseUrl === undefined
    ? [warn('schema', text, 'start the service, or run `cardea migrate`')]
    : [fail('schema', text, 'run `cardea migrate`')]
}

/** An attacker who controls the service must not be able to change the audit trail or the schema. */
const checkRole = async ({ config, database }: Core): Promise<readonly Finding[]> => {
  const privileges = await askPrivileges(database)
  const excesses = [
    privileges.isSuperuser && 'is a superuser',
    privileges.ownsTables && 'owns tables',
    privileges.mayCreate && 'may create tables',
    privileges.mayChangeAudit && 'may change the audit trail',
  ].filter((text) => text !== false)
  if (excesses.length === 0) return [ok('postgres-role', 'has only the privileges that it needs')]
  const fix =
    'make a role with LOGIN and nothing else, name it in DATABASE_URL and the owner in MIGRATE_DATABASE_URL, run `cardea migrate`'
  return excesses.map((text) => failIn(config.production)('postgres-role', `the role ${text}`, fix))
}

/** A start does not wait long for the transactions that a build waits for. */
const checkIndexes = async ({ database }: Core): Promise<readonly Finding[]> => {
  const missing = await missingIndexes(database)
  if (missing.length === 0) return []
  const text = `has no finished index ${missing.join(', ')}: some reads scan a whole table`
  return [warn('schema', text, 'run `cardea migrate`')]
}

const checkKeys = async ({ config, database, ring }: Core): Promise<Finding> => {
  const store = postgresSigningKeyStore(database)
  const inUse = await inspectKeys({ store, secrets: ring })
  if (!inUse) return ok('signing-keys', 'none yet: the first start makes them')
  const { algorithm, count } = inUse
  const text = `${count} open with this secret, tokens are signed with ${algorithm}`
  return algorithm === config.signingAlgorithm
    ? ok('signing-keys', text)
    : warn(
        'signing-keys',
        text,
        `run \`cardea keys rotate\` to begin the change to SIGNING_ALGORITHM ${config.signingAlgorithm}`,
      )
}

/** Such a row revokes nothing, although it was meant to. */
const checkRevocations = async ({ database, machine }: Core): Promise<Finding> => {
  const malformed: string[] = []
  const log = postgresReadLog(database, machine.clock, (rows) => malformed.push(...rows))
  const { entries } = await log.snapshot()
  if (malformed.length === 0) {
    return ok('revocations', `${entries.length} entries in force, all readable`)
  }
  const fix = 'revoke again what was meant (`cardea revoke`), then delete these rows'
  return fail('revocations', malformedRevocations(malformed).message, fix)
}

/**
 * The same as `data` of `/health/ready`. Only an operator can decide whether the missing changes justify that everybody must log in again.
 */
const checkLosses = async ({ database }: Core): Promise<Finding> =>
  (await postgresAfterLoss(database).isAnswered())
    ? ok('data', 'no loss of commits is unresolved')
    : warn(
        'data',
        'Postgres has lost commits, and what was issued before the loss is still valid',
        'run `cardea revoke --everyone`',
      )

const one = (name: string, check: () => Promise<Finding>) =>
  guarded(name, async () => [await check()])

/** In this order, because the first findings explain the later ones. */
export const checkDatabase = async (
  core: Core,
  whenUp = core.database.ping,
): Promise<readonly Finding[]> => {
  const away = await guarded('postgres', async () => {
    await whenUp()
    return []
  })
  if (away.length > 0) return away
  const schema = await guarded('schema', () => checkSchema(core))
  const hasTables = schema.some(({ state }) => state === 'ok')
  return [
    ...(await one('postgres', () => checkVersion(core))),
    ...(await one('postgres-durability', () => checkDurability(core))),
    ...(await one('postgres-clock', () => checkClock(core))),
    ...(await guarded('postgres-timeouts', () => checkTimeouts(core))),
    ...schema,
    ...(hasTables
      ? [
          ...(await one('postgres-functions', () => checkFitness(core))),
          ...(await guarded('postgres-role', () => checkRole(core))),
          ...(await one('signing-keys', () => checkKeys(core))),
          ...(await one('revocations', () => checkRevocations(core))),
          ...(await one('data', () => checkLosses(core))),
        ]
      : [skip('signing-keys', 'the tables do not exist, so nothing was checked')]),
  ]
}
