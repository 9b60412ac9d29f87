import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { entryProblem } from '../../packages/verifier/src/wire.ts'
import type { Database } from '../../src/infra/postgres/database.ts'
import { validateConstraints } from '../../src/infra/postgres/migrate.ts'
import { type FeedCursor, parseCursor } from '../../src/revocation/feed-cursor.ts'
import { maxChanges, postgresReadLog } from '../../src/revocation/postgres-read-log.ts'
import {
  type LogChanges,
  postgresRevocationLog,
  type ReadLog,
} from '../../src/revocation/revocation-log.ts'
import { type FakeClock, fakeClock, pastClock } from '../support/clocks/fake-clock.ts'
import { seeded } from '../support/run/seeded.ts'
import {
  appPool,
  type MigratedDatabase,
  migratedServer,
  ownerPool,
} from '../support/servers/migrated-database.ts'
import { openRevocation } from '../support/servers/open-revocation.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { writeElsewhere } from '../support/servers/write-elsewhere.ts'
import { idNamed, nameOfId } from '../support/service/named-id.ts'

const lifetimeMs = 970_000

const fromTheStart: FeedCursor = { running: [], next: 0n }

const cursorOf = (text: string): FeedCursor => {
  const cursor = parseCursor(text)
  if (!cursor) throw new Error(`${text} is no cursor`)
  return cursor
}

const ownerOf = ({ ownerUrl }: MigratedDatabase): Database => ownerPool(ownerUrl, { poolSize: 1 })

const namesIn = ({ rows }: LogChanges): string[] | 'too_many' =>
  rows === 'too_many' ? rows : rows.map(({ entry }) => nameOfId(entry.key)).toSorted()

