import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { connectRedis, type RedisConnection } from '../../src/infra/redis/redis.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { newId } from '../../src/lib/id.ts'
import { systemRandom } from '../../src/lib/random.ts'
import { loginLimits } from '../../src/login/admit-attempt.ts'
import { type LoginLimitRules, loginLimitRules } from '../../src/login/login-limits.ts'
import { redisCounters } from '../../src/login/redis-counters.ts'
import { redisRevocationMirror } from '../../src/revocation/redis-revocation-mirror.ts'
import type { CookieSession } from '../../src/sessions/cookie-session.ts'
import { redisSessionCopies } from '../../src/sessions/redis-session-copies.ts'
import {
  admitted,
  attempt,
  failTimes,
  loginLimitsContract,
} from '../contract/login-limits.contract.ts'
import { patientRedis, type RedisServer, startRedis } from '../support/redis-server.ts'
import { type ScratchFolder, scratchFolder } from '../support/scratch-folder.ts'

const password = randomBytes(24).toString('hex')
let scratch: ScratchFolder
let server: RedisServer
/** Somebody who may do everything, to see what happened; not a user of the deployment. */
let inspector: Redis
let connection: RedisConnection
const errors: unknown[] = []

beforeAll(async () => {
  scratch = await scratchFolder('redis-acl')
  const users = await readFile(new URL('../../deploy/redis/users.acl', import.meta.url), 'utf8')
  const digest = createHash('sha256').update(password).digest('hex')
  const file = join(scratch.path, 'users.acl')
  const forInspection = `user inspector on >${password} ~* &* +@all\n`
  await writeFile(file, users.replace('PASSWORD_SHA256', digest) + forInspection)
  server = await startRedis({ args: ['--aclfile', file] })
  inspector = new Redis({ port: server.port, username: 'inspector', password })
  // Patient, so that on a busy machine nothing is counted elsewhere than in this Redis.
  connection = connectRedis(`redis://cardea:${password}@127.0.0.1:${server.port}`, {
    onError: (error) => errors.push(error),
    random: systemRandom,
    patience: patientRedis,
  })
  await vi.waitUntil(connection.isReady)
})

afterAll(async () => {
  await connection.close()
  inspector.disconnect()
  await server.stop()
  await scratch.remove()
})

const onError = (error: unknown) => errors.push(error)

const limits = (rules: LoginLimitRules) =>
  loginLimits({
    counters: redisCounters({ client: connection.client, clock: systemClock, onError }),
    identifierKey: randomBytes(32),
    rules,
    onError,
  })

/** What was refused to the user of the deployment. That `ioredis` may not introduce itself, from Redis 7.2 on, changes nothing. */
const refusals = async (): Promise<string[]> => {
  const entries: unknown = await inspector.acl('LOG')
  return Array.isArray(entries)
    ? entries.map(String).filter((entry) => /,cardea,/.test(entry) && !/setinfo/i.test(entry))
    : []
}

loginLimitsContract('a Redis with the users of deploy/', async (rules) => {
  // Nothing counted yet, and the script sent again.
  await inspector.flushall()
  return limits(rules)
})

