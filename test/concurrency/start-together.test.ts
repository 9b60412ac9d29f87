import { readdir } from 'node:fs/promises'
import { expect, inject, test } from 'vitest'
import { type Instance, startInstance } from '../../src/app.ts'
import { loadConfig } from '../../src/config/index.ts'
import { MigrationMismatch } from '../../src/infra/postgres/migrate.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { prepareSchema } from '../../src/schema.ts'
import type { StoreCredentials } from '../../src/store-credentials.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { httpClient } from '../support/service/client.ts'

const config = {
  ...loadConfig({ PORT: '0', ISSUER: 'http://127.0.0.1:8088', LOG_LEVEL: 'silent' }),
  // What starts together takes its time on a busy machine.
  databaseConnectTimeoutMs: 10_000,
  databaseStatementTimeoutMs: 10_000,
  // The Redis of the run counts the failures of every test, all from one address.
  loginFailuresPerSource: 1_000_000,
  loginFailuresPerNetwork: 1_000_000,
}
const machine = { random: systemRandom }

const storesOn = (database: FreshDatabase): StoreCredentials => ({
  databaseUrl: database.appUrl,
  migrateUrl: database.ownerUrl,
  secrets: ['a secret of the tests that is long enough'],
  peppers: ['a pepper of the tests that is long enough'],
  lost: new Promise(() => undefined),
  close: async () => undefined,
})

const threeTimes = <T>(start: () => Promise<T>): Promise<T[]> =>
  Promise.all([start(), start(), start()])

const kidsOf = async ({ address }: Instance): Promise<string[]> => {
  const { body } = await httpClient(address).get('/.well-known/jwks.json')
  return body.keys.map(({ kid }: { kid: string }) => kid)
}

test('three that start at once on an empty database migrate it once, make one pair of signing keys and understand each other', async () => {
  const database = await freshDatabase()
  const stores = storesOn(database)
  const withRedis = { ...config, redisUrl: inject('redisUrl') }
  const files = (await readdir(new URL('../../migrations/', import.meta.url))).filter((name) =>
    /^\d{4}_/.test(name),
  )
  const migrated: number[] = []
  const instances = await threeTimes(async () => {
    migrated.push((await prepareSchema(withRedis, stores)).length)
    return startInstance(withRedis, stores, {
      machine,
      logStream: { write: () => undefined },
    })
  })
  expect(migrated.toSorted()).toEqual([0, 0, files.length].toSorted())
  const applied = await sqlAs(database.ownerUrl)('SELECT version FROM schema_migrations')
  expect(applied).toHaveLength(files.length)
  expect(await sqlAs(database.ownerUrl)('SELECT kid FROM signing_keys')).toHaveLength(2)
  const kids = await Promise.all(instances.map(kidsOf))
  expect(new Set(kids.map((both) => both.join(' '))).size).toBe(1)

  const account = { email: 'together@example.com', password: 'correct horse battery staple 7' }
  await instances[0]!.core.createAccount({ ...account, roles: [], actor: { kind: 'system' } })
  const { accessToken } = await httpClient(instances[1]!.address).logIn(account)
  const answer = await httpClient(instances[2]!.address).get('/account', { token: accessToken })
  expect(answer.status).toBe(200)
  for (const instance of instances) await instance.stop()
  await database.drop()
})

test('a migration that was changed after it had run stops the start', async () => {
  const database = await freshDatabase()
  const stores = storesOn(database)
  await prepareSchema(config, stores)
  await sqlAs(database.ownerUrl)(
    "UPDATE schema_migrations SET checksum = 'another' WHERE version = 1",
  )
  await expect(prepareSchema(config, stores)).rejects.toThrow(MigrationMismatch)
  await database.drop()
})

test('the role of the service needs no other once the schema is current, and can change neither migrations nor entries', async () => {
  const database = await freshDatabase()
  const stores = storesOn(database)
  await prepareSchema(config, stores)
  for (const statement of ['TRUNCATE revocations', 'UPDATE schema_migrations SET checksum = 1']) {
    await expect(sqlAs(database.appUrl)(statement), statement).rejects.toThrow('permission denied')
  }
  expect(await prepareSchema(config, { ...stores, migrateUrl: database.appUrl })).toEqual([])
  await database.drop()
})
