import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { type CliSettings, runCli } from './run-cli.ts'

const password = 'correct horse battery staple 7'
const secret = randomBytes(32).toString('base64url')

const dataDir = await mkdtemp(join(tmpdir(), 'cardea-test-cli-'))
const database = await freshDatabase()
const settings = {
  DATA_DIR: dataDir,
  DATABASE_URL: database.appUrl,
  MIGRATE_DATABASE_URL: database.ownerUrl,
  REDIS_URL: inject('redisUrl'),
  CARDEA_SECRET: secret,
}
afterAll(async () => {
  await database.drop()
  await rm(dataDir, { recursive: true })
})

const asOwner = async (text: string): Promise<pg.QueryResult> => {
  const client = new pg.Client(database.ownerUrl)
  await client.connect()
  try {
    return await client.query(text)
  } finally {
    await client.end()
  }
}

const withRedis = async <T>(url: string, act: (redis: Redis) => Promise<T>): Promise<T> => {
  const redis = new Redis(url)
  try {
    return await act(redis)
  } finally {
    redis.disconnect()
  }
}

type Check = { name: string; state: string; message: string; fix?: string }

const doctor = async (more: CliSettings = {}) => {
  const { code, stderr, json } = await runCli(['doctor', '--json'], { ...settings, ...more })
  expect(stderr).toBe('')
  const checks: Check[] = json().checks
  return {
    code,
    checks,
    stateOf: (name: string) =>
      checks.filter((check) => check.name === name).map(({ state }) => state),
  }
}

