import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { aheadClock } from '../support/clocks/wrong-clock.ts'
import { freePort } from '../support/servers/free-port.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { startCardea } from '../support/service/cardea.ts'
import { newServiceClient } from '../support/service/service-client.ts'
import { type Sample, type SampleProgram, startSample } from './sample-program.ts'

/** The services that readers copy from the pages: each is run as printed, before a real Cardea, and asked as a person would ask it. */

const orders = 'https://orders.example.com'
const shop = 'https://shop.example.com'

const readme = 'packages/verifier/README.md'
const guide = 'docs/guides/verify-tokens.md'

const verifierOptions = `{
  issuer: 'https://auth.example.com',
  audience: '${orders}',
  client: { id: process.env['CARDEA_CLIENT_ID'] ?? '', secret: process.env['CARDEA_CLIENT_SECRET'] ?? '' },
}`

/** Around a function that takes a token and gives the claims, or throws. */
const servingVerify = `
import { createServer } from 'node:http'
createServer(async (request, response) => {
  const token = (request.headers.authorization ?? '').slice('Bearer '.length)
  const claims = await verify(token).catch(() => undefined)
  response.writeHead(claims ? 200 : 401).end(JSON.stringify({ you: claims?.sub }))
}).listen(PORT)`

type Case = Sample & {
  readonly audience: string
  readonly path: string
  /** The member of the response that is the account. */
  readonly member?: string
  /** Knows what was revoked. */
  readonly follows: boolean
}

const cases: Readonly<Record<string, Case>> = {
  "the verifier's first sample": {
    page: readme,
    holding: 'http://127.0.0.1:8088',
    audience: 'here',
    path: '/me',
    member: 'you',
    follows: true,
  },
  'the verifier with Fastify': {
    page: readme,
    holding: 'readinessPath',
    more: "await app.listen({ port: PORT, host: '127.0.0.1' })",
    audience: orders,
    path: '/orders',
    follows: true,
  },
  'the verifier with Express': {
    page: readme,
    holding: "import express from 'express'\nimport { createVerifier } from",
    audience: orders,
    path: '/orders',
    member: 'of',
    follows: true,
  },
  'the verifier with fetch': {
    page: readme,
    holding: '@cardea/verifier/fetch',
    more: `
import { createServer } from 'node:http'
createServer(async (request, response) => {
  const headers = { authorization: request.headers.authorization ?? '' }
  const found = await GET(new Request('${orders}/', { headers }))
  response.writeHead(found.status, Object.fromEntries(found.headers)).end(await found.text())
}).listen(PORT)`,
    audience: orders,
    path: '/',
    member: 'of',
    follows: true,
  },
  'the verifier in a function': {
    page: readme,
    holding: 'export const whoIs',
    more: `const verify = async (token: string) => {
  const sub = await whoIs(token)
  if (sub === undefined) throw new Error('refused')
  return { sub }
}
${servingVerify}`,
    audience: orders,
    path: '/',
    member: 'you',
    follows: true,
  },
  'the verifier that asks for a recent login': {
    page: readme,
    holding: 'guardsOf',
    more: `
import express from 'express'
import { claimsOf } from '@cardea/verifier/express'
const app = express()
app.get('/', guardsOf(createVerifier(${verifierOptions})), (request, response) => {
  response.json({ of: claimsOf(request).sub })
})
app.listen(PORT)`,
    audience: orders,
    path: '/',
    member: 'of',
    follows: true,
  },
  'the API of the guide': {
    page: 'docs/guides/api-with-tokens.md',
    holding: 'readinessPath',
    audience: orders,
    path: '/orders',
    member: 'ordersOf',
    follows: true,
  },
  'the verifier in the guide': {
    page: guide,
    holding: '@cardea/verifier/fastify',
    audience: shop,
    path: '/me',
    member: 'you',
    follows: true,
  },
  jose: {
    page: guide,
    holding: 'createRemoteJWKSet',
    more: servingVerify,
    audience: shop,
    path: '/',
    member: 'you',
    follows: false,
  },
  'jsonwebtoken with jwks-rsa': {
    page: guide,
    holding: "import jwt from 'jsonwebtoken'",
    more: servingVerify,
    audience: shop,
    path: '/',
    member: 'you',
    follows: false,
  },
  'express-oauth2-jwt-bearer': {
    page: guide,
    holding: "from 'express-oauth2-jwt-bearer'",
    audience: shop,
    path: '/me',
    member: 'you',
    follows: false,
  },
  'passport-jwt': {
    page: guide,
    holding: "from 'passport-jwt'",
    audience: shop,
    path: '/me',
    member: 'you',
    follows: false,
  },
}

