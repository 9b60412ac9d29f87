import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import {
  type ChildService,
  firstOperatorEmail,
  printedPassword,
} from '../support/programs/child-service.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import {
  type ServiceOnDatabase,
  serviceOnDatabase,
} from '../support/service/service-on-database.ts'

let home: ServiceOnDatabase
let client: Client
let password: string

beforeAll(async () => {
  home = await serviceOnDatabase({
    DATABASE_CONNECT_TIMEOUT_MS: '4000',
    DATABASE_STATEMENT_TIMEOUT_MS: '4000',
  })
  client = httpClient(home.address)
  const first = await home.start()
  password = printedPassword(first)
  await stop(first)
})
afterAll(() => home.remove())

const stop = async (service: ChildService): Promise<void> => {
  service.signal('SIGTERM')
  expect(await service.ended).toEqual({ code: 0, signal: null })
}

const kept = async (name: string): Promise<string> =>
  (await readFile(join(home.folder, '.data', name), 'utf8')).trim()

const logIn = (headers = {}) =>
  client.post('/login', { headers, body: { email: firstOperatorEmail, password } })

test('a password still counts when the secret and the pepper that the first start kept are moved into the settings', async () => {
  const service = await home.start({
    CARDEA_SECRET: await kept('secret'),
    PASSWORD_PEPPER: await kept('pepper'),
  })
  expect((await logIn()).status).toBe(200)
  await stop(service)
})

test('a password whose pepper is gone is a failure that the log explains, and no wrong password', async () => {
  const service = await home.start({
    CARDEA_SECRET: await kept('secret'),
    PASSWORD_PEPPER: 'another-pepper-of-the-tests-that-is-long-enough',
  })
  expect((await logIn()).status).toBe(500)
  await stop(service)
  expect(service.stdout()).toMatch(
    /the password pepper with the id .{8} is not configured any more/,
  )
})

test('production uses the kept pepper too, and warns that other instances lack it', async () => {
  const service = home.spawn({
    NODE_ENV: 'production',
    ALLOW_PLAINTEXT_STORES: 'true',
    ISSUER: 'https://auth.example.com',
    TRUSTED_PROXIES: '127.0.0.1',
    CARDEA_SECRET: await kept('secret'),
  })
  await vi.waitFor(() => expect(service.stdout()).toContain('"listening"'))
  expect((await logIn({ 'x-forwarded-proto': 'https' })).status).toBe(200)
  await stop(service)
  expect(service.stdout()).toContain('PASSWORD_PEPPER is not set and DATA_DIR contains a pepper')
})
