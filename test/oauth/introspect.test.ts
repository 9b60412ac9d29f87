import { generateKeyPair, SignJWT } from 'jose'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import {
  basicHeader,
  introspect,
  newServiceClient,
  type TestServiceClient,
} from '../support/service/service-client.ts'
import { headerOf, verifiedClaims } from '../support/service/verified-claims.ts'

const audiences = ['https://shop.example.com', 'https://mail.example.com']

const clock = fakeClock()
const cardea = await startCardea({ clock, instances: 2, config: { audiences, logLevel: 'debug' } })
const shop = await newServiceClient(cardea, 'shop')
afterAll(() => cardea.stop())

const ask = (
  parameters: Readonly<Record<string, string>> | string,
  authorization: string | undefined = shop.authorization,
  client = cardea.client,
) => introspect(client, authorization, parameters)

const logIn = async (more?: Readonly<Record<string, unknown>>) =>
  cardea.client.logIn(await cardea.createAccount(['reader']), more)

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const inactive = '{"active":false}'

/** RFC 6749 section 5.2. */
const expectOauthError = (answer: Answer, status: number, error: string) => {
  expect(answer).toMatchObject({ status, body: { error } })
  expect(answer.body.error_description ?? '').toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/)
  expect(Object.keys(answer.body)).toEqual(['error', 'error_description'])
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

describe('of a token that is good', () => {
  test('R81: a service client learns all that the token says, and as often as it asks', async () => {
    const { accessToken } = await logIn()
    const claims = await verifiedClaims(cardea, accessToken, { audience: audiences[0] ?? '' })
    const first = await ask({ token: accessToken })
    expect(first.status).toBe(200)
    expect(first.body).toEqual({ active: true, token_type: 'Bearer', ...claims })
    expect(first.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(first.headers.get('cache-control')).toBe('no-store')
    const second = await ask({ token: accessToken, token_type_hint: 'refresh_token' })
    expect(second.text).toBe(first.text)
  })

  test('it is answered whatever audience of this issuer the token is for', async () => {
    for (const audience of [...audiences, cardea.config.issuer]) {
      const { accessToken } = await logIn({ audience })
      expect((await ask({ token: accessToken })).body).toMatchObject({
        active: true,
        aud: audience,
      })
    }
  })

  test('parameters that are not known are ignored', async () => {
    const { accessToken } = await logIn()
    const answer = await ask({ token: accessToken, client_id: shop.clientId, resource: 'x' })
    expect(answer.body.active).toBe(true)
  })
})

describe('R81: of any other token a service client learns that it is not active, and nothing else', () => {
  const expectInactive = async (token: string) => {
    const answer = await ask({ token })
    expect([answer.status, answer.text]).toEqual([200, inactive])
  }

  test('R81: made up, altered or as long as the body can be', async () => {
    const { accessToken } = await logIn()
    const [header, claims, signature] = accessToken.split('.')
    const other = Buffer.from(JSON.stringify({ ...claimsOf(accessToken), roles: ['operator'] }))
    for (const token of [
      'x',
      'a.b.c',
      ' ',
      '{"active":true}',
      `${header}.${other.toString('base64url')}.${signature}`,
      `${header}.${claims}.`,
      `${accessToken}=`,
      `${accessToken} `,
      `Bearer ${accessToken}`,
      'a'.repeat(8_000),
    ]) {
      await expectInactive(token)
    }
  })

  test('R81: of another issuer, or signed with a key that is not ours under the name of ours', async () => {
    const { accessToken } = await logIn()
    const { privateKey } = await generateKeyPair('ES256')
    const forge = (claims: object) =>
      new SignJWT({ ...claimsOf(accessToken), ...claims })
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: headerOf(accessToken).kid ?? '' })
        .sign(privateKey)
    await expectInactive(await forge({}))
    await expectInactive(await forge({ iss: 'https://elsewhere.example.com' }))
  })

  test('R81: revoked in any way, on whichever instance', async () => {
    const operator = await cardea.operatorToken()
    const revocations: ((claims: { jti: string; sid: string; sub: string }) => object)[] = [
      ({ jti }) => ({ jti }),
      ({ sid }) => ({ sid }),
      ({ sub }) => ({ sub }),
    ]
    for (const target of revocations) {
      const { accessToken } = await logIn()
      expect((await ask({ token: accessToken })).body.active).toBe(true)
      const body = target(claimsOf(accessToken))
      const revoked = await cardea.client.post('/admin/revoke', { token: operator, body })
      expect(revoked.status).toBe(200)
      await expectInactive(accessToken)
      const elsewhere = () => ask({ token: accessToken }, shop.authorization, cardea.clientOf(1))
      await vi.waitFor(async () => expect((await elsewhere()).text).toBe(inactive))
    }
  })

  test('R81: expired, from the very second its exp names', async () => {
    const { accessToken } = await logIn()
    const { exp } = claimsOf(accessToken)
    clock.advance(exp * 1000 - clock.nowMs() - 1)
    expect((await ask({ token: accessToken })).body).toMatchObject({ active: true, exp })
    clock.advance(1)
    await expectInactive(accessToken)
    clock.advance(3_600_000)
    await expectInactive(accessToken)
  })

  test('R81: no access token at all: a refresh token, which stays as good as it was', async () => {
    const { refreshToken } = await logIn()
    await expectInactive(refreshToken)
    expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
  })
})

