import { createHash } from 'node:crypto'
import pg from 'pg'
import type { Sql } from './database.ts'
import { UnfitDatabase } from './session-settings.ts'

/** The schema when DATABASE_SCHEMA is not set. */
const usual = 'public'

/**
 * The number of an advisory lock that differs between two installations in two schemas of one database. In the default schema it is the
 * unchanged number, as in versions before other schemas were supported, so that versions that run side by side use the same lock.
 * @param number an SQL expression
 */
export const lockNumber = (number: string): string =>
  `CASE coalesce(current_schema(), '${usual}')
    WHEN '${usual}' THEN ${number} ELSE hashtextextended(current_schema(), ${number}) END`

/** Takes such a lock until the end of the transaction. */
export const advisoryLock = (number: string): string =>
  `pg_advisory_xact_lock(${lockNumber(number)})`

/** A notification channel with the same property. The name of a schema may be as long as that of a channel, so its digest is used. */
export const channelIn = (channel: string, schema: string | undefined): string =>
  schema === undefined || schema === usual
    ? channel
    : `${channel}_${createHash('sha256').update(schema).digest('hex').slice(0, 16)}`

const statements = {
  exists: {
    name: 'schema_exists',
    text: 'SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS found',
  },
  create: (schema: string) => ({
    name: 'schema_create',
    text: `CREATE SCHEMA ${pg.escapeIdentifier(schema)}`,
  }),
  surroundings: {
    name: 'schema_surroundings',
    text: `SELECT current_schema()::text AS schema, has_schema_privilege(current_schema(), 'CREATE') AS may_create,
      (SELECT nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass('schema_migrations')) AS holds_tables`,
  },
  elsewhere: {
    name: 'schema_elsewhere',
    text: `SELECT nspname::text AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE relname IN ('schema_migrations', 'signing_keys', 'revocations') AND nspname <> current_schema()
      GROUP BY nspname HAVING count(*) = 3 ORDER BY nspname`,
  },
  occupied: {
    name: 'schema_occupied',
    text: `SELECT relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE nspname = current_schema() AND relname = ANY ($1) ORDER BY relname`,
  },
  columns: {
    name: 'schema_list_columns',
    text: `SELECT attname::text AS name, row_security_active(attrelid) AS is_guarded FROM pg_attribute
      WHERE attrelid = to_regclass('schema_migrations') AND attnum > 0 AND NOT attisdropped`,
  },
}

