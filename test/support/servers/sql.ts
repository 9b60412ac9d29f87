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

/** One statement for all tables: each row as a line of text. */
const dumpStatement = `SELECT string_agg(format('SELECT %L || t::text AS line FROM %I t', tablename || ' ', tablename), ' UNION ALL ')
  AS statement FROM pg_tables WHERE schemaname = 'public'`

/** Every row of every table of the database as text, one a line, in order: what somebody who steals a dump reads. */
export const dumpOf = async (ownerUrl: string): Promise<string> => {
  const client = new pg.Client(ownerUrl)
  await client.connect()
  try {
    const [all] = (await client.query<{ statement: string }>(dumpStatement)).rows
    if (!all) throw new Error('no tables')
    const { rows } = await client.query<{ line: string }>(`${all.statement} ORDER BY line`)
    return rows.map(({ line }) => line).join('\n')
  } finally {
    await client.end()
  }
}
