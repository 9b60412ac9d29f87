import { once } from 'node:events'
import express, { type RequestHandler } from 'express'
import { expect, onTestFinished, test, vi } from 'vitest'
import { claimsOf, cardea as expressGuards, type Refusal } from '../../src/express.ts'
import { cardea as fetchGuards } from '../../src/fetch.ts'
import { VerifierError, type VerifyOptions } from '../../src/index.ts'
import { startServer } from '../keys/jwks-server.ts'

const verifierThat = (verify: () => Promise<never>) => ({ verify, state: () => 'FRESH' as const })

const refusing = verifierThat(async () => {
  throw new VerifierError('token_invalid')
})

const withToken = () =>
  new Request('https://orders.example.com/', { headers: { authorization: 'Bearer a.b.c' } })

test('requirements that cannot be are found when a route is made', () => {
  const wrong: readonly unknown[] = [
    { policy: 'allow' },
    { policy: { bounded: 0 } },
    { policy: { bounded: 901 } },
    { policy: { bounded: '60' } },
    { policy: null },
    { roles: 'admin' },
    { roles: [''] },
    { roles: [1] },
    { scopes: 'orders:read' },
    { scopes: ['orders:read orders:write'] },
    { scopes: ['orders"'] },
    { scopes: ['a\r\nset-cookie: b'] },
    { role: ['admin'] },
    { maxAuthAge: 300 },
    { maxAuthAgeSeconds: 0 },
    { maxAuthAgeSeconds: '300' },
    { maxAuthAgeSeconds: Number.NaN },
    { scope: ['orders:read'] },
  ]
  for (const guards of [expressGuards(refusing), fetchGuards(refusing)]) {
    for (const requirements of wrong) {
      // As a caller without a type checker would.
      const make = () => guards.protect(requirements as VerifyOptions)
      expect(make, JSON.stringify(requirements)).toThrow(TypeError)
    }
  }
})

test('an option that does not exist is named, and the one that was probably meant', () => {
  const scoped = 'protect has no option scope; did you mean scopes?'
  const aged = 'protect has no option maxAuthAge; did you mean maxAuthAgeSeconds?'
  const origins = 'cardea has no option origins; did you mean allowedOrigins?'
  const told = 'cardea has no option onRefuse; did you mean onRefusal?'
  for (const guards of [expressGuards, fetchGuards]) {
    const make = (options: unknown) => () => Reflect.apply(guards, undefined, [refusing, options])
    expect(make({ origins: ['https://app.example.com'] })).toThrow(new TypeError(origins))
    expect(make({ onRefuse: () => undefined })).toThrow(new TypeError(told))
    const { protect } = guards(refusing)
    for (const [asked, message] of [
      [{ scope: ['orders:read'] }, scoped],
      [{ maxAuthAge: 300 }, aged],
    ] as const) {
      expect(() => Reflect.apply(protect, undefined, [asked])).toThrow(new TypeError(message))
    }
  }
})

test('what is no verifier is refused at once, such as the options of one', () => {
  for (const guards of [expressGuards, fetchGuards]) {
    for (const given of [undefined, null, {}, { issuer: 'https://auth.example.com' }]) {
      expect(() => Reflect.apply(guards, undefined, [given])).toThrow(
        new TypeError('cardea takes a verifier: what createVerifier returns'),
      )
    }
  }
})

test('a realm that would break out of the challenge is refused at once', () => {
  for (const realm of ['a"b', 'a\\b', 'a\nb', 'ä', '']) {
    expect(() => expressGuards(refusing, { realm }), realm).toThrow(TypeError)
    expect(() => fetchGuards(refusing, { realm }), realm).toThrow(TypeError)
  }
})

test('a guard of sealed cookies that cannot work is refused at once', () => {
  const sealing = { ...refusing, openSealed: refusing.verify, opensSealed: true }
  const wrong: readonly unknown[] = [
    { credential: 'cookie' },
    { credential: 'sealed-cookie', allowedOrigins: 'https://app.example.com' },
    { credential: 'sealed-cookie', allowedOrigins: ['https://app.example.com/'] },
    { credential: 'sealed-cookie', allowedOrigins: ['null'] },
    { credential: 'sealed-cookie', allowedOrigins: ['*'] },
    { credential: 'sealed-cookie', allowedOrigins: ['app.example.com'] },
  ]
  for (const guards of [expressGuards, fetchGuards]) {
    for (const options of wrong) {
      const make = () => Reflect.apply(guards, undefined, [sealing, options])
      expect(make, JSON.stringify(options)).toThrow(TypeError)
    }
    // A verifier without keys would answer 500 to everyone.
    for (const verifier of [refusing, { ...sealing, opensSealed: false }]) {
      expect(() => guards(verifier, { credential: 'sealed-cookie' })).toThrow(TypeError)
    }
    guards(sealing, { credential: 'sealed-cookie', allowedOrigins: ['https://app.example.com'] })
  }
})

