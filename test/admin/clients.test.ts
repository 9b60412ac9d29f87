import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { dumpOf } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import {
  basicHeader,
  introspect,
  newServiceClient,
  postForm,
} from '../support/service/service-client.ts'

const audiences = ['https://api.example.com', 'https://mail.example.com']

const clock = fakeClock()
const cardea = await startCardea({ clock, instances: 2, config: { audiences } })
const token = await cardea.operatorToken()
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())
beforeEach(async () => {
  await trail()
})

const send = (method: string, path: string, body?: unknown, by: string | undefined = token) =>
  cardea.client.send(method, path, {
    ...(by !== '' && { token: by }),
    ...(body !== undefined && { body }),
  })

const uniqueName = () => `c-${newId(systemRandom).replaceAll(/[_-]/g, 'x')}`

const create = async (more: object = {}) => {
  const name = uniqueName()
  const answer = await send('POST', '/admin/clients', { name, ...more })
  expect(answer.status, answer.text).toBe(201)
  return answer.body
}

const addSecret = (id: string) => send('POST', `/admin/clients/${id}/secrets`)

const grants = async (id: string, secret: string, instance = 0): Promise<number> => {
  const form = { grant_type: 'client_credentials' }
  const client = cardea.clientOf(instance)
  return (await postForm(client, '/oauth/token', basicHeader(id, secret), form)).status
}

const letsIn = async (id: string, secret: string, instance = 0): Promise<boolean> =>
  (await introspect(cardea.clientOf(instance), basicHeader(id, secret), { token: 'x' })).status ===
  200

const secretId = (secret: string): Promise<string> =>
  crypto.subtle
    .digest('SHA-256', Buffer.from(secret, 'base64url'))
    .then((digest) => Buffer.from(digest).toString('base64url').slice(0, 8))

describe('a service client', () => {
  test('R112: is made with its rights, shown without its secret, and in the trail with who made it', async () => {
    const made = await create({
      scopes: ['a:read', 'a:write', 'a:read'],
      audiences: [audiences[1]],
    })
    const shown = {
      client_id: expect.stringMatching(/^[\w-]{22}$/),
      name: made.name,
      scopes: ['a:read', 'a:write'],
      audiences: [audiences[1]],
      created_at: new Date(clock.nowMs()).toISOString(),
    }
    expect(made).toEqual({ ...shown, client_secret: expect.stringMatching(/^[\w-]{43}$/) })
    expect(await grants(made.client_id, made.client_secret)).toBe(200)
    const one = await send('GET', `/admin/clients/${made.client_id}`)
    const secrets = [{ secret_id: await secretId(made.client_secret), created_at: made.created_at }]
    expect(one.body).toEqual({ ...shown, secrets })
    const all = await send('GET', '/admin/clients')
    expect(all.body.clients).toContainEqual(shown)
    expect(one.text + all.text).not.toContain(made.client_secret)
    const [entry, ...more] = await trail()
    expect(more).toEqual([])
    expect(entry).toMatchObject({
      event: 'service_client_created',
      actor: expect.stringMatching(/^account:/),
      address: '127.0.0.1',
      details: { clientId: made.client_id, scopes: ['a:read', 'a:write'] },
    })
    expect(await dumpOf(cardea.stores.migrateUrl)).not.toContain(made.client_secret)
  })

  test('has the first audience and no scope unless more is asked for', async () => {
    expect(await create()).toMatchObject({ scopes: [], audiences: [audiences[0]] })
  })

  test('R121: is refused with a name, scopes or audiences that cannot be, and then nothing is written', async () => {
    const taken = await create()
    const name = uniqueName()
    const refused = [
      [{ name: 'two words' }, 400, 'invalid_client_name'],
      [{ name: taken.name }, 409, 'client_name_taken'],
      [{ name, scopes: ['admin'] }, 400, 'invalid_client_scope'],
      [{ name, scopes: ['a', 'account'] }, 400, 'invalid_client_scope'],
      [{ name, scopes: ['a b'] }, 400, 'invalid_client_scope'],
      [{ name, scopes: ['\u0000'] }, 400, 'invalid_request'],
      [{ name, scopes: ['\u00e9'] }, 400, 'invalid_client_scope'],
      [{ name, scopes: Array.from({ length: 33 }, (_, n) => `s${n}`) }, 400, 'invalid_request'],
      [{ name, audiences: [] }, 400, 'unknown_client_audience'],
      [{ name, audiences: ['https://elsewhere.example.com'] }, 400, 'unknown_client_audience'],
      [{ name, scopes: 'a' }, 400, 'invalid_request'],
      [{ name, secret: 'mine' }, 400, 'invalid_request'],
      [{}, 400, 'invalid_request'],
    ] as const
    await trail()
    const before = await dumpOf(cardea.stores.migrateUrl)
    for (const [body, status, code] of refused) {
      const answer = await send('POST', '/admin/clients', body)
      expect(answer, JSON.stringify(body)).toMatchObject({ status, body: { code } })
    }
    expect(await dumpOf(cardea.stores.migrateUrl)).toBe(before)
  })

  test('is disabled once and for good; another status is no word of this API', async () => {
    const { client_id: id, client_secret: secret } = await create()
    await trail()
    const first = await send('PATCH', `/admin/clients/${id}`, { status: 'disabled' })
    expect(first.body).toMatchObject({ client_id: id, disabled_at: expect.any(String) })
    const again = await send('PATCH', `/admin/clients/${id}`, { status: 'disabled' })
    expect(again.text).toBe(first.text)
    expect((await trail()).map(({ event }) => event)).toEqual(['service_client_disabled'])
    expect(await grants(id, secret, 1)).toBe(401)
    for (const body of [{ status: 'active' }, {}, { name: 'other' }]) {
      expect((await send('PATCH', `/admin/clients/${id}`, body)).status).toBe(400)
    }
    const added = await addSecret(id)
    expect(added).toMatchObject({ status: 409, body: { code: 'client_disabled' } })
  })
})

