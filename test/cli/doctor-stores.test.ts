import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { findProgram } from '../support/programs/find-program.ts'
import { startProxyProcess } from '../support/programs/proxy-process.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { startRedis } from '../support/servers/redis-server.ts'
import { type CliSettings, runCli } from './run-cli.ts'

const database = await freshDatabase({ isMigrated: true })
const redis = await startRedis()
const settings = {
  DATABASE_URL: database.appUrl,
  REDIS_URL: redis.url,
  CARDEA_SECRET: randomBytes(32).toString('base64'),
}
afterAll(async () => {
  await redis.stop()
  await database.drop()
})

type Check = { name: string; state: string; message: string; fix?: string }

const doctor = async (more: CliSettings = {}) => {
  const { code, json } = await runCli(['doctor', '--json'], { ...settings, ...more })
  const checks: Check[] = json().checks
  return { code, of: (name: string) => checks.filter((check) => check.name === name) }
}

const withRedis = async <T>(act: (redis: Redis) => Promise<T>): Promise<T> => {
  const client = new Redis(redis.url)
  try {
    return await act(client)
  } finally {
    client.disconnect()
  }
}

test('a variable that looks like a misspelt setting is worth a warning, with the setting that was meant', async () => {
  const { code, of } = await doctor({ TRUSTED_PROXY: '10.0.0.1' })
  expect(code).toBe(0)
  expect(of('settings').filter(({ state }) => state === 'warn')).toMatchObject([
    { message: 'TRUSTED_PROXY is not a setting: did you mean TRUSTED_PROXIES?' },
  ])
})

test('R124: production without a trusted proxy serves nobody, so it fails; a named one is well', async () => {
  const production = {
    NODE_ENV: 'production',
    ISSUER: 'https://auth.example.com',
    ALLOW_PLAINTEXT_STORES: 'true',
  }
  const alone = await doctor(production)
  expect(alone.code).toBe(1)
  expect(alone.of('settings').filter(({ state }) => state === 'fail')).toEqual([
    expect.objectContaining({
      message: expect.stringMatching(/^TRUSTED_PROXIES is empty.*403/),
      fix: expect.stringContaining('proxy'),
    }),
  ])
  const behind = await doctor({ ...production, TRUSTED_PROXIES: '10.0.0.1' })
  expect(behind.of('settings').filter(({ state }) => state === 'fail')).toEqual([])
})

test('a Redis that is well takes writes, and its clock is that of Postgres', async () => {
  const { of } = await doctor()
  for (const name of ['redis', 'redis-writes', 'redis-clock']) {
    expect(of(name)).toEqual([expect.objectContaining({ state: 'ok' })])
  }
})

test('R71: a Redis that is full, or nearly, is found', async () => {
  await withRedis((client) => client.config('SET', 'maxmemory', '1'))
  const [full] = (await doctor()).of('redis-writes')
  expect(full).toMatchObject({ state: 'fail', message: expect.stringContaining('OOM') })
  expect(full?.fix).toContain('maxmemory')
  const used = await withRedis(async (client) => {
    const [, bytes] = /used_memory:(\d+)/.exec(await client.info('memory')) ?? []
    return Number(bytes)
  })
  await withRedis((client) => client.config('SET', 'maxmemory', Math.round(used * 1.05)))
  const nearly = (await doctor()).of('redis-memory')
  expect(nearly.map(({ state }) => state)).toEqual(['ok', 'warn'])
  expect(nearly[1]?.message).toMatch(/^\d+ % of maxmemory is used$/)
  await withRedis((client) => client.config('SET', 'maxmemory', '0'))
})

test('a Redis that is a replica is found', async () => {
  const primary = await startRedis()
  onTestFinished(async () => {
    await withRedis((client) => client.call('REPLICAOF', 'NO', 'ONE'))
    await primary.stop()
  })
  await withRedis((client) => client.replicaof('127.0.0.1', primary.port))
  const { code, of } = await doctor()
  expect(code).toBe(1)
  expect(of('redis-writes')).toEqual([
    expect.objectContaining({
      state: 'fail',
      message: expect.stringContaining('READONLY'),
      fix: expect.stringContaining('primary'),
    }),
  ])
})

test('a node of a Redis Cluster behind the URL of a single server is found', async () => {
  const node = await startRedis({ args: ['--cluster-enabled', 'yes'] })
  const client = new Redis(node.url)
  onTestFinished(async () => {
    client.disconnect()
    await node.stop()
  })
  await client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  const { code, of } = await doctor({ REDIS_URL: node.url })
  expect(code).toBe(1)
  expect(of('redis-writes')).toEqual([
    expect.objectContaining({ state: 'fail', fix: expect.stringContaining('redis+cluster://') }),
  ])
})

test('a pooler that drops the time limits of the service is found, and the role may have them itself', async () => {
  const [direct] = (await doctor()).of('postgres-timeouts')
  expect(direct?.state).toBe('ok')
  const { hostname, port, username, password, pathname } = new URL(database.appUrl)
  const name = pathname.slice(1)
  const program = await findProgram({
    name: 'pgbouncer',
    need: 'a real PgBouncer',
    commands: ['pgbouncer', '/usr/sbin/pgbouncer'],
    unpacked: ['usr/sbin/pgbouncer'],
    packages: ['pgbouncer'],
    withDependencies: true,
    probe: ['--version'],
  })
  const pooler = await startProxyProcess(
    program,
    { cardea: '', app: '' },
    async ({ folder, port: own }) => {
      const file = join(folder, 'pgbouncer.ini')
      await writeFile(join(folder, 'users.txt'), `"${username}" "${password}"\n`)
      await writeFile(
        file,
        [
          '[databases]',
          `${name} = host=${hostname} port=${port} dbname=${name} user=${username} password=${password}`,
          '[pgbouncer]',
          'listen_addr = 127.0.0.1',
          `listen_port = ${own}`,
          'unix_socket_dir =',
          'auth_type = plain',
          `auth_file = ${join(folder, 'users.txt')}`,
          'pool_mode = transaction',
          'ignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout',
          '',
        ].join('\n'),
      )
      return { args: process.geteuid?.() === 0 ? ['-u', 'nobody', file] : [file] }
    },
  )
  onTestFinished(() => pooler.stop())
  const pooled = new URL(database.appUrl)
  pooled.port = String(pooler.port)
  const through = () => doctor({ DATABASE_URL: pooled.href, DATABASE_PREPARED_STATEMENTS: 'false' })
  const [lost] = (await through()).of('postgres-timeouts')
  expect(lost?.state).toBe('warn')
  expect(lost?.message).toContain('idle_in_transaction_session_timeout and statement_timeout')
  expect(lost?.fix).toContain('ALTER ROLE')
})
