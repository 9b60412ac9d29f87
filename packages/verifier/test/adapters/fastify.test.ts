import { connect } from 'node:http2'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import Fastify, { type FastifyPluginAsync } from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import { type CardeaOptions, cardea } from '../../src/fastify.ts'
import type { TestIssuer } from '../support/issuer.ts'
import { startIssuer } from '../support/issuer.ts'

const follow = ({ url, audience, client }: TestIssuer) => ({ issuer: url, audience, client })

const openApp = (log: (line: string) => void = () => undefined) => {
  const stream = new Writable({
    write: (line, _encoding, done) => {
      log(String(line))
      done()
    },
  })
  const app = Fastify({ logger: { stream } })
  onTestFinished(() => app.close())
  return app
}

test('the plugin makes a verifier from its options and closes it with the app', async () => {
  const issuer = await startIssuer()
  const app = openApp()
  await app.register(cardea, follow(issuer))
  app.get('/me', { onRequest: app.protect() }, (request) => request.auth.sub)
  await app.verifier.ready()
  const authorization = `Bearer ${await issuer.token()}`
  const answer = await app.inject({ url: '/me', headers: { authorization } })
  expect(answer.statusCode).toBe(200)
  await app.close()
  await expect(app.verifier.verify(await issuer.token())).rejects.toMatchObject({
    code: 'not_ready',
  })
})

test('a verifier that was handed in outlives the app', async () => {
  const issuer = await startIssuer()
  const first = openApp()
  await first.register(cardea, follow(issuer))
  const second = openApp()
  await second.register(cardea, { verifier: first.verifier })
  await second.close()
  await first.verifier.ready()
  expect(first.verifier.state()).toBe('FRESH')
})

test('a scope is guarded as a whole, and what stands outside stays open', async () => {
  const issuer = await startIssuer()
  const app = openApp()
  await app.register(cardea, { ...follow(issuer), realm: 'orders' })
  app.get('/open', () => 'open')
  const closed: FastifyPluginAsync = async (scope) => {
    scope.addHook('onRequest', scope.protect())
    scope.get('/closed', (request) => request.auth.sub)
  }
  await app.register(closed)
  expect((await app.inject('/open')).statusCode).toBe(200)
  const { statusCode, headers } = await app.inject('/closed')
  expect([statusCode, headers['www-authenticate']]).toEqual([401, 'Bearer realm="orders"'])
})

test('routes of HTTP/2 are guarded in the same way', async () => {
  const issuer = await startIssuer()
  const app = Fastify({ http2: true })
  onTestFinished(() => app.close())
  await app.register(cardea, follow(issuer))
  app.get('/me', { onRequest: app.protect() }, (request) => request.auth.sub)
  const client = connect(await app.listen({ port: 0, host: '127.0.0.1' }))
  onTestFinished(() => client.close())
  await app.verifier.ready()
  const field = `Bearer ${await issuer.token({ sub: 'AAAAAAAAAAAAAAAAAAAAAA' })}`
  const answers: string[] = []
  for (const fields of [{ authorization: field }, {}]) {
    answers.push(await text(client.request({ ':path': '/me', ...fields })))
  }
  expect(answers).toEqual(['AAAAAAAAAAAAAAAAAAAAAA', expect.stringContaining('token_missing')])
})

test('two scopes may follow two issuers', async () => {
  const issuers = [await startIssuer(), await startIssuer()]
  const app = openApp()
  for (const [place, issuer] of issuers.entries()) {
    const guarded: FastifyPluginAsync = async (scope) => {
      await scope.register(cardea, follow(issuer))
      scope.get(`/${place}`, { onRequest: scope.protect() }, () => 'in')
      await scope.verifier.ready()
    }
    await app.register(guarded)
  }
  const statuses = []
  for (const issuer of issuers) {
    const authorization = `Bearer ${await issuer.token()}`
    for (const url of ['/0', '/1']) {
      statuses.push((await app.inject({ url, headers: { authorization } })).statusCode)
    }
  }
  expect(statuses).toEqual([200, 401, 401, 200])
})

test('the claims of a route that is not protected cannot be asked for', async () => {
  const issuer = await startIssuer()
  const lines: string[] = []
  const app = openApp((line) => lines.push(line))
  await app.register(cardea, follow(issuer))
  app.get('/open', (request) => request.auth.sub)
  expect((await app.inject('/open')).statusCode).toBe(500)
  expect(lines.join('')).toContain('no protect() runs before this handler')
})

test('R98: a refusal carries the id of the request, and the log the exact reason and no token', async () => {
  const issuer = await startIssuer()
  const lines: string[] = []
  const app = openApp((line) => lines.push(line))
  await app.register(cardea, follow(issuer))
  app.get('/me', { onRequest: app.protect() }, () => 'in')
  await app.verifier.ready()
  const token = await issuer.token({ aud: 'https://other.example.com' })
  const answer = await app.inject({ url: '/me', headers: { authorization: `Bearer ${token}` } })
  const refusal = lines
    .map((line) => JSON.parse(line))
    .find(({ msg }) => msg === 'access token refused')
  expect(refusal).toMatchObject({
    code: 'token_invalid',
    reason: `for another audience, expected ${issuer.audience}, not "https://other.example.com"`,
  })
  expect(answer.json().request_id).toBe(refusal.reqId)
  expect(lines.join('')).not.toContain(token.slice(0, 40))
})

test('an option that does not exist stops the app from starting, and is named with the one that was probably meant', async () => {
  const issuer = await startIssuer()
  // As a caller without a type checker would.
  const register = (options: object) => openApp().register(cardea, options as CardeaOptions)
  const wrong = [
    [
      { ...follow(issuer), readiness: '/ready' },
      'cardea has no option readiness; did you mean readinessPath?',
    ],
    [{ ...follow(issuer), audeince: 'x' }, 'cardea has no option audeince; did you mean audience?'],
    // Beside a verifier that exists it would have no effect.
    [
      { verifier: { verify: () => undefined }, policy: 'introspect' },
      'cardea with a verifier has no option policy; it has realm, credential, allowedOrigins, readinessPath, verifier',
    ],
  ] as const
  for (const [options, message] of wrong) {
    await expect(register(options)).rejects.toThrow(new TypeError(message))
  }
})

test('options that cannot be stop the app from starting, and leave nothing running', async () => {
  const issuer = await startIssuer()
  const app = openApp()
  await expect(
    app.register(cardea, { ...follow(issuer), realm: 'a "quoted" realm' }),
  ).rejects.toThrow(TypeError)
  await expect(openApp().register(cardea, { ...follow(issuer), audience: [] })).rejects.toThrow(
    TypeError,
  )
})