describe('secrets', () => {
  test('R112: are rolled without a gap: a second lets in beside the first, which then is revoked alone', async () => {
    const { client_id: id, client_secret: first } = await create()
    await trail()
    const added = await addSecret(id)
    expect(added.status).toBe(201)
    const { client_secret: second, secret_id: secondId } = added.body
    expect(added.body).toEqual({
      client_id: id,
      secret_id: await secretId(second),
      client_secret: expect.stringMatching(/^[\w-]{43}$/),
      created_at: new Date(clock.nowMs()).toISOString(),
    })
    for (const instance of [0, 1]) {
      expect(await letsIn(id, first, instance)).toBe(true)
      expect(await letsIn(id, second, instance)).toBe(true)
    }
    const path = `/admin/clients/${id}/secrets/${await secretId(first)}`
    expect((await send('DELETE', path)).status).toBe(204)
    expect((await send('DELETE', path)).status).toBe(204)
    // No token from the commit on, anywhere; what remembers that it let the secret in forgets it within five seconds.
    for (const instance of [0, 1]) {
      expect(await grants(id, first, instance)).toBe(401)
      expect(await grants(id, second, instance)).toBe(200)
    }
    clock.advance(5_000)
    for (const instance of [0, 1]) {
      expect(await letsIn(id, first, instance)).toBe(false)
      expect(await letsIn(id, second, instance)).toBe(true)
    }
    const { body } = await send('GET', `/admin/clients/${id}`)
    expect(body.secrets).toHaveLength(2)
    expect(body.secrets).toContainEqual(
      expect.objectContaining({ secret_id: await secretId(first), revoked_at: expect.any(String) }),
    )
    expect(
      body.secrets.find((one: { secret_id: string }) => one.secret_id === secondId).revoked_at,
    ).toBe(undefined)
    expect((await trail()).map(({ event, details }) => [event, details['secretId']])).toEqual([
      ['service_client_secret_added', secondId],
      ['service_client_secret_revoked', await secretId(first)],
    ])
  })

  test('are five at most, also when twenty are asked for at once on two instances', async () => {
    const { client_id: id } = await create()
    const path = `/admin/clients/${id}/secrets`
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, turn) => cardea.clientOf(turn % 2).post(path, { token })),
    )
    expect(all.filter(({ status }) => status === 201)).toHaveLength(4)
    for (const answer of all.filter(({ status }) => status !== 201)) {
      expect(answer).toMatchObject({ status: 409, body: { code: 'too_many_client_secrets' } })
    }
    const [one] = all.filter(({ status }) => status === 201)
    expect((await send('DELETE', `${path}/${one?.body.secret_id}`)).status).toBe(204)
    expect((await addSecret(id)).status).toBe(201)
  })

  test('the last live one is not revoked, also when both of two are at once; of a disabled client it is', async () => {
    const { client_id: id, client_secret: first } = await create()
    const second = (await addSecret(id)).body.client_secret
    const pathOf = async (secret: string) =>
      `/admin/clients/${id}/secrets/${await secretId(secret)}`
    const paths = [await pathOf(first), await pathOf(second)]
    const both = await Promise.all(
      paths.map((path, turn) => cardea.clientOf(turn).send('DELETE', path, { token })),
    )
    expect(both.map(({ status }) => status).toSorted()).toEqual([204, 409])
    const refused = both.find(({ status }) => status === 409)
    expect(refused?.body.code).toBe('last_client_secret')
    await send('PATCH', `/admin/clients/${id}`, { status: 'disabled' })
    for (const path of paths) expect((await send('DELETE', path)).status).toBe(204)
  })

  test('of nobody, of another client, or with no name that one can have are not found', async () => {
    const { client_id: id } = await create()
    const other = await create()
    const foreign = await secretId(other.client_secret)
    for (const [path, status, code] of [
      [`/admin/clients/${id}/secrets/${foreign}`, 404, 'client_secret_not_found'],
      [`/admin/clients/${'A'.repeat(22)}/secrets/${foreign}`, 404, 'client_not_found'],
      [`/admin/clients/${id}/secrets/short`, 400, 'invalid_request'],
      [`/admin/clients/${id}/secrets/${'%00'.repeat(8)}`, 400, 'invalid_request'],
      [`/admin/clients/nobody/secrets/${foreign}`, 400, 'invalid_request'],
    ] as const) {
      expect(await send('DELETE', path), path).toMatchObject({ status, body: { code } })
    }
    for (const [method, path, body] of [
      ['GET', `/admin/clients/${'A'.repeat(22)}`],
      ['POST', `/admin/clients/${'A'.repeat(22)}/secrets`],
      ['PATCH', `/admin/clients/${'A'.repeat(22)}`, { status: 'disabled' }],
    ] as const) {
      const answer = await send(method, path, body)
      expect(answer).toMatchObject({ status: 404, body: { code: 'client_not_found' } })
    }
  })
})

