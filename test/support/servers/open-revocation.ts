import pg from 'pg'

/** A transaction of its own that has inserted the revocation of a token or session and takes its time to commit. */
export const openRevocation = async (
  databaseUrl: string,
  kind: 'jti' | 'sid',
  key: string,
  nowMs = Date.now(),
) => {
  const client = new pg.Client(databaseUrl)
  await client.connect()
  await client.query('BEGIN')
  await client.query(
    `INSERT INTO revocations (kind, key, not_after, actor, reason, created_at)
     VALUES ($1, $2, $3, 'somebody', 'their own', $4)`,
    [kind, key, new Date(nowMs + 970_000), new Date(nowMs)],
  )
  const end = (how: string) => async () => {
    await client.query(how)
    await client.end()
  }
  return { commit: end('COMMIT'), rollBack: end('ROLLBACK') }
}
