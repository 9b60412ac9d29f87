import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { idToBytes } from '../../src/lib/machine.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { quickSession } from '../support/service/quick-session.ts'

let cardea: Cardea
let accountId: string

beforeAll(async () => {
  cardea = await startCardea({ instances: 3 })
  accountId = (await cardea.createAccount()).id
})
afterAll(() => cardea.stop())

const generationOf = async (sessionId: string): Promise<number | undefined> => {
  const text = 'SELECT generation FROM sessions WHERE id = $1'
  const rows = await sqlAs(cardea.stores.migrateUrl)<{ generation: number }>(text, [
    idToBytes(sessionId),
  ])
  return rows[0]?.generation
}

const times = <T>(count: number, make: (place: number) => T): T[] =>
  Array.from({ length: count }, (_, place) => make(place))

/** As many refreshes at once, dealt out to the first `instances` of the three. */
const refreshAtOnce = (handle: string, count: number, instances: number): Promise<Answer[]> =>
  Promise.all(times(count, (place) => cardea.clientOf(place % instances).refresh(handle)))

const distinct = (values: readonly unknown[]): unknown[] => [...new Set(values)]

describe.each([1, 3])('over %i instance(s)', (instances) => {
  test('R40: 50 refreshes of one handle at once move the session on by one generation and all carry the same successor', async () => {
    const { sessionId, refreshToken } = await quickSession(cardea, accountId)
    const answers = await refreshAtOnce(refreshToken, 50, instances)
    expect(distinct(answers.map(({ status }) => status))).toEqual([200])
    const successors = distinct(answers.map(({ refreshCookie }) => refreshCookie))
    expect(successors).toHaveLength(1)
    expect(successors[0]).not.toBe(refreshToken)
    expect(distinct(answers.map(({ body }) => body.access_token))).toHaveLength(50)
    expect(await generationOf(sessionId)).toBe(1)
    expect((await cardea.client.refresh(String(successors[0]))).status).toBe(200)
    expect(await generationOf(sessionId)).toBe(2)
  })

  test('R40: the same holds for a session whose handle is delivered in the body', async () => {
    const options = { delivery: 'body' } as const
    const { sessionId, refreshToken } = await quickSession(cardea, accountId, options)
    const answers = await Promise.all(
      times(50, (place) => cardea.clientOf(place % instances).refreshByBody(refreshToken)),
    )
    expect(distinct(answers.map(({ status }) => status))).toEqual([200])
    expect(distinct(answers.map(({ body }) => body.refresh_token))).toHaveLength(1)
    expect(distinct(answers.map(({ refreshCookie }) => refreshCookie))).toEqual([undefined])
    expect(await generationOf(sessionId)).toBe(1)
  })
})

test('R40: 20 refreshes of each of 10 handles at once keep the sessions apart', async () => {
  const sessions = await Promise.all(times(10, () => quickSession(cardea, accountId)))
  const answers = await Promise.all(
    sessions.map(({ refreshToken }) => refreshAtOnce(refreshToken, 20, 3)),
  )
  const successors = answers.map((ofOne) => distinct(ofOne.map((one) => one.refreshCookie)))
  expect(successors.map((ofOne) => ofOne.length)).toEqual(times(10, () => 1))
  expect(distinct(successors.flat())).toHaveLength(10)
  expect(distinct(answers.flat().map(({ status }) => status))).toEqual([200])
  for (const [place, { sessionId }] of sessions.entries()) {
    expect(distinct(answers[place]!.map(({ body }) => body.session_id))).toEqual([sessionId])
    expect(await generationOf(sessionId)).toBe(1)
  }
})

test('R44: late requests with the predecessor never put anything but the winner in the cookie', async () => {
  const sessions = await Promise.all(times(10, () => quickSession(cardea, accountId)))
  for (const { refreshToken } of sessions) {
    const first = await cardea.client.refresh(refreshToken)
    const winner = first.refreshCookie ?? ''
    // The next generation is made while late requests still present the one before.
    const [second, ...late] = await Promise.all([
      cardea.client.refresh(winner),
      ...times(6, (place) => cardea.clientOf(place % 3).refresh(refreshToken)),
    ])
    for (const answer of late) {
      // Before the winner was used: the same successor. After: that is reuse, which ends every handle there is.
      if (answer.status === 200) expect(answer.refreshCookie).toBe(winner)
      else expect(answer.body.reason).toBe('token_reuse')
    }
    if (second.status === 200) expect(second.refreshCookie).not.toBe(winner)
    else expect(second.body.reason).toBe('token_reuse')
  }
})

test('R44: a predecessor that comes after the session has ended is refused and leaves the cookie alone', async () => {
  const { refreshToken } = await quickSession(cardea, accountId)
  const { refreshCookie: newest } = await cardea.client.refresh(refreshToken)
  expect((await cardea.client.post('/logout', { handle: newest ?? '' })).status).toBe(204)
  const late = await refreshAtOnce(refreshToken, 20, 3)
  expect(distinct(late.map(({ status }) => status))).toEqual([401])
  expect(distinct(late.map(({ refreshCookie }) => refreshCookie))).toEqual([undefined])
  expect((await cardea.client.refresh(newest ?? '')).refreshCookie).toBe('')
})
