import { afterAll, beforeEach, expect, test } from 'vitest'
import { postgresAccountStore } from '../../src/accounts/index.ts'
import { auditPseudonym, postgresAuditTrail } from '../../src/audit/index.ts'
import { boundedQueue } from '../../src/lib/bounded-queue.ts'
import type { InTransaction } from '../../src/lib/in-transaction.ts'
import { idToBytes, systemRandom } from '../../src/lib/machine.ts'
import type { ServiceClientStores } from '../../src/oauth/index.ts'
import {
  authenticateServiceClient,
  clientProofs,
  createServiceClient,
  disableServiceClient,
  postgresServiceClientStore,
} from '../../src/oauth/index.ts'
import { newServiceClientSecret, secretDigest } from '../../src/oauth/service-client.ts'
import { postgresRevocationLog } from '../../src/revocation/index.ts'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { migratedDatabase } from '../support/servers/migrated-database.ts'
import { dumpOf, sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'

let clock: FakeClock

const migrated = await migratedDatabase()
const trail = auditEntries(migrated.ownerUrl)
const inTransaction: InTransaction<ServiceClientStores> = (work) =>
  migrated.database.transaction((sql) =>
    work({
      clients: postgresServiceClientStore(sql),
      accounts: postgresAccountStore(sql),
      revocations: postgresRevocationLog(sql, clock, () => undefined),
      audit: postgresAuditTrail(sql, clock, auditPseudonym(Buffer.alloc(32))),
    }),
  )
afterAll(() => migrated.drop())
beforeEach(async () => {
  clock = fakeClock()
  await trail()
})

const actor = { kind: 'command-line' } as const

let names = 0
const create = (name?: string) => {
  names += 1
  const act = createServiceClient({
    clock,
    random: systemRandom,
    inTransaction,
    audiences: ['https://a.example'],
  })
  return act({ name: name ?? `client-${names}`, actor })
}
const disable = (clientId: string) =>
  disableServiceClient({ clock, inTransaction })({ clientId, actor })
const list = () => postgresServiceClientStore(migrated.database).list()
const asOwner = (text: string, values: readonly unknown[] = []) =>
  sqlAs(migrated.ownerUrl)(text, values)
const asService = (text: string, values: readonly unknown[] = []) =>
  sqlAs(migrated.appUrl)(text, values)

/** One instance's check, which counts the statements it costs. */
const instance = () => {
  const { validDigests } = postgresServiceClientStore(migrated.database)
  let statements = 0
  const check = authenticateServiceClient({
    clock,
    clients: {
      validDigests: (clientId) => {
        statements += 1
        return validDigests(clientId)
      },
    },
    proofs: clientProofs({
      clock,
      strangers: boundedQueue({
        concurrency: 2,
        queue: 64,
        maxWaitMs: 10_000,
        refusal: () => new Error('busy'),
      }),
    }),
  })
  return {
    check: (clientId: string, secret: string) => check({ clientId, secret }),
    statements: () => statements,
  }
}

test('a new client has an id, a secret of 32 bytes and its name, is let in at once, and is in the trail', async () => {
  const created = await create('shop.api_v-2')
  expect(created).toEqual({
    clientId: expect.stringMatching(/^[\w-]{22}$/),
    clientSecret: expect.stringMatching(/^[\w-]{43}$/),
    name: 'shop.api_v-2',
    scopes: [],
    audiences: ['https://a.example'],
    createdAtMs: clock.nowMs(),
  })
  expect(Buffer.from(created.clientSecret, 'base64url')).toHaveLength(32)
  expect(await instance().check(created.clientId, created.clientSecret)).toBe(true)
  expect(await list()).toContainEqual({
    clientId: created.clientId,
    name: 'shop.api_v-2',
    scopes: [],
    audiences: ['https://a.example'],
    createdAtMs: clock.nowMs(),
  })
  expect(await trail()).toEqual([
    expect.objectContaining({
      event: 'service_client_created',
      outcome: 'success',
      actor: 'command-line',
      account: null,
      details: {
        clientId: created.clientId,
        name: 'shop.api_v-2',
        scopes: [],
        audiences: ['https://a.example'],
      },
    }),
  ])
})

test('R121: a name that is not plain is refused, and nothing is written', async () => {
  const before = await list()
  const refused = [
    '',
    ' a',
    'a b',
    '-a',
    '.a',
    'a\n',
    'a\u0000',
    'ä',
    'a/b',
    '\u001b[31m',
    'a'.repeat(65),
  ]
  for (const name of refused) {
    await expect(create(name), name).rejects.toMatchObject({ code: 'invalid_client_name' })
    await expect(
      asOwner('INSERT INTO service_clients VALUES ($1, $2, now())', [systemRandom(16), name]),
    ).rejects.toThrow()
  }
  expect(await list()).toEqual(before)
  expect(await trail()).toEqual([])
  expect((await create('a'.repeat(64))).name).toHaveLength(64)
})

test('of several clients with one name that are created at once exactly one is made', async () => {
  const results = await Promise.allSettled(Array.from({ length: 6 }, () => create('wanted')))
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const result of results) {
    if (result.status === 'rejected')
      expect(result.reason).toMatchObject({ code: 'client_name_taken' })
  }
  expect((await list()).filter(({ name }) => name === 'wanted')).toHaveLength(1)
  expect(await trail()).toHaveLength(1)
})

