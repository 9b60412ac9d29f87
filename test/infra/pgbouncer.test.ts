import { expect, onTestFinished, test } from 'vitest'
import { explainFailure } from '../../src/explain-failure.ts'
import { withLockPatience } from '../../src/infra/postgres/lock-patience.ts'
import { ownerPool } from '../support/servers/migrated-database.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import { startPgBouncer } from './pgbouncer-process.ts'

const pooled = async (mode: 'session' | 'transaction') => {
  const database = await freshDatabase()
  onTestFinished(database.drop)
  const pooler = await startPgBouncer([database.appUrl, database.ownerUrl], mode)
  onTestFinished(pooler.stop)
  const through: FreshDatabase = {
    ...database,
    appUrl: pooler.through(database.appUrl),
    ownerUrl: pooler.through(database.ownerUrl),
  }
  return { database, through }
}

const settingsOf = (url: string) => {
  const names = ['statement_timeout', 'jit', 'row_security', 'DateStyle', 'search_path']
  return sqlAs(url)(
    'SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name ORDER BY 1',
    [names],
  )
}

test.each(['session', 'transaction'] as const)(
  'a service migrates, starts and serves through a PgBouncer with its own defaults (%s mode), and leaves no setting on the connections of others',
  async (mode) => {
    const { database, through } = await pooled(mode)
    const before = await settingsOf(database.appUrl)
    const cardea = await startCardea({
      database: through,
      config: { databasePreparedStatements: false, databasePoolSize: 2 },
    })
    onTestFinished(cardea.stop)
    const loggedIn = await cardea.client.logIn(await cardea.createAccount())
    expect((await cardea.client.refresh(loggedIn.refreshToken)).status).toBe(200)
    expect((await cardea.client.get('/health/ready')).body.status).toBe('ready')
    // More connections than the pooler has made so far: some were used by the service.
    const seen = await Promise.all([0, 1, 2, 3].map(() => settingsOf(through.appUrl)))
    for (const settings of seen) expect(settings).toEqual(before)
  },
)

test.each([
  ['DateStyle', 'German, DMY', 'ISO, MDY'],
  ['synchronous_commit', 'off', 'on'],
  ['default_transaction_isolation', 'repeatable read', 'read committed'],
])(
  'a setting of the role that Cardea cannot live with (%s) stops a start through a pooler at once, and says how to set it',
  async (name, value, wanted) => {
    const { database, through } = await pooled('transaction')
    const { username, pathname } = new URL(database.appUrl)
    const asOwner = sqlAs(database.ownerUrl)
    const role = `ALTER ROLE "${username}" IN DATABASE ${pathname.slice(1)}`
    await asOwner(`${role} SET ${name} = '${value}'`)
    const failure = await startCardea({ database: through }).catch((error: unknown) => error)
    expect(explainFailure(failure)).toMatchObject({
      code: 'database_unfit',
      messages: [
        `the connections of the pooler have ${name} = ${value}, and Cardea needs ${wanted}`,
      ],
      hint: expect.stringContaining(`ALTER ROLE … SET ${name} = `),
    })
  },
)

test('behind a pooler the schema comes from the role: without it a start fails, with it two installations stay apart', async () => {
  const { database, through } = await pooled('transaction')
  const config = { databasePreparedStatements: false, databaseSchema: 'Own' }
  const failure = await startCardea({ database: through, config }).catch((error: unknown) => error)
  expect(explainFailure(failure)).toMatchObject({
    code: 'database_unfit',
    hint: expect.stringContaining('ALTER ROLE … SET search_path = "Own"'),
  })
  const name = new URL(database.ownerUrl).pathname.slice(1)
  await sqlAs(database.ownerUrl)(`ALTER DATABASE ${name} SET search_path = "Own"`)
  // The connections that the pooler holds still have the old one.
  await sqlAs(database.ownerUrl)(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  )
  const cardea = await startCardea({ database: through, config })
  onTestFinished(cardea.stop)
  expect((await cardea.client.logIn(await cardea.createAccount())).accessToken).toBeTruthy()
})

test('the role’s own limits stop no migration, also through a pooler', async () => {
  const { database, through } = await pooled('transaction')
  const name = new URL(database.ownerUrl).pathname.slice(1)
  const limits = ['statement_timeout', 'idle_in_transaction_session_timeout']
  for (const limit of limits) {
    await sqlAs(database.ownerUrl)(`ALTER DATABASE ${name} SET ${limit} = '10min'`)
  }
  const owner = ownerPool(through.ownerUrl)
  onTestFinished(owner.close)
  const text = 'SELECT current_setting(name) AS value FROM unnest($1::text[]) AS name'
  const patience = {
    clock: { monotonicMs: () => 0 },
    fraction: () => 0,
    patienceMs: 60_000,
    onWait: () => undefined,
  }
  const found = await withLockPatience(owner, patience, (attempt) =>
    attempt((sql) => sql.query({ name: 'limits', text }, [limits])),
  )
  expect(found).toEqual([{ value: '0' }, { value: '0' }])
})
