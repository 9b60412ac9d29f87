import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { AuthorizationCode, ClientCredentials, type ModuleOptions } from 'simple-oauth2'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { createVerifier } from '../../packages/verifier/src/index.ts'
import { freePort } from '../support/servers/free-port.ts'
import { startCardea } from '../support/service/cardea.ts'
import { newServiceClient } from '../support/service/service-client.ts'

/** Libraries that know OAuth and nothing of Cardea, with nothing but the issuer's address. */

const audience = 'https://orders.example.com'

const port = await freePort()
const issuer = new URL(`http://127.0.0.1:${port}`)
const cardea = await startCardea({ config: { port, issuer: issuer.origin, audiences: [audience] } })
const service = await newServiceClient(cardea, 'orders', {
  scopes: ['orders:read', 'orders:write'],
})
afterAll(() => cardea.stop())

const onPhone = async () => cardea.client.logIn(await cardea.createAccount(), { delivery: 'body' })

describe('openid-client', () => {
  const options: openid.DiscoveryRequestOptions = {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests],
  }

  const discover = (clientId: string, authentication: openid.ClientAuth) =>
    openid.discovery(issuer, clientId, undefined, authentication, options)

  test('R92: with nothing but an id and a secret, which it sends in the form then, a service does all it may', async () => {
    const config = await openid.discovery(
      issuer,
      service.clientId,
      service.clientSecret,
      undefined,
      options,
    )
    expect(config.serverMetadata().id_token_signing_alg_values_supported).toEqual(['ES256'])
    const granted = await openid.clientCredentialsGrant(config, { scope: 'orders:read' })
    const about = await openid.tokenIntrospection(config, granted.access_token)
    expect(about).toMatchObject({ active: true, sub: service.clientId })
    await openid.tokenRevocation(config, granted.access_token)
    expect(await openid.tokenIntrospection(config, granted.access_token)).toEqual({ active: false })
    const wrong = await openid.discovery(issuer, service.clientId, 'wrong', undefined, options)
    await expect(openid.clientCredentialsGrant(wrong)).rejects.toMatchObject({ status: 401 })
  })

  test('R48: with nothing but the id of native apps, a person refreshes', async () => {
    const config = await openid.discovery(issuer, 'first-party', undefined, undefined, options)
    const { refreshToken } = await onPhone()
    expect(await openid.refreshTokenGrant(config, refreshToken)).toMatchObject({ scope: 'account' })
  })

  test('R92: finds everything by the metadata; a service gets a token, asks about it, and takes it back', async () => {
    const config = await discover(service.clientId, openid.ClientSecretBasic(service.clientSecret))
    const granted = await openid.clientCredentialsGrant(config, {
      scope: 'orders:read',
      resource: audience,
    })
    expect(granted).toMatchObject({ token_type: 'bearer', expires_in: 900, scope: 'orders:read' })
    const about = await openid.tokenIntrospection(config, granted.access_token)
    expect(about).toMatchObject({ active: true, sub: service.clientId, scope: 'orders:read' })
    await openid.tokenRevocation(config, granted.access_token)
    await openid.tokenRevocation(config, granted.access_token)
    expect(await openid.tokenIntrospection(config, granted.access_token)).toEqual({ active: false })
  })

  test('R92: a native app refreshes, and ends its session', async () => {
    const config = await discover('first-party', openid.None())
    const { refreshToken } = await onPhone()
    const next = await openid.refreshTokenGrant(config, refreshToken)
    expect(next).toMatchObject({ token_type: 'bearer', scope: 'account' })
    expect(next.refresh_token).not.toBe(refreshToken)
    await openid.tokenRevocation(config, next.refresh_token ?? '')
    await expect(openid.refreshTokenGrant(config, next.refresh_token ?? '')).rejects.toMatchObject({
      error: 'invalid_grant',
      status: 400,
    })
  })

  test('R99: understands every refusal', async () => {
    const config = await discover(service.clientId, openid.ClientSecretBasic(service.clientSecret))
    const { clientCredentialsGrant: grant, genericGrantRequest: other } = openid
    const refusals = [
      [() => grant(config, { scope: 'admin' }), 'invalid_scope'],
      [() => grant(config, { resource: 'https://x.example' }), 'invalid_target'],
      [() => other(config, 'password', {}), 'unsupported_grant_type'],
    ] as const
    for (const [refused, error] of refusals) {
      await expect(refused()).rejects.toMatchObject({ error, status: 400 })
    }
    const wrong = await discover(service.clientId, openid.ClientSecretBasic('wrong'))
    await expect(openid.clientCredentialsGrant(wrong)).rejects.toMatchObject({
      cause: [{ scheme: 'basic', parameters: { realm: 'cardea' } }],
    })
  })
})