test('a disabled client is let in no more, and its name is free again', async () => {
  const first = await create('returning')
  const disabled = await disable(first.clientId)
  expect(disabled).toMatchObject({ name: 'returning', disabledAtMs: clock.nowMs() })
  expect(await instance().check(first.clientId, first.clientSecret)).toBe(false)
  const second = await create('returning')
  expect(await instance().check(second.clientId, second.clientSecret)).toBe(true)
  expect(await instance().check(second.clientId, first.clientSecret)).toBe(false)
})

test('disabling again, also at the same time, changes nothing and is recorded once', async () => {
  const { clientId } = await create()
  await trail()
  const all = await Promise.all(Array.from({ length: 5 }, () => disable(clientId)))
  const [{ disabledAtMs } = {}] = all
  clock.advance(60_000)
  expect((await disable(clientId)).disabledAtMs).toBe(disabledAtMs)
  const entries = await trail()
  expect(entries).toEqual([expect.objectContaining({ event: 'service_client_disabled' })])
})

test('a client that nobody created cannot be disabled', async () => {
  await expect(disable('A'.repeat(22))).rejects.toMatchObject({ code: 'client_not_found' })
  expect(await trail()).toEqual([])
})

test('only the secret of this very client lets in', async () => {
  const one = await create()
  const other = await create()
  const { check, statements } = instance()
  const wrong = [
    [one.clientId, other.clientSecret],
    [other.clientId, one.clientSecret],
    ['A'.repeat(22), one.clientSecret],
    [one.clientId, newServiceClientSecret(systemRandom)],
  ] as const
  for (const [clientId, secret] of wrong) expect(await check(clientId, secret)).toBe(false)
  expect(statements()).toBe(wrong.length)
})

test('R121: what has not the form of an id or of a secret is refused without a look into the database', async () => {
  const { clientId, clientSecret } = await create()
  const { check, statements } = instance()
  const digest = secretDigest(clientSecret)
  for (const [id, secret] of [
    ['', ''],
    [clientId, ''],
    [clientId, `${clientSecret}=`],
    [clientId, ` ${clientSecret}`],
    // Loose bits at the end, which a decoder would ignore.
    [clientId, `${clientSecret.slice(0, -1)}B`],
    [clientId, 'a'.repeat(5_000)],
    [clientId, Buffer.from(clientSecret, 'base64url').toString('hex')],
    [`${clientId}\u0000`, clientSecret],
    ["' OR 1=1 --", clientSecret],
    [clientId.slice(0, -1), clientSecret],
  ] as const) {
    expect(await check(id, secret), JSON.stringify([id, secret])).toBe(false)
  }
  expect(statements()).toBe(0)
  // What a dump holds is no secret.
  expect(await check(clientId, digest.toString('base64url'))).toBe(false)
})

