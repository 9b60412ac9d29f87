import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { readPage } from '../documentation/markdown.ts'
import type { ForeignProcess } from '../support/programs/foreign-process.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import { revokeAt } from '../support/verifier/verifier-revocations.ts'
import { logInAt } from '../support/verifier/verifier-tokens.ts'
import { decodePart } from './bad-tokens.ts'
import { guideVerifier, runGuide } from './guide-code.ts'

let redisServer: RedisServer
let redis: Redis
let cardea: Cardea
let python: ForeignProcess
let operator: string

beforeAll(async () => {
  redisServer = await startRedis()
  redis = new Redis(redisServer.url)
  redis.on('error', () => undefined)
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  cardea = await startCardea({
    redisUrl: redisServer.url,
    config: { port, issuer, audiences: [issuer] },
  })
  python = await runGuide(
    'python',
    'ask-redis.py',
    [
      guideVerifier(issuer),
      {
        page: 'docs/guides/ask-redis.md',
        name: 'cardea_redis.py',
        replace: { 'redis://127.0.0.1:6379': redisServer.url },
      },
    ],
    ['cardea_redis'],
  )
  operator = await cardea.operatorToken()
  await isIntact()
})
afterAll(async () => {
  await python?.stop()
  await cardea?.stop()
  redis?.disconnect()
  await redisServer?.stop()
})

const isIntact = () => vi.waitUntil(async () => (await redis.get('cardea:mirror:intact')) !== null)

const logIn = (known?: TestAccount) => logInAt(cardea, known)

const revoke = (body: Record<string, unknown>) => revokeAt(cardea.client, operator, body)

const askAbout = (token: string) => python.ask({ token })

/** The guide's code for JavaScript, about a token that is taken as verified. */
const askInJavaScript = async (token: string): Promise<unknown> => {
  const code = /^```js\n([\s\S]*?)^```$/m.exec(readPage('docs/guides/ask-redis.md'))?.[1] ?? ''
  const source = `data:text/javascript;base64,${Buffer.from(code).toString('base64')}`
  const { isRevoked } = await import(/* @vite-ignore */ source)
  return await isRevoked(redis, decodePart(token, 1), decodePart(token, 0)['kid'])
}

describe('a service in Python that asks Redis with the code of the guide', () => {
  test.for(['jti', 'sid', 'sub'] as const)(
    'sees a revoked %s as soon as the revocation is answered, and neither another token nor one of a later login',
    async (kind) => {
      const revoked = await logIn()
      const other = await logIn()
      expect(await askAbout(revoked.token)).toEqual({ revoked: false })
      await revoke({ [kind]: revoked[kind] })
      expect(await askAbout(revoked.token)).toEqual({ revoked: true })
      expect(await askAbout(other.token)).toEqual({ revoked: false })
      const after = await logIn(revoked.account)
      expect(await askAbout(after.token)).toEqual({ revoked: false })
    },
  )

  test('sees that the roles in a token are old', async () => {
    const { token, sub } = await logIn()
    const body = { roles: ['editor'] }
    await cardea.client.send('PATCH', `/admin/accounts/${sub}`, { token: operator, body })
    expect(await askAbout(token)).toEqual({ revoked: true })
  })

  test('knows nothing after a flush, says so, and knows again by itself', async () => {
    const { token, sid } = await logIn()
    await revoke({ sid })
    await redis.flushall()
    expect(await askAbout(token)).toEqual({ unknown: 'EntriesLost' })
    await isIntact()
    expect(await askAbout(token)).toEqual({ revoked: true })
  })

  test('sees that everything was revoked, and lets in whoever logs in afterwards', async () => {
    const before = await logIn()
    await revoke({ everyone: true })
    operator = await cardea.operatorToken()
    expect(await askAbout(before.token)).toEqual({ revoked: true })
    expect(await askAbout((await logIn()).token)).toEqual({ revoked: false })
  })

  test('lets in whoever logs in after a restore, once Redis was flushed as the guide to operation says', async () => {
    const { token: older, account, sub } = await logIn()
    await revoke({ sub })
    // What a restore brings back.
    const sql = sqlAs(cardea.stores.migrateUrl)
    await sql('DELETE FROM revocations')
    await sql('UPDATE accounts SET epoch = epoch - 1 WHERE email = $1', [account.email])
    await revoke({ everyone: true })
    operator = await cardea.operatorToken()
    const { token: newer } = await logIn(account)
    expect(await askAbout(newer)).toEqual({ revoked: true })

    const how = readPage('docs/guides/operate.md')
    expect(how).toMatch(/^cardea revoke --everyone .*\nredis-cli .* FLUSHDB/m)
    await redis.flushdb()
    await isIntact()
    expect(await askAbout(newer)).toEqual({ revoked: false })
    expect(await askAbout(older)).toEqual({ revoked: true })
  })

  test('sees for a week that a signing key was withdrawn, while it still has the key', async () => {
    const { token, kid } = await logIn()
    expect(await askAbout(token)).toEqual({ revoked: false })
    expect(await askInJavaScript(token)).toBe(false)
    await revoke({ kid })
    operator = await cardea.operatorToken()
    expect(await askAbout(token)).toEqual({ revoked: true })
    expect(await askInJavaScript(token)).toBe(true)
    expect(await askAbout((await logIn()).token)).toEqual({ revoked: false })
    const secondsLeft = await redis.ttl(`cardea:revoked:kid:${kid}`)
    expect(secondsLeft).toBeGreaterThan(6.9 * 24 * 3600)
    // Told in whole seconds, rounded up.
    expect(secondsLeft).toBeLessThanOrEqual(7 * 24 * 3600 + 1)
  })

  test('cannot know while Redis is away', async () => {
    const { token } = await logIn()
    await redisServer.kill()
    expect(await askAbout(token)).toEqual({ unknown: 'ConnectionError' })
    await redisServer.restart()
    await isIntact()
    expect(await askAbout(token)).toEqual({ revoked: false })
  })
})
