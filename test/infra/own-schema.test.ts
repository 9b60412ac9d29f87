import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { loadConfig } from '../../src/config/index.ts'
import { explainFailure } from '../../src/explain-failure.ts'
import { channelIn } from '../../src/infra/postgres/own-schema.ts'
import { idToBytes } from '../../src/lib/machine.ts'
import { prepareSchema } from '../../src/schema.ts'
import { runCli } from '../cli/run-cli.ts'
import { codeBlock } from '../documentation/markdown.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea, testPassword } from '../support/service/cardea.ts'

const fresh = async (): Promise<FreshDatabase> => {
  const database = await freshDatabase()
  onTestFinished(database.drop)
  return database
}

const start = async (database: FreshDatabase, databaseSchema: string): Promise<Cardea> => {
  const cardea = await startCardea({ database, redisUrl: null, config: { databaseSchema } })
  onTestFinished(cardea.stop)
  return cardea
}

const migrate = (database: FreshDatabase, databaseSchema?: string) =>
  prepareSchema(
    { ...loadConfig({}), databaseConnectTimeoutMs: 30_000, databaseSchema },
    {
      databaseUrl: database.appUrl,
      migrateUrl: database.ownerUrl,
      secrets: [],
      peppers: [],
      lost: new Promise(() => undefined),
      close: async () => undefined,
    },
  )

const failureOf = async (act: Promise<unknown>) =>
  explainFailure(
    await act.then(
      () => undefined,
      (error: unknown) => error,
    ),
  )

/** Tables of a program that was there before, in the usual schema: one of them is the list of migrations of Rails. */
const otherProgram = async ({ ownerUrl }: FreshDatabase): Promise<void> => {
  await sqlAs(ownerUrl)('CREATE TABLE schema_migrations (version varchar PRIMARY KEY)')
  await sqlAs(ownerUrl)("INSERT INTO schema_migrations VALUES ('20240101000000')")
  await sqlAs(ownerUrl)('CREATE TABLE accounts (id serial PRIMARY KEY, balance numeric)')
  await sqlAs(ownerUrl)('CREATE TABLE sessions (sid varchar PRIMARY KEY, sess json)')
}

const tablesIn = async ({ ownerUrl }: FreshDatabase, schema: string): Promise<string[]> => {
  const text = 'SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1'
  const rows = await sqlAs(ownerUrl)<{ tablename: string }>(text, [schema])
  return rows.map(({ tablename }) => tablename)
}

/** A role that owns nothing yet, as an administrator makes it for the migrations. */
const installer = async (database: FreshDatabase): Promise<string> => {
  const name = `installer_${randomBytes(6).toString('hex')}`
  const server = sqlAs(inject('postgresOwnerUrl'))
  await server(`CREATE ROLE ${name} LOGIN PASSWORD 'pw'`)
  const url = new URL(database.ownerUrl)
  await server(`GRANT CONNECT ON DATABASE ${url.pathname.slice(1)} TO ${name}`)
  onTestFinished(async () => {
    await sqlAs(database.ownerUrl)(`DROP OWNED BY ${name}`)
    await server(`DROP ROLE ${name}`)
  })
  return Object.assign(url, { username: name, password: 'pw' }).href
}

const strange = 'Its "own" schema, of 2'

