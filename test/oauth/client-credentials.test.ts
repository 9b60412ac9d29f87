import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import {
  basicHeader,
  introspect,
  newServiceClient,
  postForm,
  type TestServiceClient,
} from '../support/service/service-client.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const audiences = ['https://shop.example.com', 'https://mail.example.com']
const [shopAudience = '', mailAudience = ''] = audiences
const rights = { scopes: ['orders:read', 'orders:write'], audiences }

let operator: string
let orders: TestServiceClient

const clock = fakeClock()
const cardea = await startCardea({ clock, instances: 2, config: { audiences, logLevel: 'debug' } })
operator = await cardea.operatorToken()
afterAll(() => cardea.stop())
beforeEach(async () => {
  orders = await newServiceClient(cardea, undefined, rights)
})

const grant_type = 'client_credentials'

const ask = (
  parameters: Readonly<Record<string, string>> | string = {},
  authorization: string | undefined = orders.authorization,
  client = cardea.client,
) =>
  postForm(
    client,
    '/oauth/token',
    authorization,
    typeof parameters === 'string' ? parameters : { grant_type, ...parameters },
  )

const tokenOf = async (...args: Parameters<typeof ask>): Promise<string> => {
  const answer = await ask(...args)
  expect(answer.status, answer.text).toBe(200)
  return answer.body.access_token
}

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const isActive = async (token: string, client = cardea.client) => {
  const asker = await newServiceClient(cardea)
  const answer = await introspect(client, asker.authorization, { token })
  expect(answer.status).toBe(200)
  return answer.body.active
}

const expectDeadEverywhere = async (token: string) => {
  for (const client of [cardea.client, cardea.clientOf(1)]) {
    await vi.waitFor(async () => expect(await isActive(token, client)).toBe(false))
  }
}

const revoke = async (body: object) => {
  const answer = await cardea.client.post('/admin/revoke', { token: operator, body })
  expect(answer.status, answer.text).toBe(200)
}

const expectOauthError = (answer: Answer, status: number, error: string) => {
  expect(answer).toMatchObject({ status, body: { error } })
  expect(answer.body.error_description ?? '').toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/)
  expect(Object.keys(answer.body)).toEqual(['error', 'error_description'])
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