describe('the log of revocations', () => {
  let store: MigratedDatabase
  let clock: FakeClock
  let log: ReadLog

  beforeAll(async () => {
    store = await migratedServer()
  })
  afterAll(() => store.drop())
  beforeEach(async () => {
    clock = pastClock()
    log = postgresReadLog(store.database, clock, () => undefined)
    await sqlAs(store.ownerUrl)('DELETE FROM revocations')
  })

  const appendOn = (name: string, database = store.database) =>
    postgresRevocationLog(database, clock, () => undefined).append({
      target: { kind: 'sid', key: idNamed(name) },
      actor: 'somebody',
      reason: 'their own',
    })

  const openAppend = (name: string) =>
    openRevocation(store.appUrl, 'sid', idNamed(name), clock.nowMs())

  const cursorNow = async (): Promise<FeedCursor> => cursorOf((await log.snapshot()).cursor)

  test('what was rolled back is never delivered, and no cursor waits for it', async () => {
    const start = await cursorNow()
    const undone = await openAppend('undone')
    await appendOn('kept')
    await undone.rollBack()
    const changes = await log.changes(start)
    expect(namesIn(changes)).toEqual(['kept'])
    expect(changes.cursor.running).toEqual([])
  })

  test('R76: whatever the order in which transactions begin, commit and are read, a reader who goes from cursor to cursor has all', async () => {
    const { seed, next, shuffle } = seeded()
    let cursor = await cursorNow()
    const seen = new Set<string>()
    const read = async () => {
      const changes = await log.changes(cursor)
      for (const name of namesIn(changes)) {
        expect(seen.has(name), `${name} comes once, seed ${seed}`).toBe(false)
        seen.add(name)
      }
      cursor = changes.cursor
    }
    const names = Array.from({ length: 40 }, (_, place) => `n${String(place).padStart(2, '0')}`)
    const open: Awaited<ReturnType<typeof openAppend>>[] = []
    for (const name of names) {
      open.push(await openAppend(name))
      if (next(3) > 0) await open.splice(next(open.length), 1)[0]?.commit()
      if (next(2) === 0) await read()
    }
    for (const one of shuffle(open)) {
      await one.commit()
      await read()
    }
    expect([...seen].toSorted(), `seed ${seed}`).toEqual(names)
  })

  test('each kind of entry comes back as it was appended, its end rounded up to a whole second', async () => {
    const start = await cursorNow()
    const { append } = postgresRevocationLog(store.database, clock, () => undefined, 900_500)
    const by = { actor: 'somebody', reason: 'their own' }
    const [id, kid] = [idNamed('it'), Buffer.alloc(32, 7).toString('base64url')]
    await append({ target: { kind: 'jti', key: id }, ...by })
    await append({ target: { kind: 'sid', key: id }, ...by })
    await append({ target: { kind: 'sub', key: id, minEpoch: 3 }, ...by })
    await append({ target: { kind: 'claims', key: id, minEpoch: 4 }, ...by })
    await append({ target: { kind: 'kid', key: kid }, ...by })
    await append({ target: { kind: 'everyone', key: '', minEpoch: 2 ** 40 }, ...by })
    const { rows } = await log.changes(start)
    const entries = rows === 'too_many' ? [] : rows.map(({ entry }) => entry)
    const notAfter = Math.ceil((clock.nowMs() + 900_500) / 1000)
    const keyNotAfter = Math.ceil(clock.nowMs() / 1000 + 7 * 24 * 3600)
    const minEpoch = undefined
    expect(entries).toEqual([
      { kind: 'jti', key: id, minEpoch, notAfter },
      { kind: 'sid', key: id, minEpoch, notAfter },
      { kind: 'sub', key: id, minEpoch: 3, notAfter },
      { kind: 'claims', key: id, minEpoch: 4, notAfter },
      { kind: 'kid', key: kid, minEpoch, notAfter: keyNotAfter },
      { kind: 'everyone', key: '', minEpoch: 2 ** 40, notAfter },
    ])
    expect([...(await log.snapshot()).entries]).toEqual(entries)
  })

  test('R78: what has ended is in no answer, purged or not', async () => {
    const start = await cursorNow()
    await appendOn('old')
    clock.advance(lifetimeMs - 1)
    await appendOn('new')
    expect(namesIn(await log.changes(start))).toEqual(['new', 'old'])
    clock.advance(1)
    expect(namesIn(await log.changes(start))).toEqual(['new'])
    expect((await log.snapshot()).entries).toHaveLength(1)
  })

  const appendMany = (count: number) =>
    sqlAs(store.ownerUrl)(
      `INSERT INTO revocations (kind, key, not_after, actor, reason, created_at)
       SELECT 'sid', translate(encode(decode(lpad(to_hex(n), 32, '0'), 'hex'), 'base64'), '+/=', '-_'),
         $1, 'somebody', 'their own', now() FROM generate_series(1, $2) n`,
      [new Date(clock.nowMs() + lifetimeMs), count],
    )

  test('a snapshot is read in batches as of one moment: what commits meanwhile is not in it and comes from its cursor', async () => {
    await appendMany(12_000)
    const reads: string[] = []
    const { database } = store
    // Between the batches, as another instance would.
    const watched: Database = {
      ...database,
      transaction: (work) =>
        database.transaction((sql) =>
          work({
            query: async (statement, values) => {
              reads.push(statement.name)
              if (statement.name === 'revocation_batch') await appendOn(`during ${reads.length}`)
              return sql.query(statement, values)
            },
          }),
        ),
    }
    const { cursor, entries } = await postgresReadLog(watched, clock, () => undefined).snapshot()
    expect(reads.filter((name) => name === 'revocation_batch')).toHaveLength(4)
    const keys = new Set([...entries].map(({ key }) => key))
    expect(keys.size).toBe(12_000)
    expect([...keys].map(nameOfId).filter((name) => name.startsWith('during'))).toEqual([])
    expect(namesIn(await log.changes(cursorOf(cursor)))).toEqual([
      'during 3',
      'during 4',
      'during 5',
      'during 6',
    ])
  })

  test('a reader who is further behind than an answer may hold is told so', async () => {
    const start = await cursorNow()
    await appendMany(maxChanges)
    expect(namesIn(await log.changes(start))).toHaveLength(maxChanges)
    await appendOn('one more')
    expect(namesIn(await log.changes(start))).toBe('too_many')
    expect((await log.snapshot()).entries).toHaveLength(maxChanges + 1)
  })

  describe('a malformed row', () => {
    /** As written before the constraint was there. */
    const writeByHand = async (rows: readonly (readonly unknown[])[]) => {
      const sql = sqlAs(store.ownerUrl)
      const [constraint] = await sql<{ text: string }>(
        `SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conname = 'revocations_can_be_read'`,
      )
      await sql('ALTER TABLE revocations DROP CONSTRAINT revocations_can_be_read')
      for (const row of rows) {
        await sql(
          `INSERT INTO revocations (kind, key, min_epoch, not_after, actor, reason, created_at)
           VALUES ($1, $2, $3, $4, 'somebody', 'by hand', now())`,
          row,
        )
      }
      const notValid = constraint?.text.replace(/( NOT VALID)?$/, ' NOT VALID')
      await sql(`ALTER TABLE revocations ADD CONSTRAINT revocations_can_be_read ${notValid}`)
    }
    const soon = new Date(Date.now() + lifetimeMs)
    const id = idNamed('it')
    const rows = [
      ['sid', `${id}==`, null, soon],
      ['sid', 'two,of them', null, soon],
      ['jti', '', null, soon],
      ['sub', '4d2c7f2e-5d0a-4a35-9a7c-0b0a2f5f1e11', 3, soon],
      ['kid', id, null, soon],
      ['sid', idNamed('endless'), null, 'infinity'],
      ['sub', idNamed('too high'), '9223372036854775807', soon],
      ['claims', idNamed('negative'), -4, soon],
      ['everyone', 'all of them', 7, soon],
    ] as const
    /** What covers as much as such a row can, and all that stands beside it. */
    const passedOn = [
      ...[`claims ${idNamed('negative')} 0`, 'everyone  7', `sid ${idNamed('after')} undefined`],
      ...[`sid ${idNamed('before')} undefined`, `sid ${idNamed('endless')} undefined`],
      `sub ${idNamed('too high')} ${Number.MAX_SAFE_INTEGER}`,
    ]

    test('keeps nobody from the rows beside it, covers what it can, and is named once', async () => {
      const reports: string[] = []
      const reading = postgresReadLog(store.database, clock, (names) => reports.push(...names))
      const start = await cursorNow()
      await appendOn('before')
      await writeByHand(rows)
      await appendOn('after')
      const { rows: logged } = await reading.changes(start)
      const changed = logged === 'too_many' ? [] : logged.map(({ entry }) => entry)
      for (const entries of [changed, [...(await reading.snapshot()).entries]]) {
        const texts = entries.map(({ kind, key, minEpoch }) => `${kind} ${key} ${minEpoch}`)
        expect(texts.toSorted()).toEqual(passedOn)
        for (const entry of entries) expect(entryProblem(entry)).toBeUndefined()
      }
      const named = rows.map(([kind, key]) => `${kind} ${key.replace(',', ' ')}`)
      expect(reports.toSorted()).toEqual(named.toSorted())
    })

    test.each(rows)('is refused when it is written: %s %s %s', async (...row) => {
      const written = sqlAs(store.appUrl)(
        `INSERT INTO revocations (kind, key, min_epoch, not_after, actor, reason, created_at)
         VALUES ($1, $2, $3, $4, 'somebody', 'by hand', now())`,
        row,
      )
      await expect(written).rejects.toThrow('revocations_can_be_read')
    })

    test('that was there before is no reason not to migrate, and well-formed ones are checked without keeping anybody out', async () => {
      const isChecked = async () => {
        const [row] = await sqlAs(store.ownerUrl)<{ convalidated: boolean }>(
          `SELECT convalidated FROM pg_constraint WHERE conname = 'revocations_can_be_read'`,
        )
        return row?.convalidated
      }
      await writeByHand(rows.slice(0, 1))
      const owner = ownerOf(store)
      await validateConstraints(owner)
      expect(await isChecked()).toBe(false)
      await sqlAs(store.ownerUrl)('DELETE FROM revocations')
      await appendOn('good')
      // Whoever reads and writes at this moment is not waited for.
      const writing = await openAppend('under way')
      await validateConstraints(owner)
      expect(await isChecked()).toBe(true)
      await writing.commit()
      await owner.close()
    })
  })

  test('a read touches what it returns and nothing else, also when a transaction elsewhere is older than 100,000 rows', async () => {
    const elsewhere = await writeElsewhere(store.ownerUrl)
    await appendMany(100_000)
    const from = await cursorNow()
    await appendOn('new')
    const plan: string[] = []
    const explaining: Database = {
      ...store.database,
      query: async ({ text }, values = []) => {
        const statement = `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`
        plan.push(JSON.stringify(await sqlAs(store.ownerUrl)(statement, [...values])))
        return []
      },
    }
    await expect(postgresReadLog(explaining, clock, () => undefined).changes(from)).rejects.toThrow(
      'no snapshot',
    )
    const rows = [...plan.join().matchAll(/"Actual Rows":\s*(\d+)/g)].map(([, count]) =>
      Number(count),
    )
    const removed = [...plan.join().matchAll(/"Rows Removed by Filter":\s*(\d+)/g)]
    expect(namesIn(await log.changes(from))).toEqual(['new'])
    await elsewhere.end()
    expect(rows.length).toBeGreaterThan(3)
    expect(Math.max(...rows)).toBeLessThan(100)
    expect(removed.filter(([, count]) => count !== '0')).toEqual([])
  })

  test('a read goes by the index of transactions whatever the cursor, also among 20,000 rows', async () => {
    await appendMany(maxChanges)
    await sqlAs(store.ownerUrl)('ANALYZE revocations')
    const plan: string[] = []
    const explaining: Database = {
      ...store.database,
      query: async ({ text }) => {
        // The plan that a prepared statement falls back to: one for any cursor.
        const rows = await sqlAs(store.ownerUrl)(`EXPLAIN (GENERIC_PLAN) ${text}`)
        plan.push(...rows.map((row) => String(row['QUERY PLAN'])))
        return []
      },
    }
    await expect(
      postgresReadLog(explaining, clock, () => undefined).changes(fromTheStart),
    ).rejects.toThrow('no snapshot')
    expect(plan.join('\n')).toContain('Index Scan using revocations_by_transaction')
    expect(plan.join('\n')).not.toMatch(/Seq Scan|Sort/)
  })
})