describe('two installations in two schemas of one database, beside another program', () => {
  const logIn = async (cardea: Cardea, email: string) => {
    const actor = { kind: 'system' } as const
    const { accountId } = await cardea.instances[0]!.core.createAccount({
      email,
      password: testPassword,
      roles: ['operator'],
      actor,
    })
    const issuer = cardea.config.issuer
    const loggedIn = await cardea.client.logIn(
      { email, password: testPassword },
      { audience: issuer },
    )
    return { accountId, ...loggedIn }
  }

  const refusedOnce = async (cardea: Cardea, token: string): Promise<void> => {
    await vi.waitFor(async () =>
      expect((await cardea.client.get('/account', { token })).status).toBe(401),
    )
  }

  test('migrate and start at the same time, serve the same person each for itself, and what one revokes the other does not hear of', async () => {
    const database = await fresh()
    await otherProgram(database)
    const [one, other] = await Promise.all([start(database, 'one'), start(database, strange)])
    const [atOne, atOther] = [
      await logIn(one, 'ada@example.com'),
      await logIn(other, 'ada@example.com'),
    ]

    const listener = new pg.Client(database.ownerUrl)
    await listener.connect()
    const heard: string[] = []
    listener.on('notification', ({ channel }) => heard.push(channel))
    for (const schema of [undefined, 'one', strange]) {
      await listener.query(`LISTEN ${channelIn('cardea_revocations', schema)}`)
    }
    const body = { sub: atOne.accountId }
    const revoked = await one.client.post('/admin/revoke', { token: atOne.accessToken, body })
    expect(revoked.status).toBe(200)
    await refusedOnce(one, atOne.accessToken)
    await vi.waitFor(async () => {
      await listener.query('SELECT 1')
      expect(heard).toEqual([channelIn('cardea_revocations', 'one')])
    })
    await listener.end()

    expect((await one.client.refresh(atOne.refreshToken)).status).toBe(401)
    expect((await other.client.refresh(atOther.refreshToken)).status).toBe(200)
    expect((await other.client.get('/account', { token: atOther.accessToken })).status).toBe(200)
    expect(await tablesIn(database, 'public')).toEqual([
      'accounts',
      'schema_migrations',
      'sessions',
    ])
    expect(await tablesIn(database, strange)).toEqual(await tablesIn(database, 'one'))
  })

  test('do not wait for the locks of each other', async () => {
    const database = await fresh()
    await migrate(database, 'one')
    const holder = new pg.Client(database.ownerUrl)
    await holder.connect()
    try {
      await holder.query('BEGIN')
      // As a migration of the first, and as a rotation of its keys, which hold them until they are done.
      await holder.query('SET LOCAL search_path = one')
      for (const number of ['109252285588833', '109252285588834', '1801812339']) {
        await holder.query(
          `SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), ${number}))`,
        )
      }
      const other = await start(database, 'other')
      expect((await other.client.get('/health/ready')).body.status).toBe('ready')
      await other.instances[0]!.core.keys.keep()
    } finally {
      await holder.end()
    }
  })

  test('R129: whoever deletes an account by hand, with any search path, takes its tokens back where the account was', async () => {
    const database = await fresh()
    await migrate(database, 'one')
    await migrate(database)
    const asOwner = sqlAs(database.ownerUrl)
    const id = idToBytes('AAAAAAAAAAAAAAAAAAAAAA')
    await asOwner(
      `INSERT INTO one.accounts (id, email, email_canonical, status, roles, password_phc, created_at, updated_at)
        VALUES ($1, 'a@b.c', 'a@b.c', 'active', '{}', 'x', now(), now())`,
      [id],
    )
    await asOwner(
      `INSERT INTO one.service_clients (id, name, created_at, owner_id)
        VALUES ('\\x11111111111111111111111111111111', 'n', now(), $1)`,
      [id],
    )
    await asOwner('DELETE FROM one.accounts WHERE id = $1', [id])
    const reasons = 'SELECT array_agg(reason ORDER BY reason) AS reasons FROM'
    expect(await asOwner(`${reasons} one.revocations`)).toEqual([
      { reasons: ['account_deleted', 'client_deleted'] },
    ])
    expect(await asOwner(`${reasons} public.revocations`)).toEqual([{ reasons: null }])
  })

  test('R115: old audit events are removed where the function is, whatever the search path of the caller', async () => {
    const database = await fresh()
    await migrate(database, 'one')
    await migrate(database)
    const asOwner = sqlAs(database.ownerUrl)
    for (const schema of ['one', 'public']) {
      await asOwner(
        `INSERT INTO ${schema}.audit_events (at, event, outcome, actor, details)
          VALUES (now() - interval '1 year', 'login', 'success', 'system', '{}')`,
      )
    }
    await asOwner("SELECT one.purge_audit_events(now() - interval '1 month')")
    expect(await asOwner('SELECT FROM one.audit_events')).toHaveLength(0)
    expect(await asOwner('SELECT FROM public.audit_events')).toHaveLength(1)
  })
})

test('R115: in a schema of its own the role of the service has only the privileges that it needs', async () => {
  const database = await fresh()
  await migrate(database, strange)
  const schema = pg.escapeIdentifier(strange)
  const asApp = sqlAs(database.appUrl)
  for (const act of ['DELETE FROM', 'TRUNCATE']) {
    await expect(asApp(`${act} ${schema}.audit_events`)).rejects.toMatchObject({ code: '42501' })
  }
  await expect(asApp(`CREATE TABLE ${schema}.own (a integer)`)).rejects.toMatchObject({
    code: '42501',
  })
  const checked = await runCli(['doctor', '--json'], {
    DATABASE_URL: database.appUrl,
    DATABASE_SCHEMA: strange,
    REDIS_URL: inject('redisUrl'),
    CARDEA_SECRET: 'a-secret-of-the-schemas-of-the-tests-of-ours',
  })
  for (const name of ['schema', 'postgres-role', 'postgres-functions', 'revocations']) {
    expect(checked.json().checks).toContainEqual(expect.objectContaining({ name, state: 'ok' }))
  }
})

