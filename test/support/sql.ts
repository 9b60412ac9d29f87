import pg from 'pg'

export type RunSql = <Row extends pg.QueryResultRow>(
  text: string,
  values?: readonly unknown[],
) => Promise<Row[]>

/** Runs each statement on a connection of its own, which is closed again: for what a test looks up or breaks behind the service's back. */
export const sqlAs =
  (url: string): RunSql =>
  async <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) => {
    const client = new pg.Client(url)
    await client.connect()
    try {
      return (await client.query<Row>(text, [...values])).rows
    } finally {
      await client.end()
    }
  }

/** Every row of every table of the database as text, one a line: what somebody who steals a dump reads. */
export const dumpOf = async (ownerUrl: string): Promise<string> => {
  const run = sqlAs(ownerUrl)
  const tables = await run<{ name: string }>(
    "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
  )
  const lines: string[] = []
  for (const { name } of tables) {
    const rows = await run<{ line: string }>(`SELECT t::text AS line FROM ${name} t`)
    lines.push(...rows.map(({ line }) => `${name} ${line}`))
  }
  return lines.join('\n')
}
