import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cardea, startCardea } from '../support/cardea.ts'
import { type FakeClock, fakeClock } from '../support/fake-clock.ts'

let clock: FakeClock
let cardea: Cardea

beforeAll(async () => {
  clock = fakeClock()
  cardea = await startCardea({ clock })
})
afterAll(() => cardea.stop())

const signIn = async () => cardea.client.logIn(await cardea.createAccount())

test('R38: a refresh consumes its token and sets a new one', async () => {
  const { refreshToken } = await signIn()
  const first = await cardea.client.refresh(refreshToken)
  expect(first.status).toBe(200)
  expect(first.refreshCookie).toMatch(/^[\w-]{115}$/)
  expect(first.refreshCookie).not.toBe(refreshToken)
})

test('R42: the direct predecessor gets the same successor again within the grace', async () => {
  const { refreshToken } = await signIn()
  const first = await cardea.client.refresh(refreshToken)
  clock.advance(9_000)
  const again = await cardea.client.refresh(refreshToken)
  expect(again.status).toBe(200)
  expect(again.refreshCookie).toBe(first.refreshCookie)
  expect(again.body.access_token).not.toBe(first.body.access_token)
})

test('R41: the predecessor after the grace ends the session and its access tokens', async () => {
  const { refreshToken, accessToken } = await signIn()
  const first = await cardea.client.refresh(refreshToken)
  clock.advance(10_000)
  const reuse = await cardea.client.refresh(refreshToken)
  expect(reuse.status).toBe(401)
  expect(reuse.body).toMatchObject({ code: 'session_ended', reason: 'token_reuse' })
  expect(reuse.refreshCookie).toBe('')
  expect((await cardea.client.refresh(first.refreshCookie ?? '')).body.reason).toBe('token_reuse')
  expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(401)
})