test('the statements of the guide make two roles and a schema that a migration and the service need no more for', async () => {
  const database = await fresh()
  const suffix = randomBytes(6).toString('hex')
  const ownerRole = `cardea_owner_${suffix}`
  const appRole = `cardea_app_${suffix}`
  const code = codeBlock('docs/guides/operate.md', 'CREATE SCHEMA')
  onTestFinished(async () => {
    await sqlAs(database.ownerUrl)(`DROP OWNED BY ${ownerRole}, ${appRole}`)
    await sqlAs(database.ownerUrl)(`DROP ROLE ${ownerRole}, ${appRole}`)
  })
  // Roles are those of the whole server. On a server of one's own everybody may connect.
  const here = code.replaceAll('cardea_owner', ownerRole).replaceAll('cardea_app', appRole)
  await sqlAs(database.ownerUrl)(here)
  const { pathname } = new URL(database.ownerUrl)
  await sqlAs(database.ownerUrl)(
    `GRANT CONNECT ON DATABASE ${pathname.slice(1)} TO ${ownerRole}, ${appRole}`,
  )
  const urlOf = (username: string) =>
    Object.assign(new URL(database.ownerUrl), { username, password: '…' }).href
  const own = { ...database, ownerUrl: urlOf(ownerRole), appUrl: urlOf(appRole) }
  const cardea = await start(own, 'cardea')
  const { accessToken } = await cardea.client.logIn(await cardea.createAccount())
  expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(200)
  expect(await tablesIn(database, 'cardea')).toContain('accounts')
  expect(await tablesIn(database, 'public')).toEqual([])
})

test('R129: no function of the schema lends the rights of its owner together with the search path of its caller', async () => {
  const database = await fresh()
  await migrate(database, 'one')
  const text = `SELECT proname FROM pg_proc WHERE pronamespace = 'one'::regnamespace AND prosecdef
    AND NOT coalesce(array_to_string(proconfig, ' ') LIKE '%search_path=%', false)`
  expect(await sqlAs(database.ownerUrl)(text)).toEqual([])
})

test('without DATABASE_SCHEMA the search path of the roles decides, and grants go to that schema', async () => {
  const database = await fresh()
  const name = new URL(database.ownerUrl).pathname.slice(1)
  await sqlAs(database.ownerUrl)('CREATE SCHEMA auth')
  await sqlAs(database.ownerUrl)(`ALTER DATABASE ${name} SET search_path = auth`)
  await migrate(database)
  expect(await tablesIn(database, 'auth')).toContain('sessions')
  expect(await tablesIn(database, 'public')).toEqual([])
  const cardea = await startCardea({ database })
  onTestFinished(cardea.stop)
  expect((await cardea.client.logIn(await cardea.createAccount())).accessToken).toBeTruthy()
})

