import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { fastify } from 'fastify'
import { RedisStore } from 'fastify-session-redis-store'
import { Redis } from 'ioredis'
import { answerCalls } from '../calls.ts'

declare module 'fastify' {
  interface Session {
    account?: { readonly id: string; readonly email: string; readonly roles: readonly string[] }
  }
}

const app = fastify()
let redis: Redis | undefined

type PeerSettings = {
  readonly redisUrl: string
  /** Whether its expiry slides, as it does by default and in Cardea. Then it writes to Redis for every request. */
  readonly slides: boolean
}

/** The usual sessions of Fastify applications: the whole session as JSON in Redis, its id in a signed cookie. */
const calls = {
  start: async ({ redisUrl, slides }: PeerSettings): Promise<string> => {
    redis = new Redis(redisUrl)
    await app.register(fastifyCookie)
    await app.register(fastifySession, {
      secret: 'a secret of the bench that is long enough',
      cookie: { secure: false },
      saveUninitialized: false,
      rolling: slides,
      store: new RedisStore({ client: redis }),
    })
    app.post('/login', async (request) => {
      request.session.account = { id: request.id, email: 'person@example.com', roles: ['reader'] }
      return { ok: true }
    })
    app.get('/session', async (request, reply) => {
      if (!request.session.account) return await reply.code(401).send({ ok: false })
      return { account: request.session.account }
    })
    return await app.listen({ host: '127.0.0.1', port: 0 })
  },
}

export type PeerSessionCalls = typeof calls

answerCalls(calls, async () => {
  await app.close()
  redis?.disconnect()
})
