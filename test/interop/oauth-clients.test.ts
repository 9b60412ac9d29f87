import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LanguageName } from '../support/programs/foreign-languages.ts'
import type { ForeignProcess } from '../support/programs/foreign-process.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { newServiceClient, type TestServiceClient } from '../support/service/service-client.ts'
import { decodePart } from './bad-tokens.ts'
import { runGuide } from './guide-code.ts'
import { shop } from './libraries.ts'

/** OAuth libraries of other languages, which know nothing of Cardea but its address. */
const clients: readonly (readonly [name: string, language: LanguageName, driver: string])[] = [
  ['Python, requests-oauthlib', 'python', 'oauth.py'],
  ['Ruby, oauth2', 'ruby', 'oauth.rb'],
  ['Go, x/oauth2', 'go', 'oauth.go'],
]

const places: Readonly<Record<string, string>> = {
  client_secret_basic: 'header',
  client_secret_post: 'body',
}

let cardea: Cardea
let issuer: string
let service: TestServiceClient
/** Where Cardea takes a secret, as its metadata says. */
let secretPlaces: readonly string[]

beforeAll(async () => {
  const port = await freePort()
  issuer = `http://127.0.0.1:${port}`
  cardea = await startCardea({ config: { port, issuer, audiences: [shop] } })
  service = await newServiceClient(cardea, 'orders', { scopes: ['orders:read', 'orders:write'] })
  const { body } = await cardea.client.get('/.well-known/oauth-authorization-server')
  const methods: string[] = body.token_endpoint_auth_methods_supported
  secretPlaces = methods.flatMap((method) => places[method] ?? [])
})
afterAll(() => cardea?.stop())

describe.each(clients)('%s', (_name, language, driver) => {
  let library: ForeignProcess

  beforeAll(async () => {
    library = await runGuide(language, driver, [])
  })
  afterAll(async () => {
    await library?.stop()
  })

  const tokenFor = (changes: Record<string, unknown> = {}) =>
    library.ask({
      do: 'service',
      issuer,
      id: service.clientId,
      secret: service.clientSecret,
      scope: 'orders:read',
      place: 'header',
      ...changes,
    })

  test('R92: a service gets a token, wherever the metadata lets the secret be', async () => {
    expect(secretPlaces).toContain('header')
    for (const place of secretPlaces) {
      const told = await tokenFor({ place })
      expect(told, place).toHaveProperty('access_token')
      const claims = decodePart(told.access_token, 1)
      expect(claims).toMatchObject({ sub: service.clientId, scope: 'orders:read', aud: shop })
    }
  })

  test('R99: a wrong secret, and a scope that the service does not have, are refusals that it understands', async () => {
    for (const place of secretPlaces) {
      expect(await tokenFor({ place, secret: 'wrong' })).toEqual({ error: 'invalid_client' })
      expect(await tokenFor({ place, scope: 'admin' })).toEqual({ error: 'invalid_scope' })
    }
  })

  test('R92: a native app refreshes when its token has expired, and keeps the new refresh token', async () => {
    const account = await cardea.createAccount()
    const { refreshToken } = await cardea.client.logIn(account, { delivery: 'body' })
    const url = `${issuer}/account`
    const first = { do: 'app', issuer, id: 'first-party', url, refreshToken }
    const told = await library.ask(first)
    expect(told).toMatchObject({ status: 200, access_token: expect.any(String) })
    expect(decodePart(told.access_token, 1)['sub']).toBe(account.id)
    expect(told.refresh_token).not.toBe(refreshToken)
    const again = await library.ask({ ...first, refreshToken: told.refresh_token })
    expect(again).toMatchObject({ status: 200 })
    await cardea.client.post('/logout', { body: { refresh_token: again.refresh_token } })
    expect(await library.ask({ ...first, refreshToken: again.refresh_token })).toEqual({
      error: 'invalid_grant',
    })
  })
})
