import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Database } from '../../src/infra/postgres/database.ts'
import { migrate } from '../../src/infra/postgres/migrate.ts'
import { systemClock } from '../../src/lib/machine.ts'
import { firstOperatorEmail, printedPassword } from '../support/programs/child-service.ts'
import { beginDump } from '../support/servers/dump.ts'
import { ownerPool } from '../support/servers/migrated-database.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import { basicHeader, introspect } from '../support/service/service-client.ts'
import {
  type ServiceOnDatabase,
  serviceOnDatabase,
} from '../support/service/service-on-database.ts'
import { headerOf } from '../support/service/verified-claims.ts'
import { lastMigrationInUse, type OlderVersion, olderVersion } from './older-version.ts'

// One process of the version before runs all the while, over a database that is brought up to date below it.
const issuer = 'http://127.0.0.1:8088'
const secret = 'a-secret-of-this-test-that-is-long-enough'
const minutes = (count: number) => count * 60_000

const folder = new URL('../../migrations/', import.meta.url)

const later = readdirSync(folder)
  .filter((name) => /^\d{4}_/.test(name) && Number(name.slice(0, 4)) > lastMigrationInUse)
  .sort()

/** Large where there are many people, or read and written by every request: nobody may be kept from them. */
const hotTables = ['sessions', 'revocations', 'accounts', 'audit_events']

let older: OlderVersion
let home: ServiceOnDatabase
let client: Client
let owner: Database
let operator: string
let follower: string
let handle: string
let accessToken: string

const appRole = () => decodeURIComponent(new URL(home.database.appUrl).username)

beforeAll(async () => {
  older = await olderVersion()
  home = await serviceOnDatabase(
    {
      CARDEA_SECRET: secret,
      ISSUER: issuer,
      DATABASE_CONNECT_TIMEOUT_MS: '4000',
      // Whoever waits behind a lock is not answered at all, however slow the machine is.
      DATABASE_STATEMENT_TIMEOUT_MS: '20000',
      REFRESH_GRACE_SECONDS: '60',
      LOG_LEVEL: 'warn',
    },
    older.entry,
  )
  const service = await home.start()
  client = httpClient(home.address)
  owner = ownerPool(home.database.ownerUrl)
  const who = { email: firstOperatorEmail, password: printedPassword(service) }
  const loggedIn = await client.logIn(who, { audience: issuer })
  operator = loggedIn.accessToken
  handle = loggedIn.refreshToken
  accessToken = loggedIn.accessToken
  const made = await client.post('/admin/clients', { token: operator, body: { name: 'follower' } })
  expect(made.status).toBe(201)
  follower = basicHeader(made.body.client_id, made.body.client_secret)
  const revoked = await client.logIn(who)
  await client.post('/logout', { handle: revoked.refreshToken })
}, minutes(5))
afterAll(async () => {
  await owner?.close()
  await home?.remove()
  await older?.remove()
})

/** What must go on whatever the schema does; each waits for its answer. */
const serve = async (): Promise<void> => {
  const feed = await client.get('/revocations/snapshot', { headers: { authorization: follower } })
  expect(feed.status).toBe(200)
  const asked = await introspect(client, follower, { token: accessToken })
  expect(asked.body).toMatchObject({ active: true })
  const refreshed = await client.refresh(handle)
  expect(refreshed.status).toBe(200)
  handle = refreshed.refreshCookie ?? ''
}

type Scan = { readonly table: string; readonly scans: number; readonly rewritten: boolean }

const hot = hotTables.map((name) => `'${name}'::regclass`).join(', ')

/** Hot tables that a migration locks against readers or writers and reads or writes as a whole: for longer with every row they have. */
const scannedUnderLock = async (text: string): Promise<Scan[]> => {
  const sql = new pg.Client(home.database.ownerUrl)
  await sql.connect()
  try {
    const before = await sql.query(
      `SELECT oid, pg_relation_filenode(oid) AS file FROM pg_class WHERE oid IN (${hot})`,
    )
    await sql.query('BEGIN')
    await sql.query(text)
    const { rows } = await sql.query(
      `SELECT c.oid, c.relname AS table, coalesce(s.seq_scan, 0)::integer AS scans, pg_relation_filenode(c.oid) AS file
        FROM pg_class c LEFT JOIN pg_stat_xact_user_tables s ON s.relid = c.oid
        WHERE c.oid IN (${hot}) AND EXISTS (
          SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.pid = pg_backend_pid()
            AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))`,
    )
    await sql.query('ROLLBACK')
    const fileOf = new Map(before.rows.map(({ oid, file }) => [oid, file]))
    return rows
      .map(({ oid, table, scans, file }) => ({ table, scans, rewritten: file !== fileOf.get(oid) }))
      .filter(({ scans, rewritten }) => scans > 0 || rewritten)
  } finally {
    await sql.end()
  }
}

