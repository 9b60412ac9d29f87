import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { firstOperatorEmail, printedPassword } from '../support/programs/child-service.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import {
  type ServiceOnDatabase,
  serviceOnDatabase,
} from '../support/service/service-on-database.ts'

let home: ServiceOnDatabase
let client: Client
let person: { email: string; password: string }

beforeAll(async () => {
  home = await serviceOnDatabase({
    CARDEA_SECRET: 'a-secret-of-the-drains-of-the-tests',
    // Longer than any test waits: what ends the process is something else.
    SHUTDOWN_DELAY_SECONDS: '300',
  })
  client = httpClient(home.address)
})
afterAll(() => home.remove())

const readiness = async () => {
  const { status, body } = await client.get('/health/ready')
  return [status, body.status, body.process]
}

test('R104: after SIGTERM the service is not ready and serves everything, a connection a request, until a second signal ends it at once', async () => {
  const service = await home.start()
  person = { email: firstOperatorEmail, password: printedPassword(service) }
  const before = await client.logIn(person)
  service.signal('SIGTERM')
  await vi.waitFor(async () => expect(await readiness()).toEqual([503, 'not_ready', 'stopping']))
  await vi.waitFor(() =>
    expect(service.stdout()).toContain('not ready any more, and still serving'),
  )
  const refreshed = await client.refresh(before.refreshToken)
  expect([refreshed.status, refreshed.headers.get('connection')]).toEqual([200, 'close'])
  expect((await client.logIn(person)).status).toBe(200)
  service.signal('SIGINT')
  expect(await service.ended).toEqual({ code: null, signal: 'SIGINT' })
})

test('a second SIGTERM ends it at once, too', async () => {
  const service = await home.start()
  service.signal('SIGTERM')
  await vi.waitFor(async () => expect((await readiness())[2]).toBe('stopping'))
  service.signal('SIGTERM')
  expect(await service.ended).toEqual({ code: null, signal: 'SIGTERM' })
})

test('Ctrl-C waits for nobody', async () => {
  const service = await home.start()
  service.signalGroup('SIGINT')
  expect(await service.ended).toEqual({ code: 0, signal: null })
  expect(service.stdout()).not.toContain('still serving')
})
