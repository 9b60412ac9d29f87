/** What a consumer writes; compiled against the packed declarations, as an ES module and as CommonJS. */
export const mustCompile = `
import express from 'express'
import Fastify from 'fastify'
import {
  type AccessTokenClaims, createVerifier, type StalePolicy, type VerificationKey, type Verifier, VerifierError,
} from '@cardea/verifier'
import { claimsOf, cardea as expressGuards } from '@cardea/verifier/express'
import { cardea as fastifyPlugin } from '@cardea/verifier/fastify'
import { cardea as fetchGuards } from '@cardea/verifier/fetch'
import { createReplica, type Replica } from '@cardea/verifier/replica'
import { decodeFeedJson, type FeedPage } from '@cardea/verifier/wire'

const policies: StalePolicy[] = ['deny', 'introspect', 'accept-until-exp', { bounded: 60 }]
const verifier: Verifier = createVerifier({ issuer: 'https://a.example', audience: ['b', 'c'], revocations: 'off' })

export const check = async (token: string): Promise<AccessTokenClaims | number> => {
  const signal = AbortSignal.timeout(1000)
  await verifier.ready(signal)
  try {
    return await verifier.verify(token, { policy: policies[0], roles: ['admin'], scopes: ['orders:read'] })
  } catch (error) {
    if (error instanceof VerifierError && error.code === 'token_revoked') return error.status
    throw error
  }
}

const opening = createVerifier({
  issuer: 'https://a.example', audience: 'b', revocations: 'off', sealed: { keys: ['A'.repeat(43)] },
})
export const open = async (value: string): Promise<string> =>
  opening.opensSealed ? (await opening.openSealed(value, { maxAuthAgeSeconds: 300 })).sub : ''
expressGuards(opening, { credential: 'sealed-cookie', allowedOrigins: ['https://a.example'] }).protect()
fetchGuards(opening, { credential: 'sealed-cookie' }).protect({ maxAuthAgeSeconds: 300 })

verifier.on('snapshot', ({ entries, reason }) => [entries * 2, reason === 'gap'])

export const fastify = async () => {
  const app = Fastify()
  await app.register(fastifyPlugin, { issuer: 'https://a.example', audience: 'b', client: { id: 'c', secret: 'd' } })
  app.get<{ Params: { id: string } }>(
    '/orders/:id',
    { onRequest: app.protect({ policy: { bounded: 1 } }), preHandler: [app.protect()] },
    (request) => [request.params.id, request.auth.aep[1] + 1, app.verifier.stats().keys],
  )
  const other = Fastify({ http2: true })
  await other.register(fastifyPlugin, { verifier: opening, realm: 'orders', credential: 'sealed-cookie' })
  other.get('/', { onRequest: other.protect() }, (request) => request.auth.sub)
}

const { protect, readiness } = expressGuards(verifier, { onRefusal: ({ code, status }) => code.length + status })
export const app = express()
app.get('/ready', readiness)
app.use('/admin', protect({ roles: ['admin'] }))
app.get('/orders/:id', protect(), (request, response) => { response.json([request.params.id, claimsOf(request).sub]) })

export const handle = async (request: Request): Promise<Response> => {
  const found = await fetchGuards(verifier).protect()(request)
  return found instanceof Response ? found : new Response(found.claims.sub)
}

export const keys: VerificationKey[] = []
export const follow = (page: FeedPage): Replica =>
  createReplica({
    source: { snapshot: async () => page, changes: async () => decodeFeedJson('{}') },
    clock: { nowMs: () => 0, monotonicMs: () => 0, sleep: async () => {} },
    fraction: () => 0,
  })
`

/** Each line that ends in a code must be refused with that code, and no other line. */
export const mustNotCompile = `
import Fastify from 'fastify'
import { createVerifier, VerifierError } from '@cardea/verifier'
import { cardea as expressGuards } from '@cardea/verifier/express'
import { cardea as fastifyPlugin } from '@cardea/verifier/fastify'
import { cardea as fetchGuards } from '@cardea/verifier/fetch'
import {} from '@cardea/verifier/errors' // TS2307
import {} from '@cardea/verifier/dist/esm/index.js' // TS2307

const issuer = 'https://auth.example.com'
const client = { id: 'orders', secret: 'secret' }
createVerifier({ issuer, client }) // TS2345
createVerifier({ audience: 'orders', client }) // TS2345
createVerifier({ issuer, audience: 'orders', client: 'secret' }) // TS2322
createVerifier({ issuer, audience: 'orders', client, policy: 'allow' }) // TS2322
createVerifier({ issuer, audience: 'orders', client, policy: { bounded: '60' } }) // TS2322
createVerifier({ issuer, audience: 'orders', client, revocations: false }) // TS2322
createVerifier({ issuer, audience: 'orders', client, polcy: 'deny' }) // TS2561

const verifier = createVerifier({ issuer, audience: 'orders', client })
verifier.verify('token', { role: ['admin'] }) // TS2561
verifier.verify('token', { roles: 'admin' }) // TS2322
verifier.verify('token', { maxAuthAge: 300 }) // TS2353
createVerifier({ issuer, audience: 'orders', client, sealed: ['key'] }) // TS2322
verifier.verify('token').sub // TS2339
verifier.on('stale', () => undefined) // TS2345
new VerifierError('token_stolen') // TS2345

const claims = await verifier.verify('token')
claims.sub = 'someone else' // TS2540
claims.roles.push('admin') // TS2339
claims.aep[0] = 0 // TS2540
claims.email // TS2339

const app = Fastify()
await app.register(fastifyPlugin, { issuer, audience: 'orders', client, policy: 'never' }) // TS2769
app.get('/', { onRequest: app.protect({ policy: 'never' }) }, (request) => request.auth.sub) // TS2322
app.get('/', (request) => { request.auth = claims }) // TS2540
expressGuards(verifier, { credential: 'cookie' }) // TS2322
expressGuards(verifier).protect({ scope: ['orders:read'] }) // TS2561
const found = await fetchGuards(verifier).protect()(new Request(issuer))
found.claims // TS2339
`