const database = await freshDatabase()
const drop = database.drop
const port = await freePort()
const config = { port, issuer: `http://127.0.0.1:${port}`, audiences: [orders, shop] }
const cardea = await startCardea({ database, config })
const ahead = await startCardea({
  database,
  config: { ...config, port: 0 },
  clock: aheadClock(10_000),
})
// Its tokens live so short that by the clock of the sample they have expired 9 s before they are issued.
const behind = await startCardea({
  database,
  config: { ...config, port: 0, accessTokenSeconds: 1 },
  clock: aheadClock(-10_000),
})
const client = await newServiceClient(cardea)
const operator = await cardea.operatorToken()
afterAll(async () => {
  await ahead?.stop()
  await behind?.stop()
  await cardea?.stop()
  await drop?.()
})

const start = async (sample: Sample, more: Readonly<Record<string, string>> = {}) => {
  const { issuer } = cardea.config
  const program = await startSample(sample, {
    replace: { 'https://auth.example.com': issuer, 'http://127.0.0.1:8088': issuer, ...more },
    env: { CARDEA_CLIENT_ID: client.clientId, CARDEA_CLIENT_SECRET: client.clientSecret },
  })
  onTestFinished(program.stop)
  return program
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

const statusOf = async (program: SampleProgram, path: string, token: string): Promise<number> => {
  const response = await program.get(path, bearer(token))
  await response.text()
  return response.status
}

describe.each(Object.entries(cases))('%s', (_name, sample) => {
  test('lets a person in, with clocks 10 s apart too, and nobody with the token of another service', async () => {
    const program = await start(sample)
    const { path, member, follows } = sample
    const audience = sample.audience === 'here' ? cardea.config.issuer : sample.audience
    const account = await cardea.createAccount()
    const { accessToken: token, body } = await cardea.client.logIn(account, { audience })
    // A verifier that follows the feed answers 503 until it has read it.
    await expect.poll(() => statusOf(program, path, token)).toBe(200)
    const response = await program.get(path, bearer(token))
    const text = await response.text()
    if (member !== undefined) expect(JSON.parse(text)).toEqual({ [member]: account.id })

    for (const other of [ahead, behind]) {
      const { accessToken } = await other.client.logIn(account, { audience })
      expect(await statusOf(program, path, accessToken)).toBe(200)
    }
    const elsewhere = await cardea.client.logIn(account, {
      audience: audience === shop ? orders : shop,
    })
    expect(await statusOf(program, path, elsewhere.accessToken)).toBe(401)
    expect(await statusOf(program, path, `${token.slice(0, -8)}AAAAAAAA`)).toBe(401)

    const revoked = { token: operator, body: { sid: body.session_id } }
    expect((await cardea.client.post('/admin/revoke', revoked)).status).toBe(200)
    if (follows) await expect.poll(() => statusOf(program, path, token)).toBe(401)
  })
})

test('the rules of the samples hold: roles for some people, scopes for services', async () => {
  const [fastify, api] = [cases['the verifier with Fastify'], cases['the API of the guide']]
  if (!fastify || !api) throw new Error('no sample')
  const [first, second] = [await start(fastify), await start(api)]
  const tokenOf = async (roles: readonly string[]) => {
    const { accessToken } = await cardea.client.logIn(await cardea.createAccount(roles), {
      audience: orders,
    })
    return accessToken
  }
  const [person, admin, manager] = [
    await tokenOf([]),
    await tokenOf(['admin']),
    await tokenOf(['manager']),
  ]
  await expect.poll(() => statusOf(first, '/ready', '')).toBe(200)
  await expect.poll(() => statusOf(second, '/ready', '')).toBe(200)
  const remove = async (program: SampleProgram, token: string) =>
    (await program.send('DELETE', '/orders/1', bearer(token))).status
  expect([await remove(first, person), await remove(first, admin)]).toEqual([403, 200])
  expect([await remove(second, person), await remove(second, manager)]).toEqual([403, 204])

  const { clientId, clientSecret } = await newServiceClient(cardea, 'report', {
    scopes: ['orders:read'],
    audiences: [orders],
  })
  const service = await fetch(`${cardea.config.issuer}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
  const { access_token: token } = JSON.parse(await service.text())
  expect(await statusOf(second, '/report', token)).toBe(200)
  expect(await statusOf(second, '/report', person)).toBe(403)
  expect(await statusOf(second, '/orders', token)).toBe(403)
})

test("the verifier's sample of metrics serves its state", async () => {
  const program = await start({
    page: readme,
    holding: 'serveMetrics',
    more: `import { createVerifier } from '@cardea/verifier'\nserveMetrics(createVerifier(${verifierOptions}))`,
  })
  const metrics = async () => (await program.get('/metrics')).text()
  await expect.poll(metrics).toContain('cardea_verifier_fresh 1\n')
})
