import { afterAll, beforeEach, expect, test } from 'vitest'
import { idToBytes } from '../../src/lib/machine.ts'
import { bearerCheck, postgresTokenActivity } from '../../src/revocation/index.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import {
  newServiceClient,
  postForm,
  type TestServiceClient,
} from '../support/service/service-client.ts'

let orders: TestServiceClient
let token: string

const actor = { kind: 'command-line' } as const

const newToken = async (): Promise<string> => {
  const form = { grant_type: 'client_credentials' }
  const answer = await postForm(cardea.client, '/oauth/token', orders.authorization, form)
  return answer.body.access_token
}

const cardea = await startCardea()
const core = cardea.instances[0]!.core
const deaf = {
  ...core.revocations.replica,
  state: () => 'STALE' as const,
  revokedBy: () => undefined,
}
const { config, machine, keys, database } = core
/** The check of an instance whose replica heard of nothing and knows that it may have missed something: Postgres decides. */
const check = bearerCheck({
  issuer: config.issuer,
  audiences: [...config.audiences, config.issuer],
  clock: machine.clock,
  verificationKey: keys.verificationKey,
  replica: deaf,
  isTokenActive: postgresTokenActivity(database),
})
afterAll(() => cardea.stop())
beforeEach(async () => {
  orders = await newServiceClient(cardea)
  token = await newToken()
})

const claimsOf = (text: string) =>
  JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString())

const revoke = (target: Parameters<typeof core.revoke>[0]['target']) =>
  core.revoke({ target, note: undefined, actor })

test('R103: a token of a service is good as long as its client is, though no session stands behind it', async () => {
  expect(await check(token)).toMatchObject({ sub: orders.clientId })
  const person = await cardea.client.logIn(await cardea.createAccount())
  expect(await check(person.accessToken)).toMatchObject({ client_id: 'first-party' })
})

test('R71: without the replica a revocation in Postgres alone refuses it: of the token, of the client, of the key, of everything', async () => {
  await revoke({ kind: 'token', tokenId: claimsOf(token).jti })
  await expect(check(token)).rejects.toMatchObject({ code: 'invalid_token' })

  const second = await newToken()
  await revoke({ kind: 'account', accountId: orders.clientId })
  await expect(check(second)).rejects.toMatchObject({ code: 'invalid_token' })

  const third = await newToken()
  await core.serviceClients.disable({ clientId: orders.clientId, actor })
  await expect(check(third)).rejects.toMatchObject({ code: 'invalid_token' })

  orders = await newServiceClient(cardea)
  const fourth = await newToken()
  await revoke({ kind: 'everyone' })
  await expect(check(fourth)).rejects.toMatchObject({ code: 'invalid_token' })

  const fifth = await newToken()
  expect(await check(fifth)).toMatchObject({ sub: orders.clientId })
  const [header = ''] = fifth.split('.')
  await revoke({ kind: 'key', kid: JSON.parse(Buffer.from(header, 'base64url').toString()).kid })
  await expect(check(fifth)).rejects.toMatchObject({ code: 'invalid_token' })
})

test('R71: nor is it good while somebody has disabled the owner of the client in Postgres itself', async () => {
  const owner = await cardea.createAccount()
  orders = await newServiceClient(cardea, undefined, { ownerId: owner.id })
  const owned = await newToken()
  expect(await check(owned)).toMatchObject({ sub: orders.clientId })
  const set = (status: string) =>
    sqlAs(cardea.stores.migrateUrl)('UPDATE accounts SET status = $2 WHERE id = $1', [
      idToBytes(owner.id),
      status,
    ])
  await set('disabled')
  await expect(check(owned)).rejects.toMatchObject({ code: 'invalid_token' })
  await set('active')
  expect(await check(owned)).toMatchObject({ sub: orders.clientId })
})