describe('on a database that others run', () => {
  // In order: each step finds what the one before has left.
  test('a command migrates nothing, migrate does, and then there is nothing left to do', async () => {
    const early = await runCli(['account', 'list', '--json'], settings)
    expect([early.code, early.stdout]).toEqual([1, ''])
    expect(JSON.parse(early.stderr)).toMatchObject({
      code: 'schema_behind',
      hint: expect.stringContaining('cardea migrate'),
    })
    expect((await doctor()).stateOf('schema')).toEqual(['fail'])
    const { migrations } = (await runCli(['migrate', '--json'], settings)).json()
    expect(migrations[0]).toBe('0001_accounts.sql')
    expect((await runCli(['migrate'], settings)).stdout).toBe('nothing to do\n')
    expect(await runCli(['account', 'list'], settings)).toMatchObject({ code: 0, stdout: '' })
  })

  test('R115: what a command does is in the trail, by the command line, and holds no password', async () => {
    const args = ['account', 'create', '--email', 'trail@example.com', '--json']
    const { id } = (await runCli(args, settings, password)).json()
    await runCli(['revoke', '--sub', id, '--reason', 'lost laptop'], settings)
    await runCli(['account', 'list'], settings)
    const { rows } = await asOwner('SELECT * FROM audit_events ORDER BY id DESC LIMIT 3')
    expect(rows.map((row) => [row.event, row.actor, row.outcome]).toReversed()).toEqual([
      ['account_created', 'command-line', 'success'],
      ['account_revoked', 'command-line', 'success'],
      ['operator_read', 'command-line', 'success'],
    ])
    expect(rows[1].details).toEqual({ note: 'lost laptop' })
    expect(JSON.stringify(rows)).not.toContain(password)
  })

  test('a revocation is in Redis when the command ends, for services that ask there', async () => {
    const jti = randomBytes(16).toString('base64url')
    expect((await runCli(['revoke', '--jti', jti], settings)).code).toBe(0)
    await withRedis(inject('redisUrl'), async (redis) => {
      expect(await redis.ttl(`cardea:revoked:jti:${jti}`)).toBeGreaterThan(0)
      await redis.del(`cardea:revoked:jti:${jti}`)
    })
  })

  test('a revocation is committed also when Redis is away, with a warning', async () => {
    const jti = randomBytes(16).toString('base64url')
    const away = { ...settings, REDIS_URL: 'redis://127.0.0.1:1' }
    const { code, stdout, stderr } = await runCli(['revoke', '--jti', jti], away)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^seq /)
    expect(stderr).toMatch(/^warning: redis is away: .+\n$/)
    const { rows } = await asOwner(`SELECT kind FROM revocations WHERE key = '${jti}'`)
    expect(rows).toEqual([{ kind: 'jti' }])
  })

  test('a role that is named after the tables were made gets its rights from migrate', async () => {
    const role = `later_${randomBytes(6).toString('hex')}`
    await asOwner(`CREATE ROLE ${role} LOGIN PASSWORD '${role}'`)
    onTestFinished(async () => {
      await asOwner(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
    })
    const name = new URL(database.ownerUrl).pathname.slice(1)
    await asOwner(`GRANT CONNECT ON DATABASE ${name} TO ${role}`)
    const url = new URL(database.appUrl)
    url.username = role
    url.password = role
    const later = { ...settings, DATABASE_URL: url.href }
    expect((await runCli(['account', 'list'], later)).code).toBe(1)
    expect((await runCli(['migrate'], later)).code).toBe(0)
    expect((await runCli(['account', 'list'], later)).code).toBe(0)
  })

  test('R129: a command says which file in DATA_DIR others may read, and how to repair it, and does nothing', async () => {
    const path = join(dataDir, 'secret')
    await writeFile(path, 'a secret that somebody kept here\n')
    await chmod(path, 0o644)
    const nowhere = { DATA_DIR: dataDir, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' }
    for (const args of [['account', 'list'], ['migrate']]) {
      const { code, stdout, stderr } = await runCli([...args, '--json'], nowhere)
      expect([code, stdout]).toEqual([3, ''])
      expect(JSON.parse(stderr)).toMatchObject({
        code: 'unsafe_file',
        error: expect.stringContaining(`run \`chmod 600 ${path}\``),
        hint: expect.stringContaining('replace the secrets'),
      })
      expect(stderr).not.toContain('somebody kept here')
    }
    const { checks } = (await runCli(['doctor', '--json'], nowhere)).json()
    expect(checks).toContainEqual(
      expect.objectContaining({
        name: 'stores',
        state: 'fail',
        message: expect.stringContaining(path),
      }),
    )
    await rm(path)
  })

  test.each([
    ['nobody listens', (url: URL) => Object.assign(url, { port: '1' })],
    ['the password is wrong', (url: URL) => Object.assign(url, { password: 'zX9-wrong' })],
    ['there is no such database', (url: URL) => Object.assign(url, { pathname: '/nowhere' })],
  ])('the exit code is 5 when %s, and no password is shown', async (_, change) => {
    const { href } = change(new URL(database.appUrl))
    const { code, stdout, stderr } = await runCli(['account', 'list'], {
      ...settings,
      DATABASE_URL: href,
      DATABASE_START_TIMEOUT_SECONDS: '1',
    })
    expect([code, stdout]).toEqual([5, ''])
    expect(stderr).toMatch(/^error: .+\nhint: .*DATABASE_URL.*\n$/m)
    expect(stderr).not.toContain(new URL(database.appUrl).password)
    expect(stderr).not.toContain('zX9')
  })
})

describe('the doctor', () => {
  const production = {
    NODE_ENV: 'production',
    ISSUER: 'https://auth.example.com',
    ALLOW_PLAINTEXT_STORES: 'true',
  }

  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] })
  })
  afterAll(() => redis.stop())

  test('R129: lists every bad setting and looks no further', async () => {
    const { code, checks } = await doctor({ NODE_ENV: 'production', CARDEA_SECRET: 'zX9' })
    expect(code).toBe(1)
    expect(new Set(checks.map(({ name, state }) => `${name} ${state}`))).toEqual(
      new Set(['settings fail']),
    )
    expect(JSON.stringify(checks)).toContain('CARDEA_SECRET')
    expect(JSON.stringify(checks)).not.toContain('zX9')
  })

  test('R115 R129: fails in production when the service would connect as the owner of the tables', async () => {
    const asApp = await doctor(production)
    expect(asApp.stateOf('postgres-role')).toEqual(['ok'])
    const { code, checks } = await doctor({ ...production, DATABASE_URL: database.ownerUrl })
    expect(code).toBe(1)
    const texts = checks
      .filter(({ name }) => name === 'postgres-role')
      .map(({ message }) => message)
    expect(texts).toContain('the role owns tables')
    expect(texts).toContain('the role may change the audit trail')
  })

  test('R71: fails when Redis may evict, and is content with a user that may not administer it', async () => {
    const evicting = await doctor({ ...production, REDIS_URL: redis.url })
    expect(evicting.stateOf('redis-memory')).toEqual(['fail'])
    expect(evicting.stateOf('redis-user')).toEqual(['fail'])
    await withRedis(redis.url, async (client) => {
      await client.config('SET', 'maxmemory-policy', 'noeviction')
      const rights = ['~cardea:*', '+@all', '-@admin', '-@dangerous', '+info']
      await client.call('ACL', 'SETUSER', 'cardea', 'on', '>limited', ...rights)
    })
    const url = redis.url.replace('redis://', 'redis://cardea:limited@')
    const limited = await doctor({ ...production, REDIS_URL: url })
    expect(limited.stateOf('redis-memory')).toEqual(['ok'])
    expect(limited.stateOf('redis-user')).toEqual(['ok'])
  })

  test('makes nothing where there is no data yet, and says that a start does', async () => {
    const folder = join(dataDir, 'not-yet')
    const { code, checks } = await doctor({ DATA_DIR: folder, DATABASE_URL: '', CARDEA_SECRET: '' })
    expect(code).toBe(0)
    expect(checks.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'settings ok',
      'postgres warn',
    ])
    expect(existsSync(folder)).toBe(false)
  })

  test('makes no secret beside a database of yours, and looks at the rest without one', async () => {
    const folder = join(dataDir, 'not-yet')
    const { code, stateOf } = await doctor({ DATA_DIR: folder, CARDEA_SECRET: '' })
    expect(code).toBe(0)
    expect(stateOf('secret')).toEqual(['warn'])
    expect(stateOf('schema')).toEqual(['ok'])
    expect(stateOf('signing-keys')).toEqual(['ok'])
    expect(existsSync(folder)).toBe(false)
  })

  test('says what is away and goes on with the rest', async () => {
    const url = Object.assign(new URL(database.appUrl), { port: '1' }).href
    const { code, stateOf } = await doctor({
      DATABASE_URL: url,
      REDIS_URL: 'redis://127.0.0.1:1',
      DATABASE_START_TIMEOUT_SECONDS: '1',
    })
    expect(code).toBe(1)
    expect(stateOf('postgres')).toEqual(['fail'])
    expect(stateOf('redis')).toEqual(['fail'])
    expect(stateOf('passwords')).toEqual(['ok'])
  })
})
