import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { runCli } from '../cli/run-cli.ts'
import {
  type ChildService,
  firstOperatorEmail,
  printedPassword,
  type ServiceHome,
  serviceHome,
} from '../support/programs/child-service.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import { startVerifier, type VerifierProcess } from '../support/verifier/verifier-process.ts'
import { expectKeptPromises, revokeAt } from '../support/verifier/verifier-revocations.ts'

const issuer = 'http://127.0.0.1:8088'

let database: FreshDatabase
let homes: ServiceHome[]
let services: ChildService[]
let settings: Record<string, string>
let password: string

/** Two instances, each in a process of its own, over the same stores. */
beforeAll(async () => {
  database = await freshDatabase()
  settings = {
    DATABASE_URL: database.appUrl,
    MIGRATE_DATABASE_URL: database.ownerUrl,
    REDIS_URL: inject('redisUrl'),
    CARDEA_SECRET: 'a-secret-of-the-two-instances-of-the-tests',
    ISSUER: issuer,
    LOG_LEVEL: 'warn',
  }
  homes = [await serviceHome(settings), await serviceHome(settings)]
  const first = await homes[0]!.start()
  password = printedPassword(first)
  services = [first, await homes[1]!.start()]
})
afterAll(async () => {
  for (const home of homes) await home.remove()
  await database.drop()
})

const clientOf = (index: number): Client => httpClient(homes[index]!.address)

const logIn = async (index: number): Promise<string> =>
  (await clientOf(index).logIn({ email: firstOperatorEmail, password }, { audience: issuer }))
    .accessToken

const jtiOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).jti

const behindABalancer = async (): Promise<{ verifier: VerifierProcess; balancer: TcpProxy }> => {
  const balancer = await startTcpProxy(homes[0]!.address)
  onTestFinished(balancer.stop)
  const created = await runCli(['client', 'create', '--name', 'behind', '--json'], settings)
  const { client_id: id, client_secret: secret } = created.json()
  const endpoint = `http://127.0.0.1:${balancer.port}`
  const verifier = await startVerifier({ issuer, endpoint, client: { id, secret } })
  onTestFinished(verifier.stop)
  await verifier.call('ready')
  return { verifier, balancer }
}

test('R73, R74: the instance that a verifier follows is killed, and it goes on at another one where it was', async () => {
  const { verifier, balancer } = await behindABalancer()
  const operator = await logIn(1)
  const tokens = [await logIn(0), await logIn(1), await logIn(1)]
  const [early, during, after] = tokens.map(jtiOf)
  const spared = await logIn(0)
  await verifier.watch([...tokens, spared])
  const promises = [await revokeAt(clientOf(1), operator, { jti: early })]

  services[0]!.signal('SIGKILL')
  expect((await services[0]!.ended).signal).toBe('SIGKILL')
  promises.push(await revokeAt(clientOf(1), operator, { jti: during }))
  // Longer than a lease: a balancer that is slow to notice.
  await verifier.whenState('STALE')
  expect(await verifier.verdict(spared)).toBe('revocation_state_unknown')
  balancer.pointTo(homes[1]!.address)
  await verifier.whenState('FRESH')
  expect(await verifier.verdict(spared)).toBe('accepted')

  promises.push(await revokeAt(clientOf(1), operator, { jti: after }))
  await expectKeptPromises(verifier, promises)
  expect((await verifier.watched())[3]?.acceptedInDoubt).toBe(0)
  // Both read the same log: the cursor of the one is good at the other.
  expect((await verifier.call('history')).snapshots).toEqual(['first'])
})