describe.each(later)('%s, beside a process of the version before', (name) => {
  const version = Number(name.slice(0, 4))

  test(
    'reads or rewrites no large table while it holds a lock that others wait for',
    async () => {
      expect(await scannedUnderLock(readFileSync(new URL(name, folder), 'utf8'))).toEqual([])
    },
    minutes(2),
  )

  test(
    'waits for a dump without holding up the feed, introspection or refreshes, and is applied when the dump ends',
    async () => {
      const dump = await beginDump(home.database.ownerUrl)
      const waits: string[] = []
      let isOver = false
      const migrating = migrate(owner, appRole(), {
        clock: systemClock,
        fraction: () => 0.5,
        patienceMs: minutes(30),
        onWait: (text) => waits.push(text),
        through: version,
      }).finally(() => {
        isOver = true
      })
      try {
        for (let round = 0; round < 30 || !(isOver || waits.length > 0); round += 1) await serve()
      } finally {
        await dump.end()
      }
      expect(await migrating).toEqual([name])
      for (const text of waits) expect(text).toContain(`pid ${dump.pid} (pg_dump of role `)
      await serve()
    },
    minutes(5),
  )
})

describe('a process of the version before, on the schema of this one and beside a process of this one', () => {
  let cardea: Cardea

  beforeAll(async () => {
    // The grants belong to the last migration of a whole run, and these ran one by one.
    await migrate(owner, appRole(), {
      clock: systemClock,
      fraction: () => 0.5,
      patienceMs: minutes(1),
      onWait: () => undefined,
    })
    cardea = await startCardea({ database: home.database, secrets: [secret], peppers: [] })
  }, minutes(2))
  afterAll(() => cardea?.stop())

  const both = () => [client, cardea.client] as const

  test(
    'both log people in, and each takes the sessions, cookies and tokens of the other',
    async () => {
      for (const [one, other] of [both(), both().toReversed()]) {
        const account = await cardea.createAccount()
        const loggedIn = await one!.logIn(account)
        const refreshed = await other!.refresh(loggedIn.refreshToken)
        expect(refreshed.status).toBe(200)
        const again = await one!.refresh(refreshed.refreshCookie ?? '')
        expect(again.status).toBe(200)
        expect((await other!.get('/account', { token: again.body.access_token })).status).toBe(200)
        const session = await one!.logInForCookie(account)
        for (const each of [one!, other!]) {
          expect((await each.get('/session', { session })).status).toBe(200)
        }
        await serve()
      }
    },
    minutes(2),
  )

  test(
    'what one of them revokes the other refuses, and both tell those who follow',
    async () => {
      for (const [one, other] of [both(), both().toReversed()]) {
        const { id, email, password } = await cardea.createAccount()
        const loggedIn = await other!.logIn({ email, password })
        const session = await other!.logInForCookie({ email, password })
        const body = { email }
        const revoked = await one!.post('/admin/revoke', { token: operator, body })
        expect(revoked.status).toBe(200)
        expect((await other!.refresh(loggedIn.refreshToken)).status).toBe(401)
        await vi.waitFor(async () => {
          const { accessToken: token } = loggedIn
          expect((await other!.get('/account', { token })).status).toBe(401)
          expect((await other!.get('/session', { session })).status).toBe(401)
          expect((await introspect(other!, follower, { token })).body).toEqual({ active: false })
          const headers = { authorization: follower }
          const { body: page } = await other!.get('/revocations/snapshot', { headers })
          expect(JSON.stringify(page)).toContain(id)
        }, minutes(1))
      }
    },
    minutes(3),
  )

  test(
    'a change of signing keys by either is followed by the other',
    async () => {
      for (const [one, other] of [both(), both().toReversed()]) {
        const account = await cardea.createAccount()
        const kid = headerOf(operator).kid
        const revoked = await one!.post('/admin/revoke', { token: operator, body: { kid } })
        expect(revoked.status).toBe(200)
        // The token of the operator was signed with it, too.
        const renewed = await one!.refresh(handle)
        handle = renewed.refreshCookie ?? ''
        operator = renewed.body.access_token
        accessToken = operator
        expect(headerOf(operator).kid).not.toBe(kid)
        await vi.waitFor(async () => {
          const loggedIn = await other!.logIn(account)
          expect(headerOf(loggedIn.accessToken).kid).toBe(headerOf(operator).kid)
          const seen = await one!.get('/account', { token: loggedIn.accessToken })
          expect(seen.status).toBe(200)
          const { body } = await other!.get('/.well-known/jwks.json')
          expect(body.keys.map((key: { kid: string }) => key.kid)).not.toContain(kid)
        }, minutes(2))
      }
      await serve()
    },
    minutes(5),
  )
})
