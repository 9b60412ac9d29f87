import pg from 'pg'
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { postgresAfterLoss } from '../../src/data-loss.ts'
import { runCli, runCliProcess } from '../cli/run-cli.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'

const secret = 'a-secret-of-this-test-that-is-long-enough'
const dayMs = 86_400_000

const database = await freshDatabase({ isMigrated: true })
const cardea = await startCardea({ database, secrets: [secret], redisUrl: null })
const settings = {
  DATABASE_URL: database.appUrl,
  MIGRATE_DATABASE_URL: database.ownerUrl,
  CARDEA_SECRET: secret,
}
const asOwner = sqlAs(database.ownerUrl)
const asApp = sqlAs(database.appUrl)
afterAll(async () => {
  await cardea.stop()
  await database.drop()
})

/** So many entries of so many days ago. */
const fill = (count: number, daysAgo: number) =>
  asOwner(
    `INSERT INTO audit_events (at, event, outcome, actor, details)
     SELECT date_trunc('milliseconds', now()) - $2 * interval '1 day', 'operator_read', 'success', 'system', '{}' FROM generate_series(1, $1)`,
    [count, daysAgo],
  )

const clear = async () => {
  await asOwner('ALTER TABLE audit_events DISABLE TRIGGER USER')
  await asOwner('DELETE FROM audit_events')
  await asOwner('ALTER TABLE audit_events ENABLE TRIGGER USER')
}

const ages = async () => {
  const rows = await asOwner<{ days: number; count: number }>(
    `SELECT round(extract(epoch FROM now() - at) / 86400)::integer AS days, count(*)::integer FROM audit_events
     WHERE event <> 'audit_purged' GROUP BY 1 ORDER BY 1`,
  )
  return rows.map(({ days, count }) => [days, count])
}

const dateAgo = (days: number): string =>
  new Date(Date.now() - days * dayMs).toISOString().slice(0, 10)

describe('cardea audit purge', () => {
  beforeEach(async () => {
    await clear()
    for (const daysAgo of [0, 20, 40, 400]) await fill(3, daysAgo)
  })

  test('R128: removes what is older than so many days, and one entry says so', async () => {
    const args = ['audit', 'purge', '--older-than', '30', '--yes', '--json']
    const { code, json } = await runCliProcess(args, settings)
    expect([code, json().removed]).toEqual([0, 6])
    expect(await ages()).toEqual([
      [0, 3],
      [20, 3],
    ])
    const query = `SELECT event, outcome, actor, details FROM audit_events WHERE event = 'audit_purged'`
    expect(await asOwner(query)).toEqual([
      {
        event: 'audit_purged',
        outcome: 'success',
        actor: 'command-line',
        details: { before: json().before },
      },
    ])
    const again = await runCli(args, settings)
    expect([again.code, again.json().removed]).toEqual([0, 0])
    expect(await asOwner(query)).toHaveLength(1)
  })

  test('R128: removes what is from before a date, in as many batches as it takes', async () => {
    await fill(25_000, 400)
    const { code, stdout } = await runCli(
      ['audit', 'purge', '--before', dateAgo(100), '--yes'],
      settings,
    )
    expect(code).toBe(0)
    expect(stdout).toBe(`removed  25003\nbefore   ${dateAgo(100)}T00:00:00.000Z\n`)
    expect(await ages()).toEqual([
      [0, 3],
      [20, 3],
      [40, 3],
    ])
  })

  test('R128: of two at once each entry is removed by one', async () => {
    await fill(25_000, 400)
    const run = () =>
      asOwner<{ n: number }>(`SELECT purge_audit_events(now() - interval '30 days', 1000) AS n`)
    let removed = 0
    for (let round = 0; round < 20; round += 1) {
      const both = await Promise.all([run(), run()])
      for (const [row] of both) removed += row?.n ?? 0
    }
    expect(removed).toBe(25_006)
    expect(await ages()).toEqual([
      [0, 3],
      [20, 3],
    ])
  })

  test.each([
    ['no time', []],
    ['two times', ['--before', '2020-01-01', '--older-than', '9']],
    ['a day that does not exist', ['--before', '2026-02-31']],
    ['a time without a zone', ['--before', '2026-02-01T10:00']],
    ['a word', ['--before', 'yesterday']],
    ['no number of days', ['--older-than', '0']],
    ['the last day', ['--before', dateAgo(-1)]],
  ])('refuses %s and removes nothing', async (_name, more) => {
    const { code, stdout, stderr } = await runCli(['audit', 'purge', '--yes', ...more], settings)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^error: .+\nhint: .+\n$/)
    expect(await ages()).toHaveLength(4)
  })

  test('wants a yes', async () => {
    const { code, stderr } = await runCli(['audit', 'purge', '--older-than', '30'], settings)
    expect(code).toBe(2)
    expect(stderr).toContain('--yes')
    expect(await ages()).toHaveLength(4)
  })

  test('R115: with the role of the application alone it removes nothing, and says which role it needs', async () => {
    const args = ['audit', 'purge', '--older-than', '30', '--yes', '--json']
    const { code, stderr } = await runCli(args, {
      DATABASE_URL: database.appUrl,
      CARDEA_SECRET: secret,
    })
    expect(code).toBe(1)
    expect(JSON.parse(stderr).hint).toContain('MIGRATE_DATABASE_URL')
    expect(await ages()).toHaveLength(4)
  })
})

