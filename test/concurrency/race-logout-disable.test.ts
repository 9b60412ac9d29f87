import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import {
  count,
  expectAllDead,
  expectRealRaces,
  inLanes,
  livingHandle,
  raceRefreshes,
} from './race.ts'

const lanes = 8
const rounds = 1000

let cardea: Cardea
let accounts: TestAccount[]
let token: string

beforeAll(async () => {
  cardea = await startCardea({ instances: 3 })
  token = await cardea.operatorToken()
  accounts = []
  for (let lane = 0; lane < lanes; lane += 1) accounts.push(await cardea.createAccount())
})
afterAll(() => cardea.stop())

test('R53: in 1000 rounds of refreshes that race with the logout of their session none leaves anything alive', async () => {
  const tally = { won: 0, lost: 0 }
  await inLanes(lanes, rounds, async (lane, round) => {
    const { handle } = await livingHandle(cardea, accounts[lane]!.id, round)
    const end = async () => {
      const answer = await cardea.clientOf((round + 2) % 3).post('/logout', { handle })
      expect(answer.status).toBe(204)
    }
    const answers = await raceRefreshes({ cardea, handle, round, end })
    await expectAllDead(cardea, handle, answers)
    count(tally, answers)
  })
  expectRealRaces(tally)
})

test('R55: in 1000 rounds of refreshes that race with the disabling of their account none leaves anything alive, also once it is active again', async () => {
  const tally = { won: 0, lost: 0 }
  await inLanes(lanes, rounds, async (lane, round) => {
    const { id } = accounts[lane]!
    const setStatus = async (status: string) => {
      const instance = cardea.clientOf((round + 2) % 3)
      const options = { body: { status }, token }
      expect((await instance.send('PATCH', `/admin/accounts/${id}`, options)).status).toBe(200)
    }
    const { handle } = await livingHandle(cardea, id, round)
    const end = () => setStatus('disabled')
    const answers = await raceRefreshes({ cardea, handle, round, end })
    // Every other round looks while the account is disabled, the rest after it has become active again.
    if (round % 2 === 0) await setStatus('active')
    await expectAllDead(cardea, handle, answers)
    if (round % 2 === 1) await setStatus('active')
    count(tally, answers)
  })
  expectRealRaces(tally)
  const { accessToken } = await cardea.clientOf(2).logIn(accounts[0]!)
  expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(200)
})
