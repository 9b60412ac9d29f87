import { describe, expect, inject, onTestFinished, test } from 'vitest'
import {
  assertServer,
  settingsFor,
  UnfitDatabase,
} from '../../src/infra/postgres/session-settings.ts'
import { runCli } from '../cli/run-cli.ts'
import { ownerPool } from '../support/servers/migrated-database.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'

const fresh = async (): Promise<FreshDatabase> => {
  const database = await freshDatabase()
  onTestFinished(database.drop)
  return database
}

/** What somebody may have set for a role or a database, for other programs. The times are longer than a start takes. */
const hostile = {
  DateStyle: 'German',
  IntervalStyle: 'sql_standard',
  TimeZone: 'Asia/Kathmandu',
  client_encoding: 'LATIN1',
  bytea_output: 'escape',
  extra_float_digits: '-15',
  standard_conforming_strings: 'off',
  array_nulls: 'off',
  default_transaction_isolation: 'serializable',
  default_transaction_deferrable: 'on',
  synchronous_commit: 'off',
  row_security: 'on',
  jit: 'on',
  search_path: 'nowhere',
  statement_timeout: '10min',
  lock_timeout: '10min',
  idle_in_transaction_session_timeout: '10min',
  idle_session_timeout: '10min',
  transaction_timeout: '10min',
}

const setForBoth = async ({ ownerUrl, appUrl }: FreshDatabase): Promise<void> => {
  const name = new URL(ownerUrl).pathname.slice(1)
  for (const { username } of [new URL(ownerUrl), new URL(appUrl)]) {
    for (const [setting, value] of Object.entries(hostile)) {
      await sqlAs(inject('postgresOwnerUrl'))(
        `ALTER ROLE "${username}" IN DATABASE ${name} SET ${setting} = '${value}'`,
      )
    }
  }
}

const open = (url: string, more: { schema?: string; idleInTransactionTimeoutMs?: number } = {}) => {
  const database = ownerPool(url, more)
  onTestFinished(database.close)
  return database
}

type Setting = { readonly name: string; readonly value: string }

const ofSession = async (
  url: string,
  names: readonly string[],
  more: Parameters<typeof open>[1] = {},
) => {
  const text = 'SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name'
  const rows = await open(url, more).query<Setting>({ name: 'settings', text }, [names])
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}

test('every setting that statements rely on is the one that was meant, whatever the role has', async () => {
  const database = await fresh()
  await setForBoth(database)
  const options = { schema: 'Its "own" schema', idleInTransactionTimeoutMs: 4_000 }
  const meant = settingsFor(options)
  expect(Object.keys(meant).toSorted()).toEqual(Object.keys(hostile).toSorted())
  expect(await ofSession(database.appUrl, Object.keys(meant), options)).toEqual({
    ...meant,
    idle_in_transaction_session_timeout: '4s',
    search_path: '"Its ""own"" schema"',
  })
})

test.each(['remote_apply', 'on', 'remote_write', 'local', 'off'])(
  'R70: a commit is on disk when it is confirmed, and what else is waited for stays as it is: synchronous_commit %s',
  async (value) => {
    const database = await fresh()
    const name = new URL(database.ownerUrl).pathname.slice(1)
    await sqlAs(database.ownerUrl)(`ALTER DATABASE ${name} SET synchronous_commit = ${value}`)
    expect(await ofSession(database.appUrl, ['synchronous_commit'])).toEqual({
      synchronous_commit: value === 'off' ? 'on' : value,
    })
  },
)

test('a service whose roles have settings of other programs migrates, starts and serves', async () => {
  const database = await fresh()
  await setForBoth(database)
  const cardea = await startCardea({ database, config: { databaseSchema: 'cardea' } })
  onTestFinished(cardea.stop)
  const [instance] = cardea.instances
  const { accountId: id } = await instance!.core.createAccount({
    email: 'ж@example.com',
    password: 'correct horse battery staple 7',
    roles: ['operator'],
    actor: { kind: 'system' },
  })
  const who = { email: 'ж@example.com', password: 'correct horse battery staple 7' }
  const { accessToken, refreshToken } = await cardea.client.logIn(who, {
    audience: cardea.config.issuer,
  })
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
  const listed = await cardea.client.get('/sessions', { token: accessToken })
  expect(listed.body.sessions[0].created_at).toMatch(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d/)
  const shown = await cardea.client.get('/account', { token: accessToken })
  expect(shown.body).toMatchObject({ id, email: 'ж@example.com' })
  const revoked = await cardea.client.post('/admin/revoke', {
    token: accessToken,
    body: { sub: id },
  })
  expect(revoked.status).toBe(200)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(401)
  expect((await cardea.client.get('/health/ready')).body.status).toBe('ready')
})

describe('a database that Cardea cannot live with', () => {
  test.each([
    [{ version: 140_012, encoding: 'UTF8' }, /version 14, and Cardea needs 15/],
    [{ version: 90_624, encoding: 'UTF8' }, /version 9/],
    [{ version: 180_000, encoding: 'LATIN1' }, /encoding LATIN1/],
    [{ version: 180_000, encoding: 'SQL_ASCII' }, /encoding SQL_ASCII/],
  ])('is refused: %j', (facts, text) => {
    const judge = () => assertServer({ ...facts, settings: {} })
    expect(judge).toThrow(UnfitDatabase)
    expect(judge).toThrow(text)
  })

  test.each(['LATIN1', 'SQL_ASCII'])(
    'with the encoding %s stops migrate and is found by doctor, both with what to do',
    async (encoding) => {
      const { ownerUrl, appUrl } = await fresh()
      const name = `${new URL(ownerUrl).pathname.slice(1)}_${encoding.toLowerCase()}`
      const server = sqlAs(inject('postgresOwnerUrl'))
      await server(
        `CREATE DATABASE ${name} ENCODING '${encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0`,
      )
      onTestFinished(async () => {
        await server(`DROP DATABASE ${name} WITH (FORCE)`)
      })
      const settings = {
        DATABASE_URL: Object.assign(new URL(appUrl), { pathname: name }).href,
        MIGRATE_DATABASE_URL: Object.assign(new URL(ownerUrl), { pathname: name }).href,
        REDIS_URL: inject('redisUrl'),
        CARDEA_SECRET: 'a-secret-of-the-unfit-databases-of-the-tests',
      }
      const migrated = await runCli(['migrate'], settings)
      expect(migrated.code).toBe(1)
      expect(migrated.stderr).toMatch(
        new RegExp(
          `^error: the database has the encoding ${encoding}.*\\nhint: .*ENCODING 'UTF8'.*\\n$`,
        ),
      )
      const checked = await runCli(['doctor', '--json'], settings)
      expect(checked.json().checks).toContainEqual({
        name: 'postgres',
        state: 'fail',
        message: expect.stringContaining(`encoding ${encoding}`),
        fix: expect.stringContaining("ENCODING 'UTF8'"),
      })
    },
  )
})
