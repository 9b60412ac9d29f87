import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { sizeThreadPool } from '../../src/config/index.ts'
import {
  firstOperatorEmail,
  printedPassword,
  type ServiceHome,
  serviceHome,
} from '../support/child-service.ts'
import { httpClient } from '../support/client.ts'
import { type FreshDatabase, freshDatabase } from '../support/postgres-server.ts'

let database: FreshDatabase
let home: ServiceHome

beforeAll(async () => {
  database = await freshDatabase()
  home = await serviceHome({
    DATABASE_URL: database.appUrl,
    MIGRATE_DATABASE_URL: database.ownerUrl,
    REDIS_URL: inject('redisUrl'),
    CARDEA_SECRET: 'a-secret-of-the-thread-pool-of-the-tests',
    HASH_CONCURRENCY: '2',
  })
})
afterAll(async () => {
  await home.remove()
  await database.drop()
})

/** Names that libuv gives its threads. */
const poolThreads = async (pid: number): Promise<number> => {
  const folder = `/proc/${pid}/task`
  const names = await Promise.all(
    (await readdir(folder)).map(
      async (thread) => await readFile(`${folder}/${thread}/comm`, 'utf8'),
    ),
  )
  return names.filter((name) => name.startsWith('libuv-worker')).length
}

test('the pool has a thread for each hash at once and one for everything else, before anything used it', async () => {
  const service = await home.start()
  const credentials = { email: firstOperatorEmail, password: printedPassword(service) }
  expect((await httpClient(home.address).logIn(credentials)).status).toBe(200)
  expect(await poolThreads(service.pid)).toBe(3)
})

test('a size that an operator has set stays', () => {
  const environment = { UV_THREADPOOL_SIZE: '8' }
  sizeThreadPool({ hashConcurrency: 2 }, environment)
  expect(environment).toEqual({ UV_THREADPOOL_SIZE: '8' })
})
