import { afterAll, expect, test } from 'vitest'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { isOfRequests, statementCounter } from '../support/servers/statement-counter.ts'
import { startTcpProxy } from '../support/servers/tcp-proxy.ts'
import { startCardea } from '../support/service/cardea.ts'
import { newServiceClient, postForm } from '../support/service/service-client.ts'

const database = await freshDatabase()
const counter = statementCounter(isOfRequests)
const proxy = await startTcpProxy(database.appUrl, counter.observe)
const cardea = await startCardea({
  database: { ownerUrl: database.ownerUrl, appUrl: proxy.through(database.appUrl) },
  redisUrl: null,
  config: { databasePoolSize: 1 },
})
const orders = await newServiceClient(cardea)
afterAll(async () => {
  await cardea.stop()
  await proxy.stop()
  await database.drop()
})

const ask = async (grant: string, authorization = orders.authorization): Promise<number> => {
  const form = { grant_type: grant, username: 'a@example.com', password: 'x' }
  return (await postForm(cardea.client, '/oauth/token', authorization, form)).status
}

const asked = async (count: number, grant: string, authorization?: string) => {
  for (let round = 0; round < count; round += 1) await ask(grant, authorization)
  return counter.take()
}

const none = { Parse: 0, Bind: 0, Execute: 0, Sync: 0, Query: 0 }

test('a token for a service is one statement and one round trip, counted on the wire', async () => {
  expect(await ask('client_credentials')).toBe(200)
  counter.take()
  const counted = await asked(10, 'client_credentials')
  expect(counted).toEqual({ ...none, Bind: 10, Execute: 10, Sync: 10 })
})

test('R2: a password, or what cannot be the credentials of a client, does not reach the database', async () => {
  expect(await asked(5, 'password')).toEqual(none)
  expect(await asked(5, 'client_credentials', 'Basic eDp5')).toEqual(none)
})