describe.each(['header', 'body'] as const)('simple-oauth2, the secret in the %s', (method) => {
  const settings = (id: string, secret: string): ModuleOptions => ({
    client: { id, secret },
    auth: { tokenHost: issuer.origin, tokenPath: '/oauth/token', revokePath: '/oauth/revoke' },
    options: { authorizationMethod: method },
  })

  test('R48: a service gets a token and takes it back; a wrong secret is refused', async () => {
    const client = new ClientCredentials(settings(service.clientId, service.clientSecret))
    const granted = await client.getToken({ scope: 'orders:read' })
    expect(granted.token).toMatchObject({ token_type: 'Bearer', scope: 'orders:read' })
    await granted.revoke('access_token')
    const wrong = new ClientCredentials(settings(service.clientId, 'wrong'))
    await expect(wrong.getToken({})).rejects.toMatchObject({
      output: { statusCode: 401 },
      data: { payload: { error: 'invalid_client' } },
    })
  })

  test('R48: a native app, with an empty secret, refreshes and ends its session', async () => {
    const { accessToken, refreshToken } = await onPhone()
    const client = new AuthorizationCode(settings('first-party', ''))
    const held = client.createToken({ access_token: accessToken, refresh_token: refreshToken })
    const next = await held.refresh()
    expect(next.token).toMatchObject({ token_type: 'Bearer', refresh_token: expect.any(String) })
    await next.revokeAll()
    await expect(next.refresh()).rejects.toMatchObject({
      data: { payload: { error: 'invalid_grant' } },
    })
  })
})

describe('oauth4webapi', () => {
  const insecure = { [oauth.allowInsecureRequests]: true }

  const server = async (): Promise<oauth.AuthorizationServer> => {
    const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    return oauth.processDiscoveryResponse(issuer, found)
  }

  test('R24: a service gets a token, and the library takes it for an RFC 9068 access token', async () => {
    const as = await server()
    const client = { client_id: service.clientId }
    const answer = await oauth.clientCredentialsGrantRequest(
      as,
      client,
      oauth.ClientSecretBasic(service.clientSecret),
      { scope: 'orders:write' },
      insecure,
    )
    const { access_token: token } = await oauth.processClientCredentialsResponse(as, client, answer)
    const request = new Request('https://orders.example.com/', {
      headers: { authorization: `Bearer ${token}` },
    })
    const claims = await oauth.validateJwtAccessToken(as, request, audience, insecure)
    expect(claims).toMatchObject({ sub: service.clientId, client_id: service.clientId })
  })

  test('R92: with the secret in the form, a service gets a token and asks about it', async () => {
    const as = await server()
    const client = { client_id: service.clientId }
    const inForm = oauth.ClientSecretPost(service.clientSecret)
    const answer = await oauth.clientCredentialsGrantRequest(as, client, inForm, {}, insecure)
    const { access_token: token } = await oauth.processClientCredentialsResponse(as, client, answer)
    const asked = await oauth.introspectionRequest(as, client, inForm, token, insecure)
    expect(await oauth.processIntrospectionResponse(as, client, asked)).toMatchObject({
      active: true,
      client_id: service.clientId,
    })
  })

  test('R69: revocation of what it cannot revoke is an error that the library knows', async () => {
    const as = await server()
    const client = { client_id: 'first-party' }
    const browser = await cardea.client.logIn(await cardea.createAccount())
    const answer = await oauth.revocationRequest(
      as,
      client,
      oauth.None(),
      browser.refreshToken,
      insecure,
    )
    await expect(oauth.processRevocationResponse(answer)).rejects.toMatchObject({
      error: 'unsupported_token_type',
    })
  })
})

describe('@cardea/verifier', () => {
  test('R73: accepts the token of a service by its scope, and refuses it once the service is revoked, without a call', async () => {
    const follower = await newServiceClient(cardea)
    const verifier = createVerifier({
      issuer: issuer.origin,
      audience,
      client: { id: follower.clientId, secret: follower.clientSecret },
      allowInsecureHttp: true,
    })
    onTestFinished(() => verifier.close())
    await verifier.ready(AbortSignal.timeout(10_000))
    const config = await openid.discovery(
      issuer,
      service.clientId,
      undefined,
      openid.ClientSecretBasic(service.clientSecret),
      { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] },
    )
    const { access_token: token } = await openid.clientCredentialsGrant(config)
    const claims = await verifier.verify(token, { scopes: ['orders:read'] })
    expect(claims).toMatchObject({ sub: service.clientId, roles: [], amr: [] })
    const asPerson = [{ roles: ['reader'] }, { scopes: ['account'] }, { maxAuthAgeSeconds: 900 }]
    for (const demand of asPerson) {
      await expect(verifier.verify(token, demand), JSON.stringify(demand)).rejects.toThrow()
    }
    const operator = await cardea.client.logIn(await cardea.createAccount(['operator']), {
      audience: issuer.origin,
    })
    const revoked = await cardea.client.post('/admin/revoke', {
      token: operator.accessToken,
      body: { sub: service.clientId },
    })
    expect(revoked.status).toBe(200)
    await expect.poll(() => verifier.verify(token).catch(({ code }) => code)).toBe('token_revoked')
    const { access_token: next } = await openid.clientCredentialsGrant(config)
    expect((await verifier.verify(next)).sub).toBe(service.clientId)
  })
})
