import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cardea, startCardea, testPassword } from '../support/cardea.ts'

const hashQueue = 7

let cardea: Cardea

beforeAll(async () => {
  // Counted in this process: a Redis that is slow for a moment would be replaced by half of each limit.
  cardea = await startCardea({ redisUrl: null, config: { hashConcurrency: 1, hashQueue } })
})
afterAll(() => cardea.stop())

const logIn = (email: string, password: string) =>
  cardea.client.post('/login', { body: { email, password } })

/** Answers to so many log-ins, each sent while every place at the hasher is taken. */
const whileBusy = async (rounds: number, email: string): Promise<string[]> => {
  const hasher = cardea.instances[0]?.core.hasher
  const codes: string[] = []
  for (let round = 0; round < rounds; round += 1) {
    const others = Array.from({ length: hashQueue + 1 }, () =>
      hasher?.verify(testPassword, undefined),
    )
    const { body } = await logIn(email, testPassword)
    codes.push(body.code ?? 'admitted')
    await Promise.all(others)
  }
  return codes
}

test('R105: an attempt that was turned away unjudged is no failure: whoever tries again when there is room gets in', async () => {
  const { email } = await cardea.createAccount()
  // Every window of an account would be spent by fewer.
  const codes = await whileBusy(12, email)
  expect(codes).not.toContain('too_many_attempts')
  expect(codes.filter((code) => code === 'server_busy').length).toBeGreaterThanOrEqual(10)
  expect((await logIn(email, testPassword)).status).toBe(200)
}, 20_000)

test('R105: what was turned away unjudged gives no wrong password room either', async () => {
  const { email } = await cardea.createAccount()
  const wrong = () => logIn(email, 'not the password of anybody')
  for (let attempt = 0; attempt < 4; attempt += 1) expect((await wrong()).status).toBe(401)
  await whileBusy(2, email)
  expect((await wrong()).status).toBe(429)
})
