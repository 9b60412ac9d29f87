import Fastify from 'fastify'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { cardea as guard } from '../../packages/verifier/src/fastify.ts'
import { systemClock } from '../../packages/verifier/src/system-clock.ts'
import { secretRing } from '../../src/keys/index.ts'
import { sealingKeys } from '../../src/tokens/index.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { newServiceClient } from '../support/service/service-client.ts'

const secret = 'a secret of these tests that is long enough'
const shop = 'https://shop.example.com'
const api = 'https://api.example.com'

const cardea = await startCardea({ secrets: [secret], config: { audiences: [shop, api] } })
const { clientId, clientSecret } = await newServiceClient(cardea)
const client = { id: clientId, secret: clientSecret }
afterAll(() => cardea.stop())

/** A web app that knows the service and the keys of its audience, and nothing more. */
const startApp = async (audience = shop, keysFor = audience) => {
  let ahead = 0
  const app = Fastify()
  onTestFinished(() => app.close())
  const keys = sealingKeys(secretRing([secret]), keysFor)
  await app.register(guard, {
    issuer: cardea.config.issuer,
    endpoint: cardea.instances[0]?.address ?? '',
    audience,
    client,
    clock: { ...systemClock, nowMs: () => systemClock.nowMs() + ahead },
    sealed: { keys: keys.map(({ key }) => key.toString('base64url')) },
    credential: 'sealed-cookie',
  })
  app.all('/me', { onRequest: app.protect() }, (request) => request.auth)
  app.get('/danger', { onRequest: app.protect({ maxAuthAgeSeconds: 60 }) }, () => ({}))
  await app.verifier.ready()
  const ask = async (value: string, path = '/me') => {
    const cookie = `__Host-cardea-sealed=${value}`
    const { statusCode, body } = await app.inject({ url: path, headers: { cookie } })
    const answer: Record<string, unknown> = JSON.parse(body)
    return { ...answer, status: statusCode }
  }
  return { ask, skipSeconds: (seconds: number) => (ahead += seconds * 1000) }
}

const sealedIn = ({ headers }: Answer): string => {
  const line = headers.getSetCookie().find((one) => one.startsWith('__Host-cardea-sealed='))
  return line?.split(';')[0]?.split('=')[1] ?? ''
}

const logIn = (account: TestAccount, audience = shop) =>
  cardea.client.logIn(account, { session: 'sealed', audience })

const revoke = async (body: Record<string, unknown>) => {
  const token = await cardea.operatorToken()
  const answer = await cardea.client.post('/admin/revoke', { token, body })
  expect(answer.status, answer.text).toBe(200)
}

test('a web app opens the cookie by itself and knows who it is, after a refresh too', async () => {
  const { ask } = await startApp()
  const account = await cardea.createAccount(['editor'])
  const first = await logIn(account)
  const sid = first.body.session_id
  const known = { status: 200, sub: account.id, sid, roles: ['editor'], aud: shop }
  expect(await ask(sealedIn(first))).toMatchObject(known)
  const second = await cardea.client.refresh(first.refreshToken)
  expect(await ask(sealedIn(second))).toMatchObject(known)
})

test('R73: the cookie is refused as soon as its session or its account was revoked, or its owner logged out', async () => {
  const { ask } = await startApp()
  const account = await cardea.createAccount()
  const ends = [
    ({ body }: Answer) => revoke({ sid: body.session_id, reason: 'lost telephone' }),
    () => revoke({ sub: account.id, reason: 'lost telephone' }),
    ({ refreshCookie }: Answer) => cardea.client.post('/logout', { handle: refreshCookie ?? '' }),
  ]
  for (const end of ends) {
    const answer = await logIn(account)
    expect((await ask(sealedIn(answer))).status).toBe(200)
    await end(answer)
    await expect
      .poll(() => ask(sealedIn(answer)))
      .toMatchObject({ status: 401, code: 'token_revoked' })
    expect((await cardea.client.refresh(answer.refreshToken)).status).toBe(401)
  }
})

test('a cookie for one audience opens nothing at another, both ways, and no key helps', async () => {
  const account = await cardea.createAccount()
  const cookies = new Map([
    [shop, sealedIn(await logIn(account, shop))],
    [api, sealedIn(await logIn(account, api))],
  ])
  for (const [own, other] of [
    [shop, api],
    [api, shop],
  ] as const) {
    const { ask } = await startApp(own)
    expect((await ask(cookies.get(own) ?? '')).status).toBe(200)
    const refused = { status: 401, code: 'token_invalid' }
    expect(await ask(cookies.get(other) ?? '')).toMatchObject(refused)
    // With the key of the other: its cookie opens, and says for whom it is; the cookie of one's own does not open.
    const misled = await startApp(own, other)
    for (const cookie of cookies.values()) expect(await misled.ask(cookie)).toMatchObject(refused)
  }
})

test('R54: the cookie ends with its token by the clock of the app, however long a browser keeps it', async () => {
  const { ask, skipSeconds } = await startApp()
  const sealed = sealedIn(await logIn(await cardea.createAccount()))
  skipSeconds(900)
  expect((await ask(sealed)).status).toBe(200)
  skipSeconds(31)
  expect(await ask(sealed)).toMatchObject({ status: 401, code: 'token_expired' })
})

test('a login that is too long ago is told apart from none, and a refresh does not make it newer', async () => {
  const { ask, skipSeconds } = await startApp()
  const first = await logIn(await cardea.createAccount())
  expect((await ask(sealedIn(first), '/danger')).status).toBe(200)
  skipSeconds(62)
  const tooOld = { status: 401, code: 'authentication_too_old' }
  expect(await ask(sealedIn(first), '/danger')).toMatchObject(tooOld)
  expect((await ask(sealedIn(first))).status).toBe(200)
  const second = await cardea.client.refresh(first.refreshToken)
  expect(await ask(sealedIn(second), '/danger')).toMatchObject(tooOld)
})
