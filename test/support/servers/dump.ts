import pg from 'pg'

export type Dump = {
  readonly pid: number
  readonly end: () => Promise<void>
}

/** What `pg_dump` does to others: it holds every table open for reading, in one transaction that lasts for as long as the dump. */
export const beginDump = async (ownerUrl: string): Promise<Dump> => {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'pg_dump' })
  await client.connect()
  await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY')
  const { rows } = await client.query<{ name: string }>(
    `SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'`,
  )
  const names = rows.map(({ name }) => name).join(', ')
  await client.query(`LOCK TABLE ${names} IN ACCESS SHARE MODE`)
  const self = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  return {
    pid: self.rows[0]?.pid ?? 0,
    end: async () => {
      await client.query('COMMIT')
      await client.end()
    },
  }
}
