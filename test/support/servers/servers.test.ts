import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { Redis } from 'ioredis'
import pg from 'pg'
import { expect, inject, test, vi } from 'vitest'
import { clockAhead } from '../clocks/wrong-clock.ts'
import { scratchFolder } from '../programs/scratch-folder.ts'
import { freshDatabase, startPostgres } from './postgres-server.ts'
import { makeSynchronous, startStandby } from './postgres-standby.ts'
import { startRedis } from './redis-server.ts'

const connected = async (url: string) => {
  const client = new pg.Client(url)
  client.on('error', () => undefined)
  await client.connect()
  return client
}

/** A connection that fails at once instead of waiting for better times. */
const redisAt = (url: string) => {
  const redis = new Redis(url, { maxRetriesPerRequest: 0, retryStrategy: () => null })
  redis.on('error', () => undefined)
  return redis
}

test('a fresh database is empty, and the application may connect to it but create nothing', async () => {
  const database = await freshDatabase()
  const app = await connected(database.appUrl)
  const tables = await app.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
  expect(tables.rowCount).toBe(0)
  await expect(app.query('CREATE TABLE mine (id int)')).rejects.toThrow('permission denied')
  await app.end()
  await database.drop()
  await expect(connected(database.appUrl)).rejects.toThrow('does not exist')
})

test('the shared Redis answers', async () => {
  const redis = redisAt(inject('redisUrl'))
  expect(await redis.ping()).toBe('PONG')
  await redis.quit()
})

test('a Redis of its own can be killed, comes back empty on the same address, and leaves no folder', async () => {
  const server = await startRedis()
  const first = redisAt(server.url)
  await first.set('key', 'value')
  const { pid } = server
  await server.kill()
  await expect(redisAt(server.url).ping()).rejects.toThrow()
  await server.restart()
  expect(server.pid).not.toBe(pid)
  const second = redisAt(server.url)
  expect(await second.get('key')).toBeNull()
  second.disconnect()
  await server.stop()
  await expect(redisAt(server.url).ping()).rejects.toThrow()
})

test('a frozen Redis accepts connections and answers nothing until it thaws', async () => {
  const server = await startRedis()
  const redis = new Redis(server.url)
  await redis.set('key', 'value')
  server.freeze()
  const hasty = new Redis(server.url, { commandTimeout: 300 })
  await expect(hasty.get('key')).rejects.toThrow('Command timed out')
  hasty.disconnect()
  server.thaw()
  expect(await redis.get('key')).toBe('value')
  redis.disconnect()
  server.freeze()
  await server.stop()
})

test('a Postgres of its own can be killed and comes back with what was committed, on the same address', async () => {
  const server = await startPostgres()
  const before = await connected(server.ownerUrl)
  await before.query('CREATE TABLE kept AS SELECT 42 AS answer')
  await server.kill()
  await expect(connected(server.ownerUrl)).rejects.toThrow('ECONNREFUSED')
  await server.restart()
  const after = await connected(server.ownerUrl)
  expect((await after.query('SELECT answer FROM kept')).rows).toEqual([{ answer: 42 }])
  await after.end()
  await server.stop()
})

test('a frozen Postgres answers nothing, not even on open connections, until it thaws', async () => {
  const server = await startPostgres()
  const client = await connected(server.appUrl)
  await server.freeze()
  const { port, hostname } = new URL(server.appUrl)
  const late = new pg.Client({ host: hostname, port: Number(port), connectionTimeoutMillis: 300 })
  await expect(late.connect()).rejects.toThrow('timeout')
  let isAnswered = false
  const answer = client.query('SELECT 1 AS one').then((result) => {
    isAnswered = true
    return result.rows
  })
  await server.freeze()
  expect(isAnswered).toBe(false)
  await server.thaw()
  expect(await answer).toEqual([{ one: 1 }])
  await client.end()
  await server.freeze()
  await server.stop()
})

test('a commit waits for a synchronous standby that is frozen, and succeeds when it thaws', async () => {
  const primary = await startPostgres({ wal_sender_timeout: '0' })
  const standby = await startStandby(primary)
  await makeSynchronous(primary)
  const client = await connected(primary.ownerUrl)
  await client.query('CREATE TABLE kept (answer int)')
  await standby.freeze()
  let isCommitted = false
  const commit = client.query('INSERT INTO kept VALUES (42)').then(() => {
    isCommitted = true
  })
  const look = await connected(primary.ownerUrl)
  const waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
  await vi.waitFor(async () => expect((await look.query(waiting)).rowCount).toBe(1))
  expect(isCommitted).toBe(false)
  await standby.thaw()
  await commit
  const copy = await connected(standby.ownerUrl)
  const copied = async () => (await copy.query('SELECT answer FROM kept')).rows
  await vi.waitFor(async () => expect(await copied()).toEqual([{ answer: 42 }]))
  for (const one of [client, look, copy]) await one.end()
  await standby.stop()
  await primary.stop()
})

test.each([9_000, -40_000, 40 * 24 * 3_600_000])(
  'the wall clock of a process can be %i ms ahead, and its monotonic clock is right',
  async (aheadMs) => {
    const script = `
      const looks = [Date.now(), new Date().getTime(), Date.parse(Date()), new Date(0).getTime()]
      process.stdout.write(JSON.stringify([...looks, performance.now() < 60000, new Date() instanceof Date]))`
    const child = spawn(process.execPath, ['-e', script], {
      env: clockAhead(aheadMs),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [chunk] = await once(child.stdout, 'data')
    const [now, made, text, zero, ...rest] = JSON.parse(String(chunk))
    for (const ms of [now, made, text]) {
      expect(ms - aheadMs).toBeGreaterThan(Date.now() - 60_000)
      expect(ms - aheadMs).toBeLessThanOrEqual(Date.now())
    }
    expect([zero, ...rest]).toEqual([0, true, true])
  },
)

test('servers and folders end with the process that started them, even when it is killed while they are frozen', async () => {
  const scratch = await scratchFolder('owner')
  const file = (name: string) => JSON.stringify(new URL(name, import.meta.url).href)
  const script = `
    import { scratchFolder } from ${file('../programs/scratch-folder.ts')}
    import { spawn } from 'node:child_process'
    const folder = await scratchFolder('killed')
    const server = spawn('sleep', ['600'], { cwd: folder.path, detached: true })
    folder.watch(server.pid)
    server.kill('SIGSTOP')
    process.stdout.write(JSON.stringify({ path: folder.path, pid: server.pid }))`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    cwd: scratch.path,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [chunk] = await once(child.stdout, 'data')
  const { path, pid } = JSON.parse(String(chunk))
  expect(existsSync(path)).toBe(true)
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
  await vi.waitFor(() => expect(existsSync(path)).toBe(false))
  // Gone, or a zombie that nobody has collected yet.
  expect(existsSync(`/proc/${pid}/cwd`)).toBe(false)
  await scratch.remove()
})
