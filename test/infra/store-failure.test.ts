import { existsSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { isStoreAway, storeFailure } from '../../src/infra/postgres/store-failure.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { appPool } from '../support/servers/migrated-database.ts'
import { startPostgres } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import { quickSession } from '../support/service/quick-session.ts'

const errorWith = (code: string, message = 'of the driver'): Error =>
  Object.assign(new Error(message), { code })

test.each([
  ...['EPIPE', 'ECONNREFUSED', 'ECONNRESET', 'EPROTO'],
  ...['57P01', '08006', '53300', '25006', '25P03', '28P01', '3D000'],
  ...['CERT_HAS_EXPIRED', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'ERR_TLS_CERT_ALTNAME_INVALID'],
])('R104: an error with the code %s is a store that is away', (code) => {
  const error = errorWith(code)
  const failure = storeFailure(error)
  expect(isStoreAway(failure)).toBe(true)
  expect(failure).toMatchObject({ status: 503, retryAfterSeconds: 1, cause: error })
})

test.each(['23505', '42P01', '25001', 'P0001', 'XX000', 'EPERM'])(
  'an error with the code %s stays what it is',
  (code) => {
    const error = errorWith(code)
    expect(storeFailure(error)).toBe(error)
  },
)

test('what a statement says of itself is not read as a failure of the wire', () => {
  const error = errorWith('23505', 'duplicate key value: "connection timeout"')
  expect(storeFailure(error)).toBe(error)
})

test('R104: writing to a Unix socket that Postgres has just closed is a store that is away, and the next statement works', async () => {
  const sockets = await scratchFolder('sockets')
  onTestFinished(sockets.remove)
  const server = await startPostgres({ unix_socket_directories: sockets.path })
  onTestFinished(server.stop)
  const { username, password, pathname, port } = new URL(server.appUrl)
  const url = `postgres://${username}:${password}@${pathname}?host=${sockets.path}&port=${port}`
  const database = appPool(url, { poolSize: 1 })
  onTestFinished(database.close)
  const ask = () =>
    database.query<{ pid: number }>({ name: 'own_pid', text: 'SELECT pg_backend_pid() AS pid' })
  const [{ pid } = { pid: 0 }] = await ask()
  process.kill(pid, 'SIGTERM')
  // Without giving the event loop a turn, in which the driver would learn of the end and take another connection.
  while (existsSync(`/proc/${pid}`)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  const failure = await ask().catch((error: unknown) => error)
  expect(failure).toMatchObject({
    code: 'store_unavailable',
    cause: expect.objectContaining({ code: 'EPIPE' }),
  })
  expect(await ask()).toHaveLength(1)
})

test('R104: while the role of the service may not log in, refreshes are 503 and consume nothing; then they work without a restart', async () => {
  const server = await startPostgres()
  onTestFinished(server.stop)
  const cardea = await startCardea({ database: server })
  onTestFinished(cardea.stop)
  const { refreshToken } = await quickSession(cardea, (await cardea.createAccount()).id)
  const { username, password } = new URL(server.appUrl)
  const asOwner = sqlAs(server.ownerUrl)
  await asOwner(`ALTER ROLE "${username}" PASSWORD 'another'`)
  await asOwner('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [
    username,
  ])
  // The first may still meet the connection that was ended; those after it are not let in.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const refused = await cardea.client.refresh(refreshToken)
    expect([refused.status, refused.body.code]).toEqual([503, 'store_unavailable'])
    expect(refused.headers.getSetCookie()).toEqual([])
  }
  await asOwner(`ALTER ROLE "${username}" PASSWORD '${password}'`)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
})
