import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sizeThreadPool } from '../../src/config/index.ts'
import { firstOperatorEmail, printedPassword } from '../support/programs/child-service.ts'
import { httpClient } from '../support/service/client.ts'
import {
  type ServiceOnDatabase,
  serviceOnDatabase,
} from '../support/service/service-on-database.ts'

let home: ServiceOnDatabase

beforeAll(async () => {
  home = await serviceOnDatabase({
    CARDEA_SECRET: 'a-secret-of-the-thread-pool-of-the-tests',
    HASH_CONCURRENCY: '2',
  })
})
afterAll(() => home.remove())

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
