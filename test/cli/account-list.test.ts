import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'
import { type MigratedDatabase, migratedDatabase } from '../support/servers/migrated-database.ts'
import { type RunSql, sqlAs } from '../support/servers/sql.ts'
import { whenDisconnected } from '../support/service/when-disconnected.ts'
import { runCli } from './run-cli.ts'

const people = 5_000

let migrated: MigratedDatabase
let asOwner: RunSql
let settings: Readonly<Record<string, string>>

beforeAll(async () => {
  migrated = await migratedDatabase()
  asOwner = sqlAs(migrated.ownerUrl)
  settings = {
    DATABASE_URL: migrated.appUrl,
    CARDEA_SECRET: 'a-secret-of-this-test-that-is-long-enough',
  }
  await asOwner(
    `INSERT INTO accounts (id, email, email_canonical, status, roles, password_phc, created_at, updated_at)
     SELECT decode(md5(n::text), 'hex'), n || '@example.com', n || '@example.com', 'active', '{a}', 'none', now(), now()
     FROM generate_series(1, ${people}) n`,
  )
  const name = new URL(migrated.ownerUrl).pathname.slice(1)
  // As with a million people, where reading all of them, or sorting all that are left, is never the quickest way.
  for (const setting of ['enable_seqscan = off', 'enable_bitmapscan = off']) {
    await asOwner(`ALTER DATABASE ${name} SET ${setting}`)
  }
  await asOwner(`ALTER DATABASE ${name} SET plan_cache_mode = force_generic_plan`)
})
afterAll(() => migrated.drop())

const rowsRead = async (): Promise<number> => {
  await whenDisconnected(migrated.ownerUrl)
  const [row] = await asOwner<{ count: string }>(
    `SELECT sum(idx_tup_read) + (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'accounts') AS count
     FROM pg_stat_user_indexes WHERE relname = 'accounts'`,
  )
  return Number(row?.count)
}

test('a list of all accounts has each once and reads each once, however many there are', async () => {
  const before = await rowsRead()
  const listed = await runCli(['account', 'list', '--json'], settings)
  const { accounts } = listed.json()
  expect(accounts).toHaveLength(people)
  expect(new Set(accounts.map(({ id }: { id: string }) => id)).size).toBe(people)
  expect((await rowsRead()) - before).toBeLessThan(people * 1.2)
  const { stdout } = await runCli(['account', 'list'], settings)
  expect(stdout.match(/^[\w-]{22} {2}active {4}\S+Z {2}\d+@example\.com {2}a$/gm)).toHaveLength(
    people,
  )
})

test('the account of an address is found without reading others, and none for one that nobody has', async () => {
  const before = await rowsRead()
  for (const [email, count] of [
    ['42@EXAMPLE.com', 1],
    ['nobody@example.com', 0],
  ] as const) {
    const listed = await runCli(['account', 'list', '--email', email, '--json'], settings)
    expect(listed.json().accounts).toHaveLength(count)
  }
  expect((await rowsRead()) - before).toBeLessThan(10)
})

test('a reader who is slow is waited for: no page is read that could not be written', async () => {
  const { env } = process
  const texts: string[] = []
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    texts.push(String(chunk))
    return false
  })
  process.env = { ...settings }
  try {
    const running = runCommandLine(['account', 'list', '--json'])
    for (let written = 1; ; written += 1) {
      await vi.waitUntil(() => texts.length >= written)
      // Time enough for another page.
      for (let round = 0; round < 5; round += 1) await asOwner('SELECT 1')
      expect(texts).toHaveLength(written)
      process.stdout.emit('drain')
      if (texts.at(-1)?.endsWith(']}\n')) break
    }
    expect(await running).toBe(0)
  } finally {
    process.env = env
    spy.mockRestore()
  }
  expect(JSON.parse(texts.join('')).accounts).toHaveLength(people)
  expect(texts.length).toBeGreaterThan(5)
})