describe('a migration that cannot work says why and what to do, and makes nothing', () => {
  test.each([undefined, 'taken'])('tables of others in its schema (%s)', async (schema) => {
    const database = await fresh()
    const asOwner = sqlAs(database.ownerUrl)
    await asOwner('CREATE SCHEMA IF NOT EXISTS taken')
    for (const name of ['accounts', 'audit_events']) {
      await asOwner(`CREATE TABLE ${schema ?? 'public'}.${name} (id integer)`)
    }
    expect(await failureOf(migrate(database, schema))).toMatchObject({
      code: 'database_unfit',
      messages: [expect.stringMatching(/another program has tables .*: accounts, audit_events$/)],
      hint: expect.stringContaining('DATABASE_SCHEMA=cardea'),
    })
    expect(await tablesIn(database, schema ?? 'public')).toEqual(['accounts', 'audit_events'])
  })

  test('the list of migrations of Rails, golang-migrate or Ecto; doctor says the same', async () => {
    const database = await fresh()
    const asOwner = sqlAs(database.ownerUrl)
    const ecto = 'version bigint, inserted_at timestamp'
    for (const columns of ['version varchar', 'version bigint, dirty boolean', ecto]) {
      await asOwner(`CREATE TABLE schema_migrations (${columns})`)
      const failure = await failureOf(migrate(database))
      expect(failure, columns).toMatchObject({
        code: 'database_unfit',
        messages: [expect.stringMatching(/another program .*: schema_migrations$/)],
      })
      const checked = await runCli(['doctor', '--json'], {
        DATABASE_URL: database.appUrl,
        REDIS_URL: inject('redisUrl'),
        CARDEA_SECRET: 'a-secret-of-the-schemas-of-the-tests-of-ours',
      })
      expect(checked.json().checks).toContainEqual({
        name: 'schema',
        state: 'fail',
        message: failure.messages[0],
        fix: failure.hint,
      })
      await asOwner('DROP TABLE schema_migrations')
    }
  })

  test('a role that may not make the schema, and one that may not make tables in it', async () => {
    const database = await fresh()
    const ownerUrl = await installer(database)
    const { username } = new URL(ownerUrl)
    const asInstaller = { ...database, ownerUrl }
    expect(await failureOf(migrate(asInstaller, 'cardea'))).toMatchObject({
      code: 'database_unfit',
      messages: [expect.stringContaining('no schema cardea')],
      hint: expect.stringContaining('CREATE SCHEMA "cardea" AUTHORIZATION'),
    })
    expect(await failureOf(migrate(asInstaller))).toMatchObject({
      code: 'database_unfit',
      messages: [expect.stringContaining('may not make tables in the schema public')],
      hint: expect.stringContaining('GRANT USAGE, CREATE ON SCHEMA "public"'),
    })
    // A service whose DATABASE_SCHEMA was forgotten must not be told to make a second installation.
    await migrate(database, 'other')
    expect(await failureOf(migrate(asInstaller))).toMatchObject({
      messages: ['there are no tables of Cardea in the schema public, but in other'],
      hint: 'set DATABASE_SCHEMA=other',
    })
    await sqlAs(database.ownerUrl)('CREATE SCHEMA cardea')
    expect(await failureOf(migrate(asInstaller, 'cardea'))).toMatchObject({
      code: 'database_unfit',
      messages: [expect.stringContaining('may use no schema')],
    })
    await sqlAs(database.ownerUrl)(`GRANT USAGE, CREATE ON SCHEMA cardea TO ${username}`)
    expect(await failureOf(migrate(asInstaller, 'cardea'))).toMatchObject({
      code: 'database_unfit',
      messages: [expect.stringContaining('DATABASE_URL may not use the schema cardea')],
      hint: expect.stringContaining('GRANT USAGE ON SCHEMA "cardea"'),
    })
    expect(await tablesIn(database, 'cardea')).toEqual([])
    await sqlAs(database.ownerUrl)(`ALTER SCHEMA cardea OWNER TO ${username}`)
    expect(await migrate(asInstaller, 'cardea')).toContain('0001_accounts.sql')
    expect(await migrate(asInstaller, 'cardea')).toEqual([])
  })

  test('two URLs that lead to different databases, and a search path that leads new tables away from the old ones', async () => {
    const [database, another] = [await fresh(), await fresh()]
    expect(await failureOf(migrate({ ...database, ownerUrl: another.ownerUrl }))).toMatchObject({
      code: 'database_unfit',
      messages: [expect.stringContaining('DATABASE_URL does not find the tables')],
      hint: expect.stringContaining('the same database'),
    })
    await migrate(database)
    const asOwner = sqlAs(database.ownerUrl)
    await asOwner('DELETE FROM schema_migrations WHERE version > 5')
    await asOwner('CREATE SCHEMA away')
    const name = new URL(database.ownerUrl).pathname.slice(1)
    await asOwner(`ALTER DATABASE ${name} SET search_path = away, public`)
    expect(await failureOf(migrate(database))).toMatchObject({
      messages: [expect.stringMatching(/tables are in the schema public, .* made in away$/)],
      hint: 'set DATABASE_SCHEMA=public',
    })
  })

  test('row-level security that may hide rows from the service', async () => {
    const database = await fresh()
    await migrate(database)
    const asOwner = sqlAs(database.ownerUrl)
    for (const table of ['revocations', 'schema_migrations']) {
      await asOwner(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`)
      expect(await failureOf(startCardea({ database }))).toMatchObject({
        code: 'database_unfit',
        messages: [expect.stringMatching(new RegExp(`row-level security .*: ${table}$`))],
        hint: expect.stringContaining('DISABLE ROW LEVEL SECURITY'),
      })
    }
  })
})

test('what others left unchecked in the same schema is not touched', async () => {
  const database = await fresh()
  const asOwner = sqlAs(database.ownerUrl)
  await asOwner('CREATE TABLE guests (age integer)')
  await asOwner('INSERT INTO guests VALUES (-1)')
  await asOwner('ALTER TABLE guests ADD CONSTRAINT adult CHECK (age > 0) NOT VALID')
  await asOwner('CREATE TABLE rooms (beds integer)')
  await asOwner('ALTER TABLE rooms ADD CONSTRAINT bedded CHECK (beds > 0) NOT VALID')
  await migrate(database)
  const unchecked = 'SELECT conname FROM pg_constraint WHERE NOT convalidated ORDER BY 1'
  expect(await asOwner(unchecked)).toEqual([{ conname: 'adult' }, { conname: 'bedded' }])
})