describe('the token of a service', () => {
  test('R24: says which service it is, what it may do and for whom, and that no person stands behind it', async () => {
    const answer = await ask()
    expect(answer.body).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 900,
      scope: 'orders:read orders:write',
    })
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.getSetCookie()).toEqual([])
    const options = { audience: shopAudience, clock }
    const claims = await verifiedClaims(cardea, answer.body.access_token, options)
    const iat = Math.floor(clock.nowMs() / 1000)
    expect(claims).toEqual({
      iss: cardea.config.issuer,
      sub: orders.clientId,
      client_id: orders.clientId,
      aud: shopAudience,
      iat,
      exp: iat + 900,
      jti: expect.stringMatching(/^[\w-]{22}$/),
      sid: claims.jti,
      aep: [expect.any(Number), 0, 0],
      auth_time: 0,
      amr: [],
      acr: '0',
      scope: 'orders:read orders:write',
      roles: [],
    })
    const about = await introspect(cardea.clientOf(1), orders.authorization, {
      token: answer.body.access_token,
    })
    expect(about.body).toEqual({ active: true, token_type: 'Bearer', ...claims })
  })

  test('has the scopes that were asked for, in their order and once, and never more than the client has', async () => {
    const some = await ask({ scope: 'orders:write orders:write' })
    expect(some.body.scope).toBe('orders:write')
    expect(claimsOf(some.body.access_token).scope).toBe('orders:write')
    for (const scope of ['orders:delete', 'orders:read admin', 'account', 'orders:read  x', 'é']) {
      expectOauthError(await ask({ scope }), 400, 'invalid_scope')
    }
    const plain = await newServiceClient(cardea, undefined, { audiences })
    const none = await ask({}, plain.authorization)
    expect(Object.keys(none.body)).toEqual(['access_token', 'token_type', 'expires_in'])
    expect(claimsOf(none.body.access_token).scope).toBe('')
  })

  test('R30: is for the audience that was asked for, and only for one that the client may ask for', async () => {
    for (const name of ['resource', 'audience']) {
      expect(claimsOf(await tokenOf({ [name]: mailAudience })).aud).toBe(mailAudience)
      for (const other of [cardea.config.issuer, 'https://elsewhere.example.com']) {
        expectOauthError(await ask({ [name]: other }), 400, 'invalid_target')
      }
    }
    const two = await ask({ resource: mailAudience, audience: shopAudience })
    expectOauthError(two, 400, 'invalid_target')
    const narrow = await newServiceClient(cardea)
    expect(claimsOf(await tokenOf({}, narrow.authorization)).aud).toBe(shopAudience)
    const foreign = await ask({ resource: mailAudience }, narrow.authorization)
    expectOauthError(foreign, 400, 'invalid_target')
  })

  test('a client from before there were rights is let in elsewhere and gets no token', async () => {
    const run = sqlAs(cardea.stores.migrateUrl)
    await run("UPDATE service_clients SET audiences = '{}' WHERE name = $1", [orders.name])
    expectOauthError(await ask(), 400, 'unauthorized_client')
    const answer = await introspect(cardea.client, orders.authorization, { token: 'x' })
    expect(answer.status).toBe(200)
  })

  test('R93: opens no route of people or operators, whatever its scopes are called and whomever it is for', async () => {
    const { issuer } = cardea.config
    const run = sqlAs(cardea.stores.migrateUrl)
    const grand = await newServiceClient(cardea, undefined, { scopes: ['operator', 'sessions'] })
    await run('UPDATE service_clients SET audiences = $1 WHERE name = $2', [[issuer], grand.name])
    const token = await tokenOf({ resource: issuer }, grand.authorization)
    expect(await isActive(token)).toBe(true)
    for (const [method, path] of [
      ['GET', '/account'],
      ['GET', '/sessions'],
      ['DELETE', '/sessions'],
      ['GET', '/admin/accounts'],
      ['POST', '/admin/clients'],
      ['POST', '/admin/revoke'],
    ] as const) {
      const answer = await cardea.client.send(method, path, { token })
      expect(answer, path).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
      expect(answer.headers.get('www-authenticate')).toContain('error="invalid_token"')
    }
    expect((await cardea.client.post('/logout', { token })).status).toBe(401)
    expect((await cardea.client.get('/forward-auth', { token })).status).toBe(401)
  })

  test('the names of what opens the routes of people cannot be given to a client, by the database neither', async () => {
    for (const scopes of [['account'], ['a', 'admin'], ['a b'], ['a"b'], ['a'.repeat(65)], ['']]) {
      const refused = newServiceClient(cardea, undefined, { scopes })
      await expect(refused).rejects.toMatchObject({ code: 'invalid_client_scope' })
    }
    for (const unknown of [[], ['https://elsewhere.example.com']]) {
      const refused = newServiceClient(cardea, undefined, { audiences: unknown })
      await expect(refused).rejects.toMatchObject({ code: 'unknown_client_audience' })
    }
    const run = sqlAs(cardea.stores.migrateUrl)
    await expect(run("UPDATE service_clients SET scopes = '{admin}'")).rejects.toThrow('check')
  })
})

describe('what takes it back', () => {
  test('R94: its jti, its client as sub, its signing key, everyone: introspection says so on every instance', async () => {
    const first = await tokenOf()
    await revoke({ jti: claimsOf(first).jti })
    await expectDeadEverywhere(first)
    const second = await tokenOf()
    await revoke({ sub: orders.clientId })
    await expectDeadEverywhere(second)
    const third = await tokenOf()
    expect(claimsOf(third).aep[1]).toBe(1)
    expect(await isActive(third)).toBe(true)
    await revoke({ everyone: true })
    await expectDeadEverywhere(third)
    operator = await cardea.operatorToken()
    expect(await isActive(await tokenOf())).toBe(true)
    const fourth = await tokenOf()
    const [header = ''] = fourth.split('.')
    await revoke({ kid: JSON.parse(Buffer.from(header, 'base64url').toString()).kid })
    await expectDeadEverywhere(fourth)
    operator = await cardea.operatorToken()
    await vi.waitFor(async () => expect(await isActive(await tokenOf())).toBe(true))
  })

  test('R94: a client that is disabled gets no token from the commit on, and those it has are dead', async () => {
    const token = await tokenOf()
    const other = await newServiceClient(cardea, undefined, rights)
    const answer = await cardea.client.send('PATCH', `/admin/clients/${orders.clientId}`, {
      token: operator,
      body: { status: 'disabled' },
    })
    expect(answer.status).toBe(200)
    expect(await isActive(token)).toBe(false)
    for (const client of [cardea.client, cardea.clientOf(1)]) {
      expectOauthError(await ask({}, orders.authorization, client), 401, 'invalid_client')
    }
    await expectDeadEverywhere(token)
    expect(await isActive(await tokenOf({}, other.authorization))).toBe(true)
  })

  test('a row of a client that is deleted by hand takes its tokens with it', async () => {
    const token = await tokenOf()
    const run = sqlAs(cardea.stores.migrateUrl)
    await run('DELETE FROM service_client_secrets WHERE client_id = $1', [
      Buffer.from(orders.clientId, 'base64url'),
    ])
    await run('DELETE FROM service_clients WHERE name = $1', [orders.name])
    await expectDeadEverywhere(token)
  })
})

