import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Sql } from '../../src/infra/postgres/database.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { postgresRevocationNotifier } from '../../src/revocation/index.ts'
import { type MigratedDatabase, migratedDatabase } from '../support/servers/migrated-database.ts'

let store: MigratedDatabase

beforeAll(async () => {
  store = await migratedDatabase()
})
afterAll(() => store.drop())

/** One instance that listens; `heard` counts its words, `said` the statements it sent. */
const instance = async (sql: Sql = store.database) => {
  const seen = { heard: 0, said: 0, reports: [] as string[] }
  const notifier = postgresRevocationNotifier({
    sql: {
      query: (statement, values) => {
        seen.said += 1
        return sql.query(statement, values)
      },
    },
    url: store.appUrl,
    random: systemRandom,
    report: (_error, what) => seen.reports.push(what),
  })
  notifier.listen(() => {
    seen.heard += 1
  })
  // Its own connection counts as one: what was said before it was made is lost.
  await vi.waitFor(() => expect(seen.heard).toBe(1))
  return { ...notifier, seen }
}

test('what one instance says all others hear, and not itself', async () => {
  const [one, two, three] = [await instance(), await instance(), await instance()]
  one.announce()
  await vi.waitFor(() => expect([two.seen.heard, three.seen.heard]).toEqual([2, 2]))
  two.announce()
  await vi.waitFor(() => expect([one.seen.heard, three.seen.heard]).toEqual([2, 3]))
  expect(two.seen.heard).toBe(2)
  await Promise.all([one, two, three].map(({ close }) => close()))
})

test('a hundred at once are said in two words, and the second comes after the last of them', async () => {
  const [one, two] = [await instance(), await instance()]
  for (let time = 0; time < 100; time += 1) one.announce()
  await vi.waitFor(() => expect(two.seen.heard).toBe(3))
  await one.close()
  expect(one.seen.said).toBe(2)
  one.announce()
  await vi.waitFor(() => expect(one.seen.said).toBe(3))
  await one.close()
  await two.close()
})

test('a word that cannot be said is reported and troubles nobody; closing waits for the one under way', async () => {
  let fail: (error: Error) => void = () => undefined
  const failing = await instance({
    query: () =>
      new Promise((_resolve, reject) => {
        fail = reject
      }),
  })
  failing.announce()
  let isClosed = false
  const closing = failing.close().then(() => {
    isClosed = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(isClosed).toBe(false)
  fail(new Error('away'))
  await closing
  expect(failing.seen.reports).toEqual(['other instances were not told of a revocation'])
})
