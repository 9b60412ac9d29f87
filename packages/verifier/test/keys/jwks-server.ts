import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http'
import { onTestFinished } from 'vitest'

export type Answer = {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

export type TestServer = {
  readonly url: string
  /** Every request that came, in order. */
  readonly requests: IncomingMessage[]
  /** How many connections were ever made. */
  readonly connections: () => number
  /** Breaks all connections; new ones are taken. */
  readonly cutAll: () => void
}

/** A real server on the loopback, gone when the test ends. What `answer` does not end stays open, as on a frozen machine. */
export const startServer = async (answer: RequestListener): Promise<TestServer> => {
  const requests: IncomingMessage[] = []
  let connections = 0
  const server = createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  }).listen(0, '127.0.0.1')
  server.on('connection', () => {
    connections += 1
  })
  await once(server, 'listening')
  onTestFinished(async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port to be had')
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    connections: () => connections,
    cutAll: () => server.closeAllConnections(),
  }
}

export const send = (
  response: ServerResponse,
  { status = 200, headers = {}, body = '' }: Answer,
) => {
  response.writeHead(status, headers)
  response.end(body)
}

/** As Cardea answers. */
export const jwks = (keys: readonly unknown[], headers: Record<string, string> = {}): Answer => ({
  headers: {
    'content-type': 'application/jwk-set+json',
    'cache-control': 'public, max-age=300',
    ...headers,
  },
  body: JSON.stringify({ keys }),
})

/** Answers every request with what `answer.now` says; undefined leaves it unanswered. */
export const startJwksServer = async (first: Answer | undefined) => {
  const answer: { now: Answer | undefined } = { now: first }
  const server = await startServer((_request, response) => {
    if (answer.now !== undefined) send(response, answer.now)
  })
  return { ...server, answer }
}
