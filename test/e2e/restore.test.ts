import { afterAll, beforeAll, expect, test } from 'vitest'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

let clock: FakeClock
let database: FreshDatabase
let cardea: Cardea

beforeAll(async () => {
  clock = fakeClock()
  database = await freshDatabase()
  cardea = await startCardea({ clock, database })
})
afterAll(async () => {
  await cardea.stop()
  await database.drop()
})

const revokeEveryone = () =>
  cardea.instances[0]?.core.revoke({
    target: { kind: 'everyone' },
    note: undefined,
    actor: { kind: 'command-line' },
  })

/**
 * What a restore brings back: the log of revocations and the global epoch of then. The sessions of since then stay, as the worst case.
 * The service is down meanwhile and remembers nothing of its own.
 */
const restoreTo = async (globalEpoch: unknown): Promise<void> => {
  await cardea.stop()
  const run = sqlAs(database.ownerUrl)
  await run('DELETE FROM revocations')
  await run('UPDATE instance SET global_epoch = $1', [globalEpoch])
  cardea = await startCardea({ clock, database })
}

test('R130: after a restore one call revokes everything issued before it, also what is newer than the back-up', async () => {
  const [backUp] = await sqlAs(database.ownerUrl)<{ global_epoch: string }>(
    'SELECT global_epoch FROM instance',
  )
  const account = await cardea.createAccount()
  const beforeBackUp = await cardea.client.logIn(account)
  clock.advance(60_000)
  await revokeEveryone()
  const sinceBackUp = await cardea.client.logIn(account)

  await restoreTo(backUp?.global_epoch)
  expect((await cardea.client.get('/account', { token: beforeBackUp.accessToken })).status).toBe(
    200,
  )
  clock.advance(60_000)
  await revokeEveryone()

  for (const { accessToken, refreshToken } of [beforeBackUp, sinceBackUp]) {
    expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(401)
    expect((await cardea.client.refresh(refreshToken)).status).toBe(401)
  }
  const again = await cardea.client.logIn(account)
  expect((await cardea.client.get('/account', { token: again.accessToken })).status).toBe(200)
})