test('R93: without a token, with that of a person or of a service, nothing is shown and nothing happens', async () => {
  const person = await cardea.client.logIn(await cardea.createAccount(['admin']), {
    audience: cardea.config.issuer,
  })
  const service = await newServiceClient(cardea)
  const { body } = await postForm(cardea.client, '/oauth/token', service.authorization, {
    grant_type: 'client_credentials',
  })
  const { client_id: id, client_secret: secret } = await create()
  const before = await dumpOf(cardea.stores.migrateUrl)
  for (const [by, status, code] of [
    ['', 401, 'missing_token'],
    [body.access_token, 401, 'invalid_token'],
    [person.accessToken, 403, 'insufficient_scope'],
  ] as const) {
    for (const [method, path, sent] of [
      ['GET', '/admin/clients'],
      ['GET', `/admin/clients/${id}`],
      ['POST', '/admin/clients', { name: 'mine' }],
      ['PATCH', `/admin/clients/${id}`, { status: 'disabled' }],
      ['POST', `/admin/clients/${id}/secrets`],
      ['DELETE', `/admin/clients/${id}/secrets/${await secretId(secret)}`],
    ] as const) {
      expect(await send(method, path, sent, by), path).toMatchObject({ status, body: { code } })
    }
  }
  expect(await dumpOf(cardea.stores.migrateUrl)).toBe(before)
})
