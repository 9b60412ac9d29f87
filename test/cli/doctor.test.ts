import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkDatabase } from '../../src/cli/doctor/check-database.ts'
import type { Core } from '../../src/core.ts'
import { databaseClock } from '../../src/infra/postgres/database-clock.ts'
import { secretRing } from '../../src/keys/index.ts'
import { systemClock } from '../../src/lib/machine.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

let cardea: Cardea
let core: Core

beforeAll(async () => {
  cardea = await startCardea()
  const [instance] = cardea.instances
  if (!instance) throw new Error('no instance')
  core = instance.core
})
afterAll(() => cardea.stop())

const stateOf = async (name: string, changed: Partial<Core>) => {
  const findings = await checkDatabase({ ...core, ...changed })
  return findings.filter((finding) => finding.name === name).map(({ state }) => state)
}

test.each([
  [0, 'ok'],
  [-3000, 'warn'],
  [3000, 'warn'],
  [8000, 'fail'],
])('a machine whose clock is %i ms off Postgres is: %s', async (skewMs, state) => {
  const local = { ...systemClock, nowMs: () => systemClock.nowMs() + skewMs }
  const clock = databaseClock({ sql: core.database, local, onChange: () => undefined })
  expect(await stateOf('postgres-clock', { machine: { ...core.machine, clock } })).toEqual([state])
})

test('R129: signing keys that this secret does not open are found, and the rest is still looked at', async () => {
  const ring = secretRing(['another secret of the tests, long enough'])
  expect(await stateOf('signing-keys', {})).toEqual(['ok'])
  expect(await stateOf('signing-keys', { ring })).toEqual(['fail'])
  expect(await stateOf('postgres-role', { ring })).toEqual(['ok'])
})

test('signing keys of another algorithm than the one that is set are worth a warning', async () => {
  const config = { ...core.config, signingAlgorithm: 'RS256' } as const
  expect(await stateOf('signing-keys', { config })).toEqual(['warn'])
})

test('a schema that a later version has migrated is worth a warning, and the rest is still looked at', async () => {
  const asOwner = sqlAs(cardea.stores.migrateUrl)
  await asOwner(
    "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, '9999_later.sql', 'x')",
  )
  expect(await stateOf('schema', {})).toEqual(['ok', 'warn'])
  expect(await stateOf('signing-keys', {})).toEqual(['ok'])
  await asOwner('DELETE FROM schema_migrations WHERE version = 9999')
  expect(await stateOf('schema', {})).toEqual(['ok'])
})

test('a loss of commits is worth a warning until everything is revoked', async () => {
  const asOwner = sqlAs(cardea.stores.migrateUrl)
  expect(await stateOf('data', {})).toEqual(['ok'])
  await asOwner(
    `INSERT INTO data_losses (feed_id, detected_at, global_epoch)
      SELECT 'lost', now(), global_epoch FROM instance`,
  )
  const [finding] = (await checkDatabase(core)).filter(({ name }) => name === 'data')
  expect(finding).toMatchObject({ state: 'warn', fix: 'run `cardea revoke --everyone`' })
  await asOwner('UPDATE instance SET global_epoch = global_epoch + 1')
  expect(await stateOf('data', {})).toEqual(['ok'])
})