describe('the name of the log', () => {
  let server: PostgresServer
  let database: Database
  let log: ReadLog

  beforeAll(async () => {
    server = await startPostgres()
    await sqlAs(server.ownerUrl)(
      `CREATE TABLE revocations (seq bigint, xid xid8, kind text, key text, min_epoch bigint, not_after timestamptz)`,
    )
    const role = decodeURIComponent(new URL(server.appUrl).username)
    await sqlAs(server.ownerUrl)(`GRANT SELECT ON revocations TO "${role}"`)
    database = appPool(server.appUrl)
    log = postgresReadLog(database, fakeClock(), () => undefined)
  })
  afterAll(async () => {
    await database.close()
    await server.stop()
  })

  const feedId = async (): Promise<string> => {
    const inChanges = (await vi.waitFor(() => log.changes(fromTheStart))).feedId
    expect((await log.snapshot()).feedId).toBe(inChanges)
    return inChanges
  }

  const systemIdentifier = async () => {
    const text = 'SELECT system_identifier::text AS id FROM pg_control_system()'
    return (await sqlAs(server.appUrl)<{ id: string }>(text))[0]?.id
  }

  test('names the cluster and its timeline, and outlives a restart', async () => {
    const before = await feedId()
    expect(before).toMatch(new RegExp(`^${await systemIdentifier()}-1-\\d+$`))
    await server.restart()
    expect(await feedId()).toBe(before)
  })

  test('R76: is another one after a crash, since Postgres may give out transaction numbers again that it lost', async () => {
    const before = await feedId()
    // Postgres tells the time of a recovery in whole seconds here.
    const second = Number(before.split('-')[2])
    await vi.waitFor(() => expect(Math.floor(Date.now() / 1000)).toBeGreaterThan(second + 1))
    await server.kill()
    await server.restart()
    const after = await feedId()
    expect(after).not.toBe(before)
    await server.restart()
    expect(await feedId()).toBe(after)
  })

  test('R76: a standby answers nothing, and once it is promoted the log has another name at once', async () => {
    const before = await feedId()
    const [setting] = await sqlAs(server.ownerUrl)<{ data_directory: string }>(
      'SHOW data_directory',
    )
    await server.kill()
    await writeFile(join(setting?.data_directory ?? '', 'standby.signal'), '')
    // Not "ready" to those who started it before it takes writes, but it answers.
    const restarting = server.restart()
    const standby = async () => {
      const [row] = await sqlAs(server.ownerUrl)<{ recovering: boolean }>(
        'SELECT pg_is_in_recovery() AS recovering',
      )
      expect(row?.recovering).toBe(true)
    }
    await vi.waitFor(standby)
    const refused = { code: 'store_unavailable', status: 503 }
    // More often than there are connections, of which some may still be those to the killed server.
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await expect(log.changes(fromTheStart)).rejects.toMatchObject(refused)
    }
    await expect(log.snapshot()).rejects.toMatchObject(refused)
    await sqlAs(server.ownerUrl)('SELECT pg_promote()')
    await restarting
    const [cluster, timeline] = (await feedId()).split('-')
    expect([cluster, timeline]).toEqual([before.split('-')[0], '2'])
  })
})
