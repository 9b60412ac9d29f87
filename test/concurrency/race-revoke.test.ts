import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import { quickSession } from '../support/service/quick-session.ts'
import { whenRefused } from '../support/service/when-refused.ts'
import {
  count,
  expectAllDead,
  expectRealRaces,
  inLanes,
  livingHandle,
  raceRefreshes,
} from './race.ts'

const lanes = 8

let cardea: Cardea
let accounts: TestAccount[]
let operator: TestAccount

beforeAll(async () => {
  cardea = await startCardea({ instances: 3 })
  operator = await cardea.createAccount(['operator'])
  accounts = []
  for (let lane = 0; lane < lanes; lane += 1) accounts.push(await cardea.createAccount())
})
afterAll(() => cardea.stop())

const operatorToken = async (): Promise<string> => {
  const options = { roles: ['operator'] }
  const { refreshToken } = await quickSession(cardea, operator.id, options)
  return (await cardea.client.refresh(refreshToken)).body.access_token
}

const revoke = async (target: object, token: string, instance: number): Promise<void> => {
  const answer = await cardea.clientOf(instance).post('/admin/revoke', { body: target, token })
  expect(answer.status).toBe(200)
}

/** A login and its token after everything was revoked again and again (I6). */
const expectFreshLoginWorks = async (account: TestAccount): Promise<void> => {
  const { accessToken, refreshToken } = await cardea.clientOf(1).logIn(account)
  expect((await cardea.clientOf(2).get('/account', { token: accessToken })).status).toBe(200)
  expect((await cardea.clientOf(0).refresh(refreshToken)).status).toBe(200)
}

test.each([
  { target: 'account', rounds: 400 },
  { target: 'session', rounds: 300 },
])(
  'R77: in $rounds rounds of refreshes that race with the revocation of their $target none leaves anything alive, and each login afterwards works',
  async ({ target, rounds }) => {
    const token = await operatorToken()
    const tally = { won: 0, lost: 0 }
    await inLanes(lanes, rounds, async (lane, round) => {
      const account = accounts[lane]!
      const { sessionId, handle } = await livingHandle(cardea, account.id, round)
      const body = target === 'account' ? { sub: account.id } : { sid: sessionId }
      const end = () => revoke(body, token, (round + 2) % 3)
      const answers = await raceRefreshes({ cardea, handle, round, end })
      await expectAllDead(cardea, handle, answers)
      count(tally, answers)
    })
    expectRealRaces(tally)
    await expectFreshLoginWorks(accounts[0]!)
  },
)

test('R77: in 300 rounds of refreshes that race with the revocation of everything none leaves anything alive, and a login afterwards works', async () => {
  const tally = { won: 0, lost: 0 }
  for (let batch = 0; batch < 60; batch += 1) {
    const token = await operatorToken()
    const victims = await Promise.all(
      Array.from({ length: 5 }, (_, lane) => livingHandle(cardea, accounts[lane]!.id, batch)),
    )
    let revoked: Promise<void> | undefined
    const revokeOnce = () => {
      revoked ??= revoke({ everyone: true }, token, batch % 3)
      return revoked
    }
    const races = await Promise.all(
      victims.map(({ handle }, place) =>
        raceRefreshes({ cardea, handle, round: batch + place, end: revokeOnce }),
      ),
    )
    for (const [place, { handle }] of victims.entries()) {
      await expectAllDead(cardea, handle, races[place]!)
      count(tally, races[place]!)
    }
    await whenRefused(cardea.client, token)
  }
  expectRealRaces(tally)
  await expectFreshLoginWorks(accounts[0]!)
})
