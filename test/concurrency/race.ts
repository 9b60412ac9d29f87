import { expect } from 'vitest'
import type { Cardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { quickSession } from '../support/service/quick-session.ts'
import { whenRefused } from '../support/service/when-refused.ts'

/** Lets the event loop turn a few times, so that racing requests start in ever other orders. */
export const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Of a session that began after everything before was ended; every tenth shows first that it works. */
export const livingHandle = async (cardea: Cardea, accountId: string, round: number) => {
  const { sessionId, refreshToken } = await quickSession(cardea, accountId)
  if (round % 10 !== 0) return { sessionId, handle: refreshToken }
  const answer = await cardea.clientOf(1).refresh(refreshToken)
  expect(answer.status).toBe(200)
  return { sessionId, handle: answer.refreshCookie ?? '' }
}

export type Race = {
  readonly cardea: Cardea
  readonly handle: string
  /** Decides who starts first, and by how much. */
  readonly round: number
  /** What is to end the session. */
  readonly end: () => Promise<unknown>
}

/** Two refreshes on two instances, and what ends their session on a third, all at once. Returns the refreshes' answers. */
export const raceRefreshes = async ({ cardea, handle, round, end }: Race): Promise<Answer[]> => {
  const refresh = async (instance: number, head: number) => {
    await turns(head)
    return cardea.clientOf(instance).refresh(handle)
  }
  const endLater = async () => {
    await turns((round * 5) % 16)
    await end()
  }
  const [first, second] = await Promise.all([
    refresh(round % 3, round % 7),
    refresh((round + 1) % 3, (round * 3) % 11),
    endLater(),
  ])
  return [first, second]
}

/** Afterwards no handle refreshes, and no access token that was minted in the race opens anything (I5, I10). */
export const expectAllDead = async (
  cardea: Cardea,
  handle: string,
  answers: readonly Answer[],
): Promise<void> => {
  const won = answers.filter(({ status }) => status === 200)
  for (const answer of answers) expect([200, 401]).toContain(answer.status)
  for (const [place, answer] of won.entries()) {
    await whenRefused(cardea.clientOf(place), answer.body.access_token)
  }
  const successor = won[0]?.refreshCookie
  for (const dead of successor ? [successor, handle] : [handle]) {
    const { status, body } = await cardea.clientOf(2).refresh(dead)
    expect(status).toBe(401)
    expect(body.code).toBe('session_ended')
  }
}

export type Tally = { won: number; lost: number }

export const count = (tally: Tally, answers: readonly Answer[]): void => {
  for (const { status } of answers) {
    if (status === 200) tally.won += 1
    else tally.lost += 1
  }
}

/** Both sides have won some rounds: otherwise nothing was racing and the test has shown nothing. */
export const expectRealRaces = ({ won, lost }: Tally): void => {
  expect(won).toBeGreaterThan(0)
  expect(lost).toBeGreaterThan(0)
}

/** Runs `rounds` of them, `lanes` at a time; each lane has rounds of its own, one after the other. */
export const inLanes = async (
  lanes: number,
  rounds: number,
  run: (lane: number, round: number) => Promise<void>,
): Promise<void> => {
  const lane = async (place: number) => {
    for (let round = place; round < rounds; round += lanes) await run(place, round)
  }
  await Promise.all(Array.from({ length: lanes }, (_, place) => lane(place)))
}