describe('the Redis user of deploy/', () => {
  test('R129: may count log-in attempts and forgive them', async () => {
    const counted = limits(loginLimitRules())
    expect(admitted(await failTimes(counted, 5))).toBe(4)
    const { succeeded } = await counted.admit(attempt({ identifier: 'bob@example.com' }))
    await succeeded()
    const keys = await inspector.keys('cardea:limit:*')
    expect(keys).not.toEqual([])
    // A count that would never end is given an end again.
    for (const key of keys) await inspector.persist(key)
    await failTimes(counted, 5)
    const endsInMs = await Promise.all(keys.map((key) => inspector.pttl(key)))
    expect(Math.max(...endsInMs)).toBeGreaterThan(0)
    expect(errors).toEqual([])
    expect(await refusals()).toEqual([])
  })

  test('R129: may mirror revocations and see that they are still there', async () => {
    const mirror = redisRevocationMirror(connection, { clock: systemClock, random: systemRandom })
    const notAfter = Math.ceil(systemClock.nowMs() / 1000) + 60
    const [token, account] = [newId(systemRandom), newId(systemRandom)]
    await mirror.write([
      { kind: 'jti', key: token, minEpoch: undefined, notAfter },
      { kind: 'sub', key: account, minEpoch: 7, notAfter },
      { kind: 'sub', key: account, minEpoch: 6, notAfter },
      { kind: 'everyone', key: '', minEpoch: 9, notAfter },
    ])
    await mirror.isIntact()
    await mirror.beginRewrite()
    await mirror.markIntact()
    expect(await mirror.isIntact()).toBe(true)
    expect(await inspector.get(`cardea:revoked:jti:${token}`)).toBe('1')
    expect(await inspector.get(`cardea:revoked:sub:${account}`)).toBe('7')
    expect(await inspector.get('cardea:revoked:everyone')).toBe('9')
    await connection.ping()
    expect(await refusals()).toEqual([])
  })

  test('R129: may keep, read and drop copies of sessions', async () => {
    const copies = redisSessionCopies(connection, [{ id: 0, key: randomBytes(32) }])
    const [sessionId, accountId] = [newId(systemRandom), newId(systemRandom)]
    const session: CookieSession = {
      ...{ kind: 'cookie', sessionId, accountId, email: 'bob@example.com', roles: [] },
      ...{ scope: 'account', clientId: 'first-party', audience: 'https://api.example.com' },
      ...{ amr: ['pwd'], acr: 'aal1', epochs: [1, 0, 0], generation: 0, createdAtMs: 1 },
      pendingGeneration: undefined,
      ...{ authenticatedAtMs: 1, lastUsedAtMs: 1, idleExpiresAtMs: 2, absoluteExpiresAtMs: 3 },
      ...{ data: '{}', dataVersion: 1 },
    }
    const copy = { session, secretDigest: 'digest', copiedAtMs: 1 }
    await copies.write(copy)
    expect(await copies.read(sessionId)).toEqual(copy)
    await copies.write({ ...copy, session: { ...session, dataVersion: 0 } })
    expect(await copies.read(sessionId)).toEqual(copy)
    await copies.drop([sessionId])
    expect(await inspector.exists(`cardea:session:${sessionId}`)).toBe(0)
    expect(await refusals()).toEqual([])
  })

  test('R129: may run no command that Cardea does not send', async () => {
    const stats = await inspector.info('commandstats')
    const used = [...stats.matchAll(/^cmdstat_([^:]+):/gm)].map(([, name]) => name)
    const users = await readFile(new URL('../../deploy/redis/users.acl', import.meta.url), 'utf8')
    const allowed = [...users.matchAll(/ \+(\S+)/g)].map(([, name]) => name)
    expect(allowed.length).toBeGreaterThan(5)
    // Sent when the connection is closed.
    expect(allowed.filter((name) => name !== 'quit' && !used.includes(name))).toEqual([])
  })

  const refused = /NOPERM|The user executing the script can't/

  test.each([
    'FLUSHALL',
    'FLUSHDB',
    'CONFIG GET *',
    'CONFIG SET maxmemory 1',
    'KEYS *',
    'SCAN 0',
    'ACL SETUSER cardea allkeys +@all',
    'ACL LIST',
    'SHUTDOWN',
    'MONITOR',
    'REPLICAOF 127.0.0.1 1',
    'MODULE LIST',
    'SCRIPT FLUSH',
    'CLIENT KILL TYPE normal',
    'PUBLISH cardea:wake x',
    'GET somebody:else',
    'SET somebody:else x',
    'DEL cardea:limit:x somebody:else',
  ])('R129: is refused %s', async (line) => {
    const [command = '', ...args] = line.split(' ')
    await expect(connection.client.call(command, ...args)).rejects.toThrow(refused)
  })

  test.each(["return redis.call('GET', 'somebody:else')", "return redis.call('FLUSHALL')"])(
    'R129: gains nothing by the script %s',
    async (script) => {
      await expect(connection.client.eval(script, 0)).rejects.toThrow(refused)
    },
  )

  test('R129: is the only one: nobody comes in without a password or by another name', async () => {
    const stranger = async (more: { username?: string; password?: string }) => {
      const client = new Redis({
        port: server.port,
        lazyConnect: true,
        retryStrategy: () => null,
        enableReadyCheck: false,
        ...more,
      })
      client.on('error', () => undefined)
      try {
        return await client.get('cardea:mirror:intact')
      } finally {
        client.disconnect()
      }
    }
    await expect(stranger({})).rejects.toThrow(/NOAUTH/)
    await expect(stranger({ password })).rejects.toThrow(/WRONGPASS|NOAUTH/)
    await expect(stranger({ username: 'cardea', password: `${password}x` })).rejects.toThrow(
      /WRONGPASS|NOAUTH/,
    )
  })
})
