import { readFileSync } from 'node:fs'
import { cardea } from '@cardea/verifier/fastify'
import Fastify from 'fastify'

const issuer = 'http://127.0.0.1:8088'
const { client_id: id, client_secret: secret } = JSON.parse(readFileSync('.data/orders.json'))
const app = Fastify()
await app.register(cardea, { issuer, audience: issuer, client: { id, secret } })
app.get('/orders', { onRequest: app.protect() }, (request) => ({ ordersOf: request.auth.sub }))
await app.listen({ port: 3000 })
