import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import type { Database, Sql } from './database.ts'
import { type LockPatience, withLockPatience, withoutLimits } from './lock-patience.ts'
import { assertMayCreate, assertUnoccupied, assertUsableBy, hasOwnList } from './own-schema.ts'

const folder = new URL('../../../migrations/', import.meta.url)

export type Migration = {
  readonly version: number
  readonly name: string
  readonly text: string
  readonly checksum: string
}

/** A migration file was changed after it ran, so the state of the schema is unknown. */
export class MigrationMismatch extends Error {
  override readonly name = 'MigrationMismatch'
}

const fileName = /^(\d{4})_[a-z_]+\.sql$/

/** The migrations of this version, in order. */
const readMigrations = async (): Promise<Migration[]> => {
  const names = (await readdir(folder)).filter((name) => fileName.test(name)).sort()
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, folder), 'utf8')
      const checksum = createHash('sha256').update(text).digest('hex')
      return { version: Number(name.slice(0, 4)), name, text, checksum }
    }),
  )
}

const statements = {
  createTable: {
    name: 'migrate_create_table',
    text: `CREATE TABLE IF NOT EXISTS schema_migrations (
      version integer PRIMARY KEY,
      name text NOT NULL,
      checksum text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now()
    )`,
  },
  applied: { name: 'migrate_applied', text: 'SELECT version, checksum FROM schema_migrations' },
  record: {
    name: 'migrate_record',
    text: 'INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)',
  },
  setRole: { name: 'migrate_set_role', text: `SELECT set_config('cardea.app_role', $1, true)` },
}

/** The checksums of the applied migrations, by version. */
const readApplied = async (sql: Sql): Promise<ReadonlyMap<number, string>> => {
  if (!(await hasOwnList(sql))) return new Map()
  const rows = await sql.query<{ version: number; checksum: string }>(statements.applied)
  return new Map(rows.map(({ version, checksum }) => [version, checksum]))
}

/**
 * The migrations that have not run yet. Reads only, so the application's role may call it. Migrations that this version does not know are
 * no error: during a rolling update, the old processes work on the schema of the new version.
 * @throws MigrationMismatch when an applied migration differs from the one of this version; UnfitDatabase
 */
export const pendingMigrations = async (sql: Sql): Promise<Migration[]> => {
  const known = await readMigrations()
  const applied = await readApplied(sql)
  for (const migration of known) {
    const checksum = applied.get(migration.version)
    if (checksum !== undefined && checksum !== migration.checksum) {
      throw new MigrationMismatch(`${migration.name} was changed after it had run on this database`)
    }
  }
  return known.filter((migration) => !applied.has(migration.version))
}

/** The applied versions that this program does not contain, ascending: a later version made this schema. Reads only. */
export const unknownMigrations = async (sql: Sql): Promise<number[]> => {
  const known = new Set((await readMigrations()).map(({ version }) => version))
  const applied = await readApplied(sql)
  return [...applied.keys()].filter((version) => !known.has(version)).sort((a, b) => a - b)
}

/** The tables and indexes that a migration creates. They share one namespace. */
const madeBy = ({ text }: Migration): string[] =>
  [...text.matchAll(/^CREATE (?:UNIQUE )?(?:TABLE|INDEX) (\w+)/gm)].map(([, name = '']) => name)

/** Every table and index of this version. */
export const ownRelations = async (): Promise<string[]> => (await readMigrations()).flatMap(madeBy)

/** What these migrations create and no earlier one has created. */
const newNames = async (pending: readonly Migration[]): Promise<string[]> => {
  const versions = new Set(pending.map(({ version }) => version))
  const ran = (await readMigrations()).filter(({ version }) => !versions.has(version))
  const there = new Set(ran.flatMap(madeBy))
  return pending.flatMap(madeBy).filter((name) => !there.has(name))
}

const apply = async (sql: Sql, { version, name, text, checksum }: Migration): Promise<void> => {
  await sql.query({ name, text })
  await sql.query(statements.record, [version, name, checksum])
}

const grant = async (sql: Sql, appRole: string): Promise<void> => {
  await sql.query(statements.setRole, [appRole])
  const text = await readFile(new URL('privileges.sql', folder), 'utf8')
  await sql.query({ name: 'privileges', text })
  await assertUsableBy(sql, appRole)
}

export type MigrateOptions = LockPatience & {
  /** Leaves out the migrations after this one, and the grants. For tests of the way from one version to the next. */
  readonly through?: number
}

type Step = { readonly ran: readonly string[]; readonly isLast: boolean }

/**
 * One migration, so that its locks are held as briefly as possible, or all of them on an empty database, which has no users. The grants are
 * part of the last one: a process that finds nothing pending uses what was granted.
 */
const step = async (sql: Sql, appRole: string, through: number): Promise<Step> => {
  const isEmpty = (await readApplied(sql)).size === 0
  const pending = (await pendingMigrations(sql)).filter(({ version }) => version <= through)
  const now = isEmpty ? pending : pending.slice(0, 1)
  if (now.length > 0) {
    await assertMayCreate(sql)
    await assertUnoccupied(sql, await newNames(pending))
  }
  await sql.query(statements.createTable)
  for (const migration of now) await apply(sql, migration)
  const isLast = now.length === pending.length
  if (isLast && through === Number.POSITIVE_INFINITY) await grant(sql, appRole)
  return { ran: now.map(({ name }) => name), isLast }
}

/**
 * Migrates the schema to this version, and grants the application's role its rights. Each migration is applied completely or not at all.
 * The first process does the work; others wait and find nothing left. The service keeps running meanwhile: see `withLockPatience`.
 * @param owner connections whose role may create tables, at least two, opened without prepared statements
 * @returns the names of the migrations that ran now
 * @throws MigrationMismatch, MigrationBlocked, UnfitDatabase
 */
export const migrate = (
  owner: Database,
  appRole: string,
  { through = Number.POSITIVE_INFINITY, ...patience }: MigrateOptions,
): Promise<string[]> =>
  withLockPatience(owner, patience, async (attempt) => {
    const ran: string[] = []
    for (;;) {
      const done = await attempt((sql) => step(sql, appRole, through))
      ran.push(...done.ran)
      if (done.isLast) return ran
    }
  })

/** Only constraints of Cardea's tables: the schema may contain others. */
const unchecked = {
  name: 'unchecked_constraints',
  text: `SELECT format('ALTER TABLE %s VALIDATE CONSTRAINT %I', conrelid::regclass, conname) AS validate
    FROM pg_constraint JOIN pg_class c ON c.oid = conrelid
    WHERE NOT convalidated AND relname = ANY ($1) AND connamespace =
      (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_migrations'))`,
}

/** SQLSTATE check_violation. */
const isViolated = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '23514'

/**
 * Checks the rows that existed before a migration added a constraint as NOT VALID. Each check has its own transaction after those of the
 * migrations, so that reads and writes continue. If an old row violates a constraint, it stays unvalidated and applies to new rows only.
 * That is no reason to fail the start.
 */
export const validateConstraints = async (owner: Database): Promise<void> => {
  const found = await owner.query<{ validate: string }>(unchecked, [await ownRelations()])
  for (const { validate } of found) {
    const validated = owner.transaction(async (sql) => {
      await withoutLimits(sql)
      await sql.query({ name: 'validate_constraint', text: validate })
    })
    await validated.catch((error: unknown) => {
      if (!isViolated(error)) throw error
    })
  }
}