describe('whoever is no service client', () => {
  test('R99: is refused with invalid_client and challenged with Basic, whatever else it can show', async () => {
    const operator = await cardea.operatorToken()
    const other = await newServiceClient(cardea)
    for (const authorization of [
      '',
      `Bearer ${operator}`,
      'Basic x',
      basicHeader(shop.clientId, ''),
      basicHeader(shop.clientId, other.clientSecret),
      basicHeader('A'.repeat(22), shop.clientSecret),
      basicHeader(shop.clientSecret, shop.clientId),
      basicHeader(`${shop.clientId}\u0000`, shop.clientSecret),
    ]) {
      const answer = await ask({ token: operator }, authorization)
      expectOauthError(answer, 401, 'invalid_client')
      expect(answer.headers.get('www-authenticate')).toBe('Basic realm="cardea", charset="UTF-8"')
    }
  })

  test('R62: nor is a page of a foreign origin let in, with whatever credentials', async () => {
    const { accessToken } = await logIn()
    for (const headers of [
      { origin: 'https://evil.example' },
      { 'sec-fetch-site': 'cross-site' },
    ]) {
      const answer = await cardea.client.post('/oauth/introspect', {
        body: `token=${accessToken}`,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          authorization: shop.authorization,
          ...headers,
        },
      })
      expectOauthError(answer, 403, 'invalid_request')
    }
  })
})

describe('a request that is not in order', () => {
  test('R99: is refused in the words of OAuth', async () => {
    const { accessToken: token } = await logIn()
    for (const parameters of [
      '',
      'token=',
      'other=x',
      `token=${token}&token=${token}`,
      `token=${token}&token_type_hint=a&token_type_hint=b`,
      'token=%00',
      'token=a%0Ab',
      'token=%F0%9F%92%A9',
    ]) {
      expectOauthError(await ask(parameters), 400, 'invalid_request')
    }
    // A second way of authenticating could name another client.
    expectOauthError(await ask({ token, client_secret: shop.clientSecret }), 400, 'invalid_request')
    expectOauthError(await ask({ token, client_assertion: 'x' }), 400, 'invalid_request')
    expectOauthError(await ask({ token: 'a'.repeat(8_192) }), 413, 'invalid_request')
    const inQuery = await cardea.client.post(`/oauth/introspect?token=${token}`, {
      body: '',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        authorization: shop.authorization,
      },
    })
    expectOauthError(inQuery, 400, 'invalid_request')
    const asJson = await cardea.client.post('/oauth/introspect', {
      body: { token },
      headers: { authorization: shop.authorization },
    })
    expectOauthError(asJson, 415, 'invalid_request')
  })

  test('R102: with another method is 405', async () => {
    const headers = { authorization: shop.authorization }
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await cardea.client.send(method, '/oauth/introspect', { headers })
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST'])
    }
  })
})

describe('clients that come and go while others ask', () => {
  test('a client is let in on every instance once it is created, and on none five seconds after it was disabled', async () => {
    const clients = [cardea.client, cardea.clientOf(1)]
    const fleeting = await newServiceClient(cardea, 'fleeting')
    const statuses = (who: TestServiceClient) =>
      Promise.all(
        Array.from({ length: 20 }, async (_, turn) => {
          const client = clients[turn % 2] ?? cardea.client
          return (await ask({ token: 'x' }, who.authorization, client)).status
        }),
      )
    const disable = cardea.instances[1]?.core.serviceClients.disable
    expect(new Set(await statuses(fleeting))).toEqual(new Set([200]))
    const actor = { kind: 'command-line' } as const
    const [during] = await Promise.all([
      Promise.all([statuses(fleeting), statuses(shop)]),
      disable?.({ clientId: fleeting.clientId, actor }),
      newServiceClient(cardea, 'newcomer').then(async (newcomer) =>
        expect(new Set(await statuses(newcomer))).toEqual(new Set([200])),
      ),
    ])
    // Remembered on both instances, which is allowed for five seconds.
    expect(during.map((of) => new Set(of))).toEqual([new Set([200]), new Set([200])])
    clock.advance(5_000)
    expect(new Set(await statuses(fleeting))).toEqual(new Set([401]))
    expect(new Set(await statuses(shop))).toEqual(new Set([200]))
  })
})

test('R113: neither secrets of clients nor the tokens that were asked about are in the log', async () => {
  const { accessToken } = await logIn()
  await ask({ token: accessToken })
  await ask({ token: accessToken }, basicHeader(shop.clientId, 'a-secret-that-is-wrong'))
  await ask(`token=${accessToken}&token=${accessToken}`)
  const log = cardea.log.join('')
  expect(log).toContain('invalid_client')
  const [, encoded = ''] = shop.authorization.split(' ')
  for (const secret of [shop.clientSecret, encoded, accessToken, 'a-secret-that-is-wrong']) {
    expect(log).not.toContain(secret)
  }
})
