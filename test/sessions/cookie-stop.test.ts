import { expect, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'

test('an instance that stops cleanly writes down when its sessions were last used', async () => {
  const database = await freshDatabase()
  const clock = fakeClock()
  const cardea = await startCardea({ clock, database })
  try {
    const session = await cardea.client.logInForCookie(await cardea.createAccount())
    clock.advance(90_000)
    expect((await cardea.client.get('/session', { session })).status).toBe(200)
  } finally {
    await cardea.stop()
  }
  const rows = await sqlAs(database.ownerUrl)<{ last_used_at: Date }>(
    "SELECT last_used_at FROM sessions WHERE kind = 'cookie'",
  )
  expect(rows.map((row) => row.last_used_at.getTime())).toEqual([clock.nowMs()])
  await database.drop()
})