describe('the function that removes entries', () => {
  beforeEach(async () => {
    await clear()
    for (const daysAgo of [0, 400]) await fill(3, daysAgo)
  })

  test('R115: is not for the role of the application', async () => {
    const call = `SELECT purge_audit_events(now() - interval '30 days')`
    await expect(asApp(call)).rejects.toThrow('permission denied')
    // What it sets is no right either.
    await expect(asApp(`SET cardea.audit_purge = 'on'; DELETE FROM audit_events`)).rejects.toThrow(
      'permission denied',
    )
    expect(await ages()).toHaveLength(2)
  })

  test.each([`now() - interval '23 hours'`, 'now()', `'infinity'`])(
    'R115: keeps the entries of the last day: %s',
    async (olderThan) => {
      await expect(asOwner(`SELECT purge_audit_events(${olderThan})`)).rejects.toThrow('last day')
      expect(await ages()).toHaveLength(2)
    },
  )

  test('R115: lets nothing else pass, neither after it nor in its transaction', async () => {
    const client = new pg.Client(database.ownerUrl)
    await client.connect()
    onTestFinished(async () => {
      await client.end()
    })
    const call = `SELECT purge_audit_events(now() - interval '30 days', 1) AS n`
    expect((await client.query(call)).rows).toEqual([{ n: 1 }])
    await expect(client.query('DELETE FROM audit_events')).rejects.toThrow('never changed')
    for (const statement of [
      'DELETE FROM audit_events',
      `UPDATE audit_events SET outcome = 'failure'`,
      'TRUNCATE audit_events',
    ]) {
      await client.query('BEGIN')
      expect((await client.query(call)).rows).toEqual([{ n: 1 }])
      await expect(client.query(statement)).rejects.toThrow('never changed')
      await client.query('ROLLBACK')
    }
    await client.query('BEGIN')
    await client.query('SAVEPOINT before')
    await expect(client.query('SELECT purge_audit_events(now())')).rejects.toThrow('last day')
    await client.query('ROLLBACK TO before')
    await expect(client.query('DELETE FROM audit_events')).rejects.toThrow('never changed')
    await client.query('ROLLBACK')
  })
})

test('what was removed is no loss of commits, and what is missing among the rest still is', async () => {
  await clear()
  await fill(2, 400)
  await fill(2, 2)
  const acts = async () =>
    (await asOwner<{ id: string; at: Date }>('SELECT id, at FROM audit_events ORDER BY id')).map(
      ({ id, at }) => ({ id: Number(id), atMs: at.getTime() }),
    )
  const [core] = cardea.instances.map((instance) => instance.core)
  if (!core) throw new Error('no instance')
  const { hasAll } = postgresAfterLoss(core.database)
  const own = await acts()
  expect(await hasAll(own)).toBe(true)
  await asOwner(`SELECT purge_audit_events(now() - interval '30 days')`)
  expect(await hasAll(own)).toBe(true)
  expect(await hasAll([...own, { id: 1_000_000, atMs: Date.now() }])).toBe(false)
})

test('looking at the trail by time uses an index, in the query of the guide as well', async () => {
  const client = new pg.Client(database.ownerUrl)
  await client.connect()
  onTestFinished(async () => {
    await client.end()
  })
  await client.query('SET enable_seqscan = off')
  for (const query of [
    `SELECT event, reason, count(*) FROM audit_events WHERE at > now() - interval '1 hour' GROUP BY 1, 2`,
    `SELECT id FROM audit_events WHERE at < now() - interval '1 year' ORDER BY at LIMIT 10`,
    'SELECT min(at) FROM audit_events',
  ]) {
    const { rows } = await client.query(`EXPLAIN ${query}`)
    expect(JSON.stringify(rows), query).toContain('audit_events_by_time')
  }
})
