import { readFileSync } from 'node:fs'
import { cardea } from '@cardea/verifier/fastify'
import Fastify from 'fastify'

const issuer = 'http://127.0.0.1:8088'
const { client_id: id, client_secret: secret } = JSON.parse(readFileSync('.data/api.json'))

const orders = [
  { id: 1, item: 'tea' },
  { id: 2, item: 'cups' },
]

const app = Fastify()
// Keys and revocations are followed in the background; a request is decided in memory, without a call to Cardea.
await app.register(cardea, {
  issuer,
  audience: issuer,
  client: { id, secret },
  readinessPath: '/ready',
})

// People: a login gives the scope `account`, which no service has.
app.get('/orders', { onRequest: app.protect({ scopes: ['account'] }) }, ({ auth }) => ({
  for: auth.sub,
  orders,
}))

// Services: the scope that the client was given, which no person has.
app.get('/report', { onRequest: app.protect({ scopes: ['orders:read'] }) }, () => ({
  count: orders.length,
}))

// Some people: a role of the account. Where a mistake is dear, Cardea itself is asked when revocations are not known.
const managersOnly = app.protect({ roles: ['manager'], policy: 'introspect' })
app.delete('/orders/:id', { onRequest: managersOnly }, ({ params }, reply) => {
  const place = orders.findIndex((order) => order.id === Number(params.id))
  if (place < 0) return reply.code(404).send({ error: 'no such order' })
  orders.splice(place, 1)
  return reply.code(204).send()
})

await app.listen({ port: 3002 })
