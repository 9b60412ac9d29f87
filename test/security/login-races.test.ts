import { expect, onTestFinished, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { startCardea } from '../support/service/cardea.ts'

const secondMs = 1_000

test('R56: the session that a login opens is never the one that the cap ends, also when clocks are apart', async () => {
  const clock = fakeClock()
  const cardea = await startCardea({ clock, redisUrl: null, config: { sessionsPerAccount: 1 } })
  onTestFinished(cardea.stop)
  const account = await cardea.createAccount()
  await cardea.client.logIn(account)
  // The next instance to answer is a little behind the one that answered before.
  clock.advance(-2 * secondMs)
  const { accessToken, refreshToken } = await cardea.client.logIn(account)
  expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(200)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
})

test('R10: logins at once whose hash is due for renewal all succeed', async () => {
  const database = await freshDatabase()
  const old = 'the pepper that was in use before, long enough'
  const before = await startCardea({ database, redisUrl: null, peppers: [old] })
  const account = await before.createAccount()
  await before.stop()
  const peppers = ['the pepper that is in use now, long enough', old]
  const cardea = await startCardea({ database, redisUrl: null, peppers })
  onTestFinished(async () => {
    await cardea.stop()
    await database.drop()
  })
  const { email, password } = account
  const logIn = () => cardea.client.post('/login', { body: { email, password } })
  const answers = await Promise.all([logIn(), logIn(), logIn()])
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
})
