import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import type { Database } from '../../src/infra/postgres/database.ts'
import { appPool } from '../support/servers/migrated-database.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { type PostgresStandby, startStandby } from '../support/servers/postgres-standby.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Fate, startTcpProxy } from '../support/servers/tcp-proxy.ts'

let primary: PostgresServer
let standby: PostgresStandby

beforeAll(async () => {
  primary = await startPostgres()
  standby = await startStandby(primary)
})
afterAll(async () => {
  await standby.stop()
  await primary.stop()
})

const open = (url: string): Database => {
  const database = appPool(url)
  onTestFinished(database.close)
  return database
}

const reported = ['in_hot_standby', 'default_transaction_read_only']

/** A message of type K: length, process id, secret key. */
const keyData = Buffer.from([0x4b, 0, 0, 0, 12])

/** What a pooler does at the start of a connection: it reports nothing of the server's state, and makes up a process id. */
const asPooler = (bytes: Buffer): Fate => {
  const changed = Buffer.from(bytes)
  for (const name of reported) {
    const at = changed.indexOf(name)
    if (at >= 0) changed.write('x', at)
  }
  const at = changed.indexOf(keyData)
  if (at >= 0) changed.writeInt32BE(1, at + keyData.length)
  return { passInstead: changed }
}

const behindPooler = async (url: string): Promise<string> => {
  const proxy = await startTcpProxy(url, () => ({ onServerBytes: asPooler }))
  onTestFinished(proxy.stop)
  return proxy.through(url)
}

const stateOf = async (database: Database): Promise<string> => {
  try {
    await database.ping()
    return 'ready'
  } catch (error) {
    expect(error).toMatchObject({ code: 'store_unavailable', status: 503, retryAfterSeconds: 1 })
    return database.isNotPrimary(error) ? 'not_primary' : 'unreachable'
  }
}

const becomes = async (database: Database, state: string): Promise<void> =>
  await vi.waitFor(async () => expect(await stateOf(database)).toBe(state), {
    interval: 100,
  })

const setReadOnly = async (value: 'on' | 'off'): Promise<void> => {
  const asOwner = sqlAs(primary.ownerUrl)
  await asOwner(`ALTER SYSTEM SET default_transaction_read_only = ${value}`)
  await asOwner('SELECT pg_reload_conf()')
}

const ways = [
  ['directly', async (url: string) => url],
  ['through a pooler that does not pass on what the server reports', behindPooler],
] as const

test.each(ways)('R104: a standby that is reached %s runs no statement', async (_how, reach) => {
  expect(await stateOf(open(await reach(primary.appUrl)))).toBe('ready')
  const database = open(await reach(standby.appUrl))
  expect(await stateOf(database)).toBe('not_primary')
  await expect(database.transaction(async () => 'begun')).rejects.toMatchObject({
    code: 'store_unavailable',
  })
})

test.each(ways)(
  'R104: a server that is set to read only while connections are open is left when reached %s, and used again afterwards',
  async (_how, reach) => {
    const database = open(await reach(primary.appUrl))
    expect(await stateOf(database)).toBe('ready')
    await setReadOnly('on')
    await becomes(database, 'not_primary')
    await setReadOnly('off')
    await becomes(database, 'ready')
  },
)
