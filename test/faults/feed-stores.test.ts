import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { startVerifier, type VerifierProcess } from '../support/verifier/verifier-process.ts'
import { expectKeptPromises, revokeAt } from '../support/verifier/verifier-revocations.ts'
import { mintTokens, openingFor, type TestToken } from '../support/verifier/verifier-tokens.ts'

let postgres: PostgresServer
let redis: RedisServer
let cardea: Cardea
let operator: string
let verifier: VerifierProcess

beforeAll(async () => {
  ;[postgres, redis] = await Promise.all([startPostgres(), startRedis()])
  cardea = await startCardea({
    instances: 2,
    database: postgres,
    redisUrl: redis.url,
    // As in production: who waits for a database that is gone waits no longer than this.
    config: { databaseConnectTimeoutMs: 1_000, databaseStatementTimeoutMs: 1_000 },
  })
  operator = await cardea.operatorToken()
})
afterAll(async () => {
  await cardea.stop()
  await postgres.stop()
  await redis.stop()
})
beforeEach(async () => {
  // It follows one instance; the other one revokes.
  verifier = await startVerifier(await openingFor(cardea, cardea.clientOf(1).address))
  onTestFinished(verifier.stop)
  await verifier.call('ready')
})

/** Also while the database is coming back. */
const revoke = ({ jti }: TestToken) =>
  vi.waitFor(() => revokeAt(cardea.client, operator, { jti }), { interval: 50 })

const isAccepted = async ({ token }: TestToken): Promise<boolean> =>
  (await verifier.verdict(token)) === 'accepted'

const threeTokens = async (): Promise<[TestToken, TestToken, TestToken]> => {
  const [first, second, spared] = await vi.waitFor(() => mintTokens(cardea, 3))
  if (!first || !second || !spared) throw new Error('no tokens')
  return [first, second, spared]
}

test('R73, R74, R76: while Postgres has crashed nothing is accepted in doubt; once it is back the feed has a new name, is read anew, and goes on', async () => {
  const [before, after, spared] = await threeTokens()
  await verifier.watch([before, after, spared].map(({ token }) => token))
  const first = await revoke(before)
  await expectKeptPromises(verifier, [first])

  await postgres.kill()
  await verifier.whenState('STALE')
  expect(await verifier.verdict(spared.token)).toBe('revocation_state_unknown')
  // What is known to be revoked is refused as such in every state.
  expect(await verifier.verdict(before.token)).toBe('token_revoked')

  await postgres.restart()
  await verifier.whenState('FRESH')
  expect(await isAccepted(spared)).toBe(true)
  const second = await revoke(after)
  await expectKeptPromises(verifier, [first, second])
  expect((await verifier.call('history')).snapshots).toEqual(['first', 'feed_changed'])
})

test('R73: over an orderly restart of Postgres the verifier goes on where it was', async () => {
  const [before, after, spared] = await threeTokens()
  await verifier.watch([before, after, spared].map(({ token }) => token))
  const first = await revoke(before)
  await postgres.restart()
  await vi.waitUntil(() => isAccepted(spared), { interval: 25 })
  const second = await revoke(after)
  await expectKeptPromises(verifier, [first, second])
  expect((await verifier.watched())[2]?.acceptedInDoubt).toBe(0)
  expect((await verifier.call('history')).snapshots).toEqual(['first'])
})

test.each(['flushed', 'restarted', 'away'] as const)(
  'R71, R73: with Redis %s what was revoked stays refused everywhere, and what is revoked then is refused in time',
  async (fault) => {
    const account = await cardea.createAccount()
    const { accessToken, body } = await cardea.client.logIn(account)
    const [minted, spared] = await threeTokens()
    await verifier.watch([accessToken, minted.token, spared.token])
    const look = new Redis(redis.url)
    look.on('error', () => undefined)
    onTestFinished(() => look.disconnect())
    const first = await revokeAt(cardea.client, operator, { sid: body.session_id })
    await expectKeptPromises(verifier, [first])
    const statuses = () =>
      Promise.all(
        [0, 1].map(async (instance) => {
          const answer = await cardea.clientOf(instance).get('/account', { token: accessToken })
          return answer.status
        }),
      )
    // The process that did not revoke it hears of it a moment later.
    await vi.waitUntil(async () => (await statuses()).every((status) => status === 401))
    const key = `cardea:revoked:sid:${body.session_id}`
    expect(await look.exists(key)).toBe(1)

    if (fault === 'flushed') await look.flushall()
    if (fault === 'restarted') await redis.restart()
    if (fault === 'away') await redis.kill()
    expect(await statuses()).toEqual([401, 401])
    const second = await revoke(minted)
    await expectKeptPromises(verifier, [first, second])
    expect(await isAccepted(spared)).toBe(true)
    expect((await verifier.call('history')).states).toEqual(['FRESH'])

    if (fault === 'away') await redis.restart()
    const isBack = async () => {
      const keys = [key, `cardea:revoked:jti:${minted.jti}`]
      return (await look.exists(...keys)) === keys.length
    }
    await vi.waitUntil(isBack, { interval: 50 })
    await expectKeptPromises(verifier, [first, second])
  },
)
