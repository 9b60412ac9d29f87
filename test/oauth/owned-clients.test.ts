import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { idToBytes } from '../../src/lib/machine.ts'
import { inLanes, turns } from '../concurrency/race.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import {
  basicHeader,
  introspect,
  liveOf,
  newServiceClient,
  postForm,
  type TestServiceClient,
} from '../support/service/service-client.ts'

let owner: TestAccount
let owned: TestServiceClient

const cardea = await startCardea({ instances: 2 })
const operator = await cardea.operatorToken()
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())
beforeEach(async () => {
  owner = await cardea.createAccount()
  owned = await newServiceClient(cardea, undefined, { ownerId: owner.id })
})

const asOwner = (text: string, values: readonly unknown[] = []) =>
  sqlAs(cardea.stores.migrateUrl)(text, values)

const ask = ({ authorization }: TestServiceClient, instance = 0) =>
  postForm(cardea.clientOf(instance), '/oauth/token', authorization, {
    grant_type: 'client_credentials',
  })

const tokenOf = async (client: TestServiceClient): Promise<string> => {
  const answer = await ask(client)
  expect(answer.status, answer.text).toBe(200)
  return answer.body.access_token
}

const activeOf = async (tokens: readonly string[], instance: number): Promise<string[]> =>
  liveOf(cardea.clientOf(instance), await newServiceClient(cardea), tokens)

const expectDeadEverywhere = async (...tokens: string[]): Promise<void> => {
  for (const instance of [0, 1]) {
    await vi.waitFor(async () => expect(await activeOf(tokens, instance)).toEqual([]), {
      interval: 250,
    })
  }
}

const admin = {
  post: (path: string, body: object) => cardea.client.post(path, { token: operator, body }),
  patch: (path: string, body: object) =>
    cardea.client.send('PATCH', path, { token: operator, body }),
  get: (path: string) => cardea.client.get(path, { token: operator }),
}

const revoke = async (body: object): Promise<void> => {
  const answer = await admin.post('/admin/revoke', body)
  expect(answer.status, answer.text).toBe(200)
}

const disableOwner = async (): Promise<void> => {
  const answer = await admin.patch(`/admin/accounts/${owner.id}`, { status: 'disabled' })
  expect(answer.status, answer.text).toBe(200)
}

describe('R77: a client that belongs to an account ends with it, its tokens on every instance and its secret for good', () => {
  const ends = {
    'by a revocation of its id': () => revoke({ sub: owner.id }),
    'by a revocation of its address': () => revoke({ email: owner.email }),
    'when it is disabled': disableOwner,
  }
  test.each(Object.entries(ends))('%s', async (_how, end) => {
    const token = await tokenOf(owned)
    await end()
    for (const instance of [0, 1]) {
      const refused = await ask(owned, instance)
      expect([refused.status, refused.body.error]).toEqual([401, 'invalid_client'])
    }
    await expectDeadEverywhere(token)
    await admin.patch(`/admin/accounts/${owner.id}`, { status: 'active' })
    expect((await ask(owned)).status).toBe(401)
  })
})

test('the trail says which clients ended, with whom and why', async () => {
  await trail()
  await revoke({ sub: owner.id, reason: 'left' })
  const entries = await trail()
  expect(entries.map(({ event }) => event)).toEqual(['service_client_disabled', 'account_revoked'])
  expect(entries[0]).toMatchObject({
    outcome: 'success',
    reason: 'revoked',
    account: owner.id,
    details: { clientId: owned.clientId, name: owned.name },
  })
  expect(entries[0]?.actor).toBe(entries[1]?.actor)
  expect(entries[0]?.request_id).toBe(entries[1]?.request_id)
})

test('clients of others and of nobody go on, and a revocation of a client concerns it alone', async () => {
  const [other, nobodys] = await Promise.all([
    newServiceClient(cardea, undefined, { ownerId: (await cardea.createAccount()).id }),
    newServiceClient(cardea),
  ])
  const tokens = await Promise.all([tokenOf(other), tokenOf(nobodys)])
  await revoke({ sub: owner.id })
  for (const client of [other, nobodys]) expect((await ask(client)).status).toBe(200)
  expect(await activeOf(tokens, 0)).toEqual(tokens)
  await revoke({ sub: other.clientId })
  await expectDeadEverywhere(tokens[0])
  expect((await ask(other)).status).toBe(200)
})

test('another password is another way in for the person, and leaves their clients alone', async () => {
  const token = await tokenOf(owned)
  const actor = { kind: 'command-line' } as const
  const password = 'another correct horse battery 8'
  await cardea.instances[0]?.core.setPassword({ accountId: owner.id, password, actor })
  expect(await activeOf([token], 0)).toEqual([token])
  expect((await ask(owned)).status).toBe(200)
})

