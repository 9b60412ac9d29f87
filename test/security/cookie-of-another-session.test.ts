import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

let cardea: Cardea

beforeAll(async () => {
  cardea = await startCardea({ redisUrl: null })
})
afterAll(() => cardea.stop())

test('R44: ending a session from a tab that is behind leaves the cookie of a newer login alone', async () => {
  const before = await cardea.client.logIn(await cardea.createAccount())
  const after = await cardea.client.logIn(await cardea.createAccount())
  // The tab still holds the token of the older login; the browser sends the cookie of the newer one.
  const behind = { token: before.accessToken, handle: after.refreshToken }
  const all = await cardea.client.send('DELETE', '/sessions?keep=current', behind)
  expect(all).toMatchObject({ status: 200, refreshCookie: undefined })
  const own = await cardea.client.send('DELETE', `/sessions/${before.body.session_id}`, behind)
  expect(own).toMatchObject({ status: 204, refreshCookie: undefined })
  expect((await cardea.client.get('/account', { token: before.accessToken })).status).toBe(401)
  expect((await cardea.client.refresh(after.refreshToken)).status).toBe(200)
})

test('R53: ending all sessions takes the cookie of the one that asks away, and no other', async () => {
  const before = await cardea.client.logIn(await cardea.createAccount())
  const after = await cardea.client.logIn(await cardea.createAccount())
  const behind = { token: before.accessToken, handle: after.refreshToken }
  const other = await cardea.client.send('DELETE', '/sessions', behind)
  expect(other).toMatchObject({ status: 200, body: { ended: 1 }, refreshCookie: undefined })
  const own = { token: after.accessToken, handle: after.refreshToken }
  expect(await cardea.client.send('DELETE', '/sessions', own)).toMatchObject({ refreshCookie: '' })
})