describe('who is refused', () => {
  test('R99: without credentials, or with those of nobody, it is invalid_client with a challenge', async () => {
    const other = await newServiceClient(cardea)
    const wrong = [
      undefined,
      `Bearer ${operator}`,
      'Basic x',
      basicHeader(orders.clientId, ''),
      basicHeader(orders.clientId, other.clientSecret),
      basicHeader('A'.repeat(22), orders.clientSecret),
      basicHeader(`${orders.clientId}\u0000`, orders.clientSecret),
      basicHeader("' OR 1=1 --", orders.clientSecret),
    ]
    for (const authorization of wrong) {
      const answer = await postForm(cardea.client, '/oauth/token', authorization, { grant_type })
      expectOauthError(answer, 401, 'invalid_client')
      expect(answer.headers.get('www-authenticate')).toBe('Basic realm="cardea", charset="UTF-8"')
    }
    const asOther = await ask({ client_id: other.clientId })
    expectOauthError(asOther, 401, 'invalid_client')
  })

  test('R99: what is not in order is refused in the words of OAuth', async () => {
    const secret = orders.clientSecret
    for (const parameters of [
      '',
      'grant_type=',
      `grant_type=${grant_type}&grant_type=${grant_type}`,
      `grant_type=${grant_type}&scope=a&scope=b`,
      `grant_type=${grant_type}&client_secret=${secret}`,
      `grant_type=${grant_type}&client_assertion=x`,
      `grant_type=${grant_type}&resource=a&resource=b`,
      'grant_type=%00',
    ]) {
      expectOauthError(await ask(parameters), 400, 'invalid_request')
    }
    const asJson = await cardea.client.post('/oauth/token', {
      body: { grant_type },
      headers: { authorization: orders.authorization },
    })
    expectOauthError(asJson, 415, 'invalid_request')
    expectOauthError(await ask({ scope: 'a'.repeat(8_192) }), 413, 'invalid_request')
  })

  test('R62: a page of a foreign origin is refused with whatever credentials', async () => {
    for (const headers of [
      { origin: 'https://evil.example' },
      { 'sec-fetch-site': 'cross-site' },
    ]) {
      const answer = await cardea.client.post('/oauth/token', {
        body: `grant_type=${grant_type}`,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          authorization: orders.authorization,
          ...headers,
        },
      })
      expectOauthError(answer, 403, 'invalid_request')
    }
  })

  test('R2: password, and every other grant, is not offered, with or without credentials', async () => {
    const { email, password } = await cardea.createAccount()
    for (const grant of [
      'password',
      'Password',
      'authorization_code',
      'implicit',
      'x'.repeat(500),
    ]) {
      for (const authorization of [orders.authorization, undefined]) {
        const answer = await postForm(cardea.client, '/oauth/token', authorization, {
          grant_type: grant,
          username: email,
          password,
          client_secret: 'x',
        })
        expectOauthError(answer, 400, 'unsupported_grant_type')
      }
    }
  })

  test('R102: with another method is 405', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      for (const path of ['/oauth/token', '/oauth/revoke']) {
        const answer = await cardea.client.send(method, path)
        expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST'])
      }
    }
  })
})

test('R113: neither the secret nor the token is in the log; which client got one is', async () => {
  const token = await tokenOf()
  await vi.waitFor(() => expect(cardea.log.join('')).toContain(orders.clientId))
  const log = cardea.log.join('')
  expect(log).toContain('client_token_issued')
  const [, encoded = ''] = orders.authorization.split(' ')
  for (const secret of [orders.clientSecret, encoded, token]) expect(log).not.toContain(secret)
})