test('a client that polls costs one statement in five seconds, however often it comes', async () => {
  const { clientId, clientSecret } = await create()
  const { check, statements } = instance()
  const together = await Promise.all(
    Array.from({ length: 50 }, () => check(clientId, clientSecret)),
  )
  expect(together).toEqual(together.map(() => true))
  for (let second = 0; second < 4; second += 1) {
    clock.advance(1_000)
    expect(await check(clientId, clientSecret)).toBe(true)
  }
  expect(statements()).toBe(1)
  clock.advance(1_000)
  expect(await check(clientId, clientSecret)).toBe(true)
  expect(statements()).toBe(2)
})

test('a disabled client is let in for five seconds at most, and only where it had just been let in', async () => {
  const { clientId, clientSecret } = await create()
  const [busy, idle] = [instance(), instance()]
  expect(await busy.check(clientId, clientSecret)).toBe(true)
  clock.advance(3_000)
  await disable(clientId)
  expect(await idle.check(clientId, clientSecret)).toBe(false)
  expect(await busy.check(clientId, clientSecret)).toBe(true)
  clock.advance(2_000)
  expect(await busy.check(clientId, clientSecret)).toBe(false)
})

test('wrong credentials are not remembered: each is looked up, and right ones are let in at once', async () => {
  const { clientId } = await create()
  const { check, statements } = instance()
  const secret = newServiceClientSecret(systemRandom)
  expect(await check(clientId, secret)).toBe(false)
  expect(await check(clientId, secret)).toBe(false)
  expect(statements()).toBe(2)
  await asOwner('INSERT INTO service_client_secrets VALUES ($1, $2, now())', [
    idToBytes(clientId),
    secretDigest(secret),
  ])
  expect(await check(clientId, secret)).toBe(true)
})

test('several secrets let a client in at a time, and each can be revoked alone', async () => {
  const { clientId, clientSecret } = await create()
  const next = newServiceClientSecret(systemRandom)
  await asOwner('INSERT INTO service_client_secrets VALUES ($1, $2, now())', [
    idToBytes(clientId),
    secretDigest(next),
  ])
  const { check } = instance()
  expect([await check(clientId, clientSecret), await check(clientId, next)]).toEqual([true, true])
  await asOwner('UPDATE service_client_secrets SET revoked_at = now() WHERE digest = $1', [
    secretDigest(clientSecret),
  ])
  clock.advance(5_000)
  expect([await check(clientId, clientSecret), await check(clientId, next)]).toEqual([false, true])
})

test('when the database cannot be asked there is no answer, neither yes nor no, and the next look is a new one', async () => {
  const { clientId, clientSecret } = await create()
  const { check } = instance()
  await asOwner('ALTER TABLE service_clients RENAME TO hidden')
  await expect(check(clientId, clientSecret)).rejects.toThrow()
  await asOwner('ALTER TABLE hidden RENAME TO service_clients')
  expect(await check(clientId, clientSecret)).toBe(true)
})

test('R39: a dump holds neither a secret nor anything that is one', async () => {
  const { clientId, clientSecret } = await create()
  const dump = await dumpOf(migrated.ownerUrl)
  const bytes = Buffer.from(clientSecret, 'base64url')
  expect(dump).toContain(secretDigest(clientSecret).toString('hex'))
  expect(dump).toContain(idToBytes(clientId).toString('hex'))
  for (const needle of [clientSecret, bytes.toString('hex'), bytes.toString('base64')]) {
    expect(dump).not.toContain(needle)
  }
})

test('the role of the service can disable a client, raise its epoch, revoke its secrets, and change nothing else of one', async () => {
  const { clientId } = await create()
  const id = idToBytes(clientId)
  for (const statement of [
    'UPDATE service_clients SET name = id::text WHERE id = $1',
    "UPDATE service_clients SET scopes = '{x}' WHERE id = $1",
    "UPDATE service_clients SET audiences = '{x}' WHERE id = $1",
    'DELETE FROM service_clients WHERE id = $1',
    'UPDATE service_client_secrets SET digest = digest WHERE client_id = $1',
    'DELETE FROM service_client_secrets WHERE client_id = $1',
  ]) {
    await expect(asService(statement, [id]), statement).rejects.toThrow('permission denied')
  }
  await asService('UPDATE service_clients SET disabled_at = now(), epoch = 1 WHERE id = $1', [id])
  await asService('UPDATE service_client_secrets SET revoked_at = now() WHERE client_id = $1', [id])
})
