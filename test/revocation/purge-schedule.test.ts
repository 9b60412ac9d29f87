import { expect, test, vi } from 'vitest'
import { startBackground } from '../../src/background.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'

test('what has ended is dropped batch after batch until nothing of it is left, without waiting for the next turn', async () => {
  const cardea = await startCardea()
  const { core } = cardea.instances[0]!
  const sql = sqlAs(cardea.stores.migrateUrl)
  const people = await Promise.all([cardea.createAccount(), cardea.createAccount()])
  for (const person of people) await cardea.client.logIn(person)
  const add = `INSERT INTO revocations (kind, key, not_after, actor, reason, created_at)
    SELECT 'jti', rpad($1 || n, 21, '_') || 'A', now() + $2::interval, 'somebody', 'their own', now() FROM generate_series(1, $3) n`
  await sql(add, ['ended', '-1 second', 60])
  await sql(add, ['standing', '1 hour', 3])
  await sql(
    `UPDATE sessions SET absolute_expires_at = now() - interval '2 days'
    WHERE account_id = (SELECT id FROM accounts WHERE email = $1)`,
    [people[0]?.email],
  )

  // A batch a turn would take a minute.
  const background = startBackground(core, { everyMs: 2_000, batchRows: 2, soonMs: 1 })
  try {
    const left = async () => {
      const rows = await sql<{ key: string }>('SELECT key FROM revocations ORDER BY key')
      return rows.map(({ key }) => key)
    }
    await vi.waitUntil(async () => (await left()).length <= 3, { interval: 100 })
    expect(await left()).toEqual(
      ['standing1', 'standing2', 'standing3'].map((name) => `${name.padEnd(21, '_')}A`),
    )
    await vi.waitUntil(async () => (await sql('SELECT FROM sessions')).length === 1)
  } finally {
    await background.stop()
    await cardea.stop()
  }
})