test('what a caller does to its requirements afterwards changes no route', async () => {
  const scopes = ['orders:read']
  const asked: (VerifyOptions | undefined)[] = []
  const { protect } = fetchGuards({
    state: () => 'FRESH',
    verify: async (_token, options) => {
      asked.push(options)
      throw new VerifierError('insufficient_scope')
    },
  })
  const guard = protect({ scopes })
  scopes.pop()
  const answer = await guard(withToken())
  expect(asked).toMatchObject([{ scopes: ['orders:read'] }])
  expect(answer).toHaveProperty('status', 403)
})

test('a refusal of another copy of the package is understood, and its text is not believed', async () => {
  const foreign = Object.assign(new Error('text of someone else'), {
    name: 'VerifierError',
    code: 'not_ready',
    status: 200,
  })
  const { protect } = fetchGuards(verifierThat(() => Promise.reject(foreign)))
  const answer = await protect()(withToken())
  if (!(answer instanceof Response)) throw new Error('it was let in')
  expect(answer.status).toBe(503)
  expect(await answer.text()).not.toContain('someone else')

  const made = Object.assign(new Error('made up'), { name: 'VerifierError', code: 'toString' })
  const told: Refusal[] = []
  const other = fetchGuards(
    verifierThat(() => Promise.reject(made)),
    { onRefusal: (refusal) => told.push(refusal) },
  )
  expect(await other.protect()(withToken())).toHaveProperty('status', 500)
  expect(told).toMatchObject([{ code: 'internal_error', error: made }])
})

test('R103: without a listener what nobody expected is one warning of the process', async () => {
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  onTestFinished(() => void process.off('warning', listen))
  const surprise = new RangeError('a surprise')
  const { protect } = fetchGuards(verifierThat(() => Promise.reject(surprise)))
  await protect()(withToken())
  await fetchGuards(refusing).protect()(withToken())
  await vi.waitFor(() => expect(warnings).toContain(surprise))
  expect(warnings).toEqual([surprise])
})

test('R103: a listener for refusals that throws changes no answer', async () => {
  const onRefusal = () => {
    throw new Error('the metrics are broken')
  }
  const warned = once(process, 'warning')
  const answer = await fetchGuards(refusing, { onRefusal }).protect()(withToken())
  expect(answer).toHaveProperty('status', 401)
  expect(await warned).toMatchObject([{ message: 'the metrics are broken' }])
})

test('the claims of a request that no guard let pass cannot be asked for', () => {
  expect(() => claimsOf({})).toThrow(TypeError)
})

test('a refusal that comes after somebody else has answered is kept back', async () => {
  let refuseNow = () => {}
  const { protect } = expressGuards(
    verifierThat(
      () =>
        new Promise((_resolve, reject) => {
          refuseNow = () => reject(new VerifierError('token_invalid'))
        }),
    ),
  )
  const app = express()
  const answerFirst: RequestHandler = (_request, response, next) => {
    next()
    response.status(504).end('too late')
  }
  app.get('/', answerFirst, protect(), (_request, response) => void response.end('in'))
  const failures: unknown[] = []
  const onFailure = (error: unknown) => void failures.push(error)
  process.on('unhandledRejection', onFailure)
  onTestFinished(() => void process.off('unhandledRejection', onFailure))
  const { url } = await startServer(app)
  const response = await fetch(url, { headers: { authorization: 'Bearer a.b.c' } })
  expect([response.status, await response.text()]).toEqual([504, 'too late'])
  refuseNow()
  // Another round trip, by which time the refusal has been dealt with.
  const again = await fetch(`${url}/nothing`)
  expect([again.status, failures]).toEqual([404, []])
})

test('R98: the id that a logger gave the request is in the refusal', async () => {
  const { protect } = expressGuards(refusing)
  const app = express()
  app.use((request, _response, next) => {
    Object.assign(request, { id: 17 })
    next()
  })
  app.get('/', protect())
  const response = await fetch((await startServer(app)).url)
  expect(await response.json()).toMatchObject({ code: 'token_missing', request_id: '17' })
})
