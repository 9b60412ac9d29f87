import { afterAll, expect, test } from 'vitest'
import { keepBusy } from '../support/run/keep-busy.ts'
import { holdAccounts } from '../support/servers/hold-rows.ts'
import { startCardea, testPassword } from '../support/service/cardea.ts'

// Counted in this process: a Redis that is slow for a moment would be replaced by half of each limit.
const cardea = await startCardea({ redisUrl: null, config: { hashConcurrency: 1, hashQueue: 7 } })
afterAll(() => cardea.stop())

const logIn = (email: string, password: string) =>
  cardea.client.post('/login', { body: { email, password } })

/** Answers to so many logins, each admitted while there was room, and come to the hasher when every place was taken. */
const whileBusy = async (rounds: number, email: string): Promise<string[]> => {
  const codes: string[] = []
  for (let round = 0; round < rounds; round += 1) {
    const held = await holdAccounts(cardea.stores.migrateUrl)
    let isAnswered = false
    const answer = logIn(email, testPassword).finally(() => {
      isAnswered = true
    })
    await held.whenWaiting(1)
    const others = keepBusy(cardea, () => isAnswered)
    await held.release()
    const { body } = await answer
    codes.push(body.code ?? 'admitted')
    await others
  }
  return codes
}

test('R105: an attempt that was turned away unjudged is no failure: whoever tries again when there is room gets in', async () => {
  const { email } = await cardea.createAccount()
  // Every window of an account would be spent by fewer.
  const codes = await whileBusy(12, email)
  expect(codes).toEqual(codes.map(() => 'server_busy'))
  expect((await logIn(email, testPassword)).status).toBe(200)
})

test('R105: what was turned away unjudged gives no wrong password room either', async () => {
  const { email } = await cardea.createAccount()
  const wrong = () => logIn(email, 'not the password of anybody')
  for (let attempt = 0; attempt < 3; attempt += 1) expect((await wrong()).status).toBe(401)
  expect(await whileBusy(2, email)).toEqual(['server_busy', 'server_busy'])
  expect((await wrong()).status).toBe(401)
  expect((await wrong()).status).toBe(429)
})
