import { afterAll, expect, test, vi } from 'vitest'
import { inLanes, turns } from '../concurrency/race.ts'
import { startCardea } from '../support/service/cardea.ts'
import { liveOf, newServiceClient, postForm } from '../support/service/service-client.ts'

const rounds = 500
const together = 10

const cardea = await startCardea({ instances: 2 })
const asker = await newServiceClient(cardea)
afterAll(() => cardea.stop())

const actor = { kind: 'command-line' } as const

/** A client asks both instances for tokens while one of them disables it. Returns the tokens that it got. */
const race = async (round: number): Promise<string[]> => {
  const client = await newServiceClient(cardea)
  const ask = async (instance: number) => {
    await turns((round * 3) % 11)
    return postForm(cardea.clientOf(instance), '/oauth/token', client.authorization, {
      grant_type: 'client_credentials',
    })
  }
  const disable = async () => {
    await turns((round * 5) % 16)
    await cardea.instances[round % 2]?.core.serviceClients.disable({
      clientId: client.clientId,
      actor,
    })
  }
  const [first, second] = await Promise.all([ask(0), ask(1), disable()])
  for (const { status } of [first, second]) expect([200, 401]).toContain(status)
  const late = await Promise.all([ask(0), ask(1)])
  expect(late.map(({ status }) => status)).toEqual([401, 401])
  return [first, second].flatMap(({ status, body }) => (status === 200 ? [body.access_token] : []))
}

test(`R77: ${rounds} clients are disabled while they ask for tokens: none gets one afterwards, and those they got are dead on every instance`, async () => {
  const tokens: string[] = []
  await inLanes(together, rounds, async (_lane, round) => {
    tokens.push(...(await race(round)))
  })
  // Both orders happened, or this would prove nothing.
  expect(tokens.length).toBeGreaterThan(0)
  expect(tokens.length).toBeLessThan(2 * rounds)
  for (const instance of [0, 1]) {
    // A token that is dead stays so: those that are left are asked about again.
    let left: readonly string[] = tokens
    await vi.waitFor(
      async () => {
        left = await liveOf(cardea.clientOf(instance), asker, left)
        expect(left).toEqual([])
      },
      { interval: 500 },
    )
  }
})
