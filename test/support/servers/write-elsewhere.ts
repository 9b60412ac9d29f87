import pg from 'pg'

/**
 * A transaction that writes in another database of the cluster and stays open, as that of a back-up, of another application, or of
 * somebody who went home. `url` is that of a role that may connect to it.
 */
export const writeElsewhere = async (
  url: string,
): Promise<{ readonly end: () => Promise<void> }> => {
  const client = new pg.Client(new URL('/template1', url).href)
  await client.connect()
  await client.query('BEGIN')
  await client.query('SELECT pg_current_xact_id()')
  return { end: () => client.end() }
}
