import { afterAll, expect, onTestFinished, test } from 'vitest'
import { sendRaw } from '../http/toy-server.ts'
import { startCardea } from '../support/service/cardea.ts'
import { newServiceClient } from '../support/service/service-client.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const path = '/.well-known/oauth-authorization-server'
const issuer = 'https://auth.example.com'

const cardea = await startCardea({
  config: { issuer, audiences: [issuer], trustedProxies: ['127.0.0.1/32'] },
})
afterAll(() => cardea.stop())

test('R92: the issuer is the configured one byte for byte, and the addresses are below it', async () => {
  const answer = await cardea.client.get(path)
  expect(answer.status).toBe(200)
  expect(answer.body).toEqual({
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    response_types_supported: [],
    grant_types_supported: ['client_credentials', 'refresh_token'],
    token_endpoint: `${issuer}/oauth/token`,
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
    revocation_endpoint: `${issuer}/oauth/revoke`,
    revocation_endpoint_auth_methods_supported: [
      'client_secret_basic',
      'client_secret_post',
      'none',
    ],
    introspection_endpoint: `${issuer}/oauth/introspect`,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    id_token_signing_alg_values_supported: ['ES256'],
  })
  expect(new URL(answer.body.issuer).search + new URL(answer.body.issuer).hash).toBe('')
})

test('R92: a token names the very issuer of the metadata, and its keys are served where the metadata says', async () => {
  const { accessToken } = await cardea.client.logIn(await cardea.createAccount())
  expect((await verifiedClaims(cardea, accessToken)).iss).toBe(issuer)
  const { pathname } = new URL((await cardea.client.get(path)).body.jwks_uri)
  const jwks = await cardea.client.get(pathname)
  // The one that signs, and the next one.
  expect(jwks.body.keys).toHaveLength(2)
})

test('R92: introspection, revocation and tokens are where the metadata says, and take the authentication that it names', async () => {
  const {
    introspection_endpoint: endpoint,
    revocation_endpoint: revocation,
    token_endpoint: tokens,
  } = (await cardea.client.get(path)).body
  const { authorization } = await newServiceClient(cardea)
  const headers = {
    authorization,
    'content-type': 'application/x-www-form-urlencoded',
    'x-forwarded-proto': 'https',
  }
  const { pathname } = new URL(endpoint)
  const answer = await cardea.client.post(pathname, { headers, body: 'token=x' })
  expect([answer.status, answer.text]).toEqual([200, '{"active":false}'])
  const gone = await cardea.client.post(new URL(revocation).pathname, { headers, body: 'token=x' })
  expect([gone.status, gone.text]).toEqual([200, '{}'])
  const body = 'grant_type=client_credentials'
  const granted = await cardea.client.post(new URL(tokens).pathname, { headers, body })
  expect((await verifiedClaims(cardea, granted.body.access_token)).iss).toBe(issuer)
})

test('lists the algorithms of the published keys', async () => {
  const other = await startCardea({ config: { signingAlgorithm: 'RS256' } })
  onTestFinished(() => other.stop())
  const listed = async () =>
    (await other.client.get(path)).body.id_token_signing_alg_values_supported
  const ofKeys = async () => {
    const { keys } = (await other.client.get('/.well-known/jwks.json')).body
    return new Set(keys.map(({ alg }: { alg: string }) => alg))
  }
  expect(await listed()).toEqual(['RS256'])
  expect(new Set(await listed())).toEqual(await ofKeys())
})

test('R92: nothing in it depends on Host, nor on what a proxy forwards of it', async () => {
  const expected = (await cardea.client.get(path)).text
  const port = Number(new URL(cardea.client.address).port)
  for (const headers of [
    ['Host: evil.example'],
    ['Host: a', 'X-Forwarded-Host: evil.example', 'X-Forwarded-Proto: http', 'X-Forwarded-Port: 1'],
    ['Host: a', 'Forwarded: host=evil.example;proto=http'],
  ]) {
    const answer = await sendRaw(port, `GET ${path}`, headers)
    expect(answer.status).toBe(200)
    expect(answer.body).toContain(expected)
  }
})

test('R66, R101: any page may read it, without credentials, and caches may keep it for five minutes', async () => {
  const answer = await cardea.client.get(path, { headers: { origin: 'https://anywhere.example' } })
  expect(answer.headers.get('access-control-allow-origin')).toBe('*')
  expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
  expect(answer.headers.get('cache-control')).toBe('public, max-age=300')
  expect(answer.headers.getSetCookie()).toEqual([])
})

test('R102: it answers to GET and HEAD only', async () => {
  expect((await cardea.client.send('HEAD', path)).status).toBe(200)
  for (const method of ['POST', 'PUT', 'DELETE']) {
    const answer = await cardea.client.send(method, path)
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')).toBe('GET, HEAD')
  }
})