/** In the schema of Cardea's tables, whoever created them. */
const guardedTables = {
  name: 'schema_guarded_tables',
  text: `SELECT relname::text AS name FROM pg_class
    WHERE relkind IN ('r', 'p') AND relname = ANY ($1) AND row_security_active(oid) AND relnamespace =
      (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_migrations'))`,
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : ''

/**
 * Creates the schema if it does not exist. Not in the transaction of the migrations, because their locks depend on it.
 * @throws UnfitDatabase when the role may not
 */
export const ensureSchema = async (owner: Sql, schema: string): Promise<void> => {
  const [row] = await owner.query<{ found: boolean }>(statements.exists, [schema])
  if (row?.found) return
  try {
    await owner.query(statements.create(schema))
  } catch (error) {
    const code = codeOf(error)
    // duplicate_schema, or unique_violation for a parallel creation: another process has created it.
    if (code === '42P06' || code === '23505') return
    if (code !== '42501') throw error
    throw new UnfitDatabase(
      `there is no schema ${schema}, and the role of MIGRATE_DATABASE_URL may not make one`,
      `as an administrator of the database: CREATE SCHEMA ${pg.escapeIdentifier(schema)} AUTHORIZATION … (that role)`,
      error,
    )
  }
}

type Surroundings = {
  readonly schema: string | null
  readonly may_create: boolean | null
  readonly holds_tables: string | null
}

/**
 * Runs before tables are created: checks that the role may create them, and that they end up beside the existing ones.
 * @throws UnfitDatabase
 */
export const assertMayCreate = async (owner: Sql): Promise<void> => {
  const [found] = await owner.query<Surroundings>(statements.surroundings)
  const schema = found?.schema ?? undefined
  if (schema === undefined) {
    throw new UnfitDatabase(
      'the role of MIGRATE_DATABASE_URL may use no schema of its search path',
      'GRANT USAGE, CREATE ON SCHEMA … TO … (that role), or set DATABASE_SCHEMA',
    )
  }
  const holdsTables = found?.holds_tables ?? schema
  if (holdsTables !== schema) {
    throw new UnfitDatabase(
      `Cardea's tables are in the schema ${holdsTables}, and new ones would be made in ${schema}`,
      `set DATABASE_SCHEMA=${holdsTables}`,
    )
  }
  if (found?.may_create !== true) {
    const others = await owner.query<{ schema: string }>(statements.elsewhere)
    if (others.length > 0) {
      const names = others.map((other) => other.schema)
      throw new UnfitDatabase(
        `there are no tables of Cardea in the schema ${schema}, but in ${names.join(', ')}`,
        `set DATABASE_SCHEMA=${names[0]}`,
      )
    }
    throw new UnfitDatabase(
      `the role of MIGRATE_DATABASE_URL (of DATABASE_URL if it is not set) may not make tables in the schema ${schema}`,
      `name the schema in DATABASE_SCHEMA if it is another one, or set MIGRATE_DATABASE_URL to the owner's role; for a first installation, as the owner of the schema: GRANT USAGE, CREATE ON SCHEMA ${pg.escapeIdentifier(schema)} TO … (the role that migrates)`,
    )
  }
}

const usableBy = {
  name: 'schema_usable_by',
  text: `SELECT nspname::text AS schema, has_schema_privilege($1, nspname::text, 'USAGE') AS may_use
    FROM pg_namespace WHERE oid = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_migrations'))`,
}

/**
 * Runs after the grants, because Postgres only warns when a role grants what it may not grant.
 * @throws UnfitDatabase
 */
export const assertUsableBy = async (owner: Sql, appRole: string): Promise<void> => {
  const [found] = await owner.query<{ schema: string; may_use: boolean }>(usableBy, [appRole])
  if (!found || found.may_use) return
  throw new UnfitDatabase(
    `the role of DATABASE_URL may not use the schema ${found.schema}, and the role of MIGRATE_DATABASE_URL may not allow it to`,
    `as the owner of the schema: GRANT USAGE ON SCHEMA ${pg.escapeIdentifier(found.schema)} TO … (the role of DATABASE_URL), or make the other role its owner`,
  )
}

const foreign = (names: readonly string[]): UnfitDatabase =>
  new UnfitDatabase(
    `another program has tables here with names that Cardea uses: ${names.join(', ')}`,
    'set DATABASE_SCHEMA, for example DATABASE_SCHEMA=cardea, so that Cardea has a schema of its own; or name an empty database',
  )

/** Policies hide rows silently, and a hidden revocation would have no effect. */
const guarded = (names: readonly string[]): UnfitDatabase =>
  new UnfitDatabase(
    `row-level security is on and may hide rows from the role of DATABASE_URL: ${names.join(', ')}`,
    'ALTER TABLE … DISABLE ROW LEVEL SECURITY on each of these; what the role may do is limited by privileges',
  )

/** @throws UnfitDatabase when a policy may hide rows of one of these tables from the role */
export const assertUnguarded = async (sql: Sql, tables: readonly string[]): Promise<void> => {
  const found = await sql.query<{ name: string }>(guardedTables, [tables])
  if (found.length > 0) throw guarded(found.map(({ name }) => name))
}

/**
 * Other programs also have a `schema_migrations` table, with other columns.
 * @returns whether Cardea's own list of migrations exists
 * @throws UnfitDatabase for the list of another program, and for one that the role may not read completely
 */
export const hasOwnList = async (sql: Sql): Promise<boolean> => {
  const found = await sql.query<{ name: string; is_guarded: boolean }>(statements.columns)
  const names = new Set(found.map(({ name }) => name))
  if (names.size === 0) return false
  if (!['version', 'name', 'checksum', 'applied_at'].every((name) => names.has(name))) {
    throw foreign(['schema_migrations'])
  }
  if (found.some((column) => column.is_guarded)) throw guarded(['schema_migrations'])
  return true
}

/** @throws UnfitDatabase when one of these names exists already, and so does not belong to Cardea */
export const assertUnoccupied = async (owner: Sql, names: readonly string[]): Promise<void> => {
  const found = await owner.query<{ name: string }>(statements.occupied, [names])
  if (found.length > 0) throw foreign(found.map(({ name }) => name))
}