describe('when somebody changes the owner in the database itself', () => {
  test('a client of a disabled account gets no token, and comes back with it', async () => {
    const values = [idToBytes(owner.id)]
    await asOwner(`UPDATE accounts SET status = 'disabled' WHERE id = $1`, values)
    expect((await ask(owned)).status).toBe(401)
    const asked = await introspect(cardea.client, owned.authorization, { token: 'x' })
    expect(asked.status).toBe(401)
    await asOwner(`UPDATE accounts SET status = 'active' WHERE id = $1`, values)
    expect((await ask(owned)).status).toBe(200)
  })

  test('the clients of a deleted account go with it, and their tokens are taken back', async () => {
    const token = await tokenOf(owned)
    await asOwner('DELETE FROM accounts WHERE id = $1', [idToBytes(owner.id)])
    expect((await ask(owned)).status).toBe(401)
    await expectDeadEverywhere(token)
    expect((await admin.get(`/admin/clients/${owned.clientId}`)).status).toBe(404)
  })
})

describe('the admin API', () => {
  test('makes a client for an account and says to whom it belongs', async () => {
    await trail()
    const created = await admin.post('/admin/clients', {
      name: `report-${owner.id}`,
      owner: owner.id,
    })
    expect(created.status, created.text).toBe(201)
    expect(created.body.owner).toBe(owner.id)
    expect(await trail()).toEqual([
      expect.objectContaining({ event: 'service_client_created', account: owner.id }),
    ])
    const { client_id: id, client_secret: secret } = created.body
    const shown = await admin.get(`/admin/clients/${id}`)
    expect(shown.body).toMatchObject({ client_id: id, owner: owner.id })
    const token = await tokenOf({ ...owned, authorization: basicHeader(id, secret) })
    await revoke({ sub: owner.id })
    await expectDeadEverywhere(token)
  })

  test('makes none for an account that is disabled or does not exist, or for what is no id', async () => {
    await disableOwner()
    const before = (await admin.get('/admin/clients')).body.clients.length
    for (const [who, code] of [
      [owner.id, 'invalid_client_owner'],
      ['AAAAAAAAAAAAAAAAAAAAAA', 'invalid_client_owner'],
      [owner.email, 'invalid_request'],
      [null, 'invalid_request'],
    ]) {
      const refused = await admin.post('/admin/clients', { name: 'nobody', owner: who })
      expect([refused.status, refused.body.code]).toEqual([400, code])
    }
    const wrong = await admin.post('/admin/clients', { name: 'nobody', owner: owner.email })
    expect(wrong.body.detail).toBe('body.owner is not an id.')
    expect((await admin.get('/admin/clients')).body.clients).toHaveLength(before)
  })
})

const rounds = 100
const together = 10

/** A client is made for an account and asks for tokens while the account is revoked. Returns the tokens it got. */
const race = async (round: number): Promise<string[]> => {
  const { id } = await cardea.createAccount()
  const client = await newServiceClient(cardea, undefined, { ownerId: id })
  const late = newServiceClient(cardea, undefined, { ownerId: id })
  const askLater = async (instance: number) => {
    await turns((round * 3) % 29)
    return ask(client, instance)
  }
  const [first, second] = await Promise.all([askLater(0), askLater(1), revoke({ sub: id })])
  for (const { status } of [first, second]) expect([200, 401]).toContain(status)
  expect((await ask(client)).status).toBe(401)
  // Made before the revocation it has ended with the rest, made after it it works; nothing is in between.
  const made = await admin.get(`/admin/clients/${(await late).clientId}`)
  expect((await ask(await late)).status).toBe(made.body.disabled_at === undefined ? 200 : 401)
  return [first, second].flatMap(({ status, body }) => (status === 200 ? [body.access_token] : []))
}

test(`${rounds} accounts are disabled while clients are made for them: none is made that the account can bring back`, async () => {
  const made = { refused: 0, ended: 0 }
  const actor = { kind: 'command-line' } as const
  const one = async (round: number): Promise<void> => {
    const [first, second] = cardea.instances
    const { id } = await cardea.createAccount()
    const set = (status: 'active' | 'disabled') =>
      first?.core.changeAccount({ accountId: id, status, actor })
    const create = async () => {
      await turns(round % 13)
      const name = `raced-${round}`
      const { clientId, clientSecret } =
        (await second?.core.serviceClients.create({ name, ownerId: id, actor })) ?? {}
      return basicHeader(clientId ?? '', clientSecret ?? '')
    }
    const disable = async () => {
      await turns((round * 7) % 13)
      await set('disabled')
    }
    const [authorization] = await Promise.all([create().catch(() => undefined), disable()])
    await set('active')
    if (authorization === undefined) made.refused += 1
    else {
      expect((await ask({ ...owned, authorization })).status).toBe(401)
      made.ended += 1
    }
  }
  await inLanes(together, rounds, (_lane, round) => one(round))
  // Both orders happened, or this would prove nothing.
  expect(made.refused).toBeGreaterThan(0)
  expect(made.ended).toBeGreaterThan(0)
})

test(`R77: ${rounds} accounts are revoked while clients are made for them and ask for tokens: none that ended gets one, and no token survives`, async () => {
  const tokens: string[] = []
  await inLanes(together, rounds, async (_lane, round) => {
    tokens.push(...(await race(round)))
  })
  // Both orders happened, or this would prove nothing.
  expect(tokens.length).toBeGreaterThan(0)
  expect(tokens.length).toBeLessThan(2 * rounds)
  await expectDeadEverywhere(...tokens)
})
