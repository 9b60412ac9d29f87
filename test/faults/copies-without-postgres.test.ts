import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

let postgres: PostgresServer
let cardea: Cardea

beforeAll(async () => {
  postgres = await startPostgres()
  const config = { databaseConnectTimeoutMs: 500, databaseStatementTimeoutMs: 500 }
  // It stands still, so that no lease ends by itself.
  const clock = fakeClock()
  cardea = await startCardea({ clock, database: postgres, redisUrl: inject('redisUrl'), config })
})
afterAll(async () => {
  await cardea.stop()
  await postgres.stop()
})

test('R58: Postgres away is noticed long before what is known of revocations is stale, and then no copy and no token opens anything', async () => {
  const account = await cardea.createAccount()
  const session = await cardea.client.logInForCookie(account)
  const { accessToken: token } = await cardea.client.logIn(account)
  const answers = async () => {
    const asked = [
      cardea.client.get('/session', { session }),
      ...[{ session }, { token }, {}].map((who) => cardea.client.get('/forward-auth', who)),
    ]
    return (await Promise.all(asked)).map(({ status }) => status)
  }
  const whenAllWorks = [200, 200, 200, 401]
  const { replica } = cardea.instances[0]?.core.revocations ?? {}
  await expect.poll(answers).toEqual(whenAllWorks)
  await postgres.kill()
  try {
    await expect.poll(answers).toEqual([503, 503, 503, 503])
    expect(replica?.state()).toBe('FRESH')
  } finally {
    await postgres.restart()
  }
  await expect.poll(answers).toEqual(whenAllWorks)
})
