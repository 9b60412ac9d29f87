import type { Sql } from '../../infra/postgres/database.ts'

/** What the role of the application could do beyond its work. */
export type Privileges = {
  readonly isSuperuser: boolean
  /** Directly, or through a role it belongs to. */
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
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
          AND pg_has_role(relowner, 'USAGE')
      ) AS "ownsTables",
      has_schema_privilege(current_schema(), 'CREATE') AS "mayCreate",
      has_table_privilege('audit_events', 'UPDATE, DELETE, TRUNCATE') AS "mayChangeAudit"`,
}

/** Needs the tables to be there. */
export const askPrivileges = async (sql: Sql): Promise<Privileges> => {
  const [row] = await sql.query<Privileges>(statement)
  if (!row) throw new TypeError('a SELECT without FROM gave no row')
  return row
}
