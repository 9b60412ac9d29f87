import { fastify } from 'fastify'
import { answerCalls } from '../calls.ts'

const app = fastify()
let body = Buffer.alloc(0)
let headers: Record<string, string> = {}

// No hooks, no schema, no log: the maximum of the framework for these bytes.
app.get('/', (_request, reply) => reply.type('application/json').send(body))
app.get('/with-headers', (_request, reply) => reply.headers(headers).send(body))

const calls = {
  /** The response, and the headers that `/with-headers` adds. */
  start: async (answer: { body: Buffer; headers: Record<string, string> }): Promise<string> => {
    body = Buffer.from(answer.body)
    headers = answer.headers
    return await app.listen({ host: '127.0.0.1', port: 0 })
  },
}

export type BareRouteCalls = typeof calls

answerCalls(calls, async () => await app.close())
