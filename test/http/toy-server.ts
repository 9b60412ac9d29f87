import { connect } from 'node:net'
import { Type } from 'typebox'
import { onTestFinished } from 'vitest'
import { type Caller, callerOf } from '../../src/http/access.ts'
import { clientFacts } from '../../src/http/client-facts.ts'
import { problemResponses } from '../../src/http/errors.ts'
import { openLog } from '../../src/http/log.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from '../../src/http/server.ts'
import { defineErrors } from '../../src/lib/app-error.ts'
import { systemClock, systemRandom } from '../../src/lib/machine.ts'

const toyErrors = defineErrors({
  store_unavailable: { status: 503, title: 'A store is away.' },
  invalid_token: { status: 401, title: 'Bad token.' },
})

const caller = (roles: readonly string[], scopes: readonly string[]): Caller => ({
  accountId: 'account',
  sessionId: 'session',
  tokenId: 'token',
  roles,
  scopes,
  audience: ['https://auth.example.com'],
})

const callers: Readonly<Record<string, Caller>> = {
  'person-token': caller([], ['account']),
  'operator-token': caller(['operator'], ['admin']),
  'operator-without-scope': caller(['operator'], []),
}

const authenticate = async (token: string): Promise<Caller> => {
  if (token === 'store-away') {
    throw toyErrors.error('store_unavailable', {
      retryAfterSeconds: 2,
      cause: new Error('connect ECONNREFUSED 10.0.0.7:5432'),
    })
  }
  if (token === 'breaks-the-check') throw new RangeError('secret detail of the check')
  const known = callers[token]
  if (known === undefined) throw toyErrors.error('invalid_token', { reason: 'session_ended' })
  return known
}

export const toyOptions: HttpServerOptions = {
  production: false,
  issuer: 'https://auth.example.com',
  version: '0.0.0',
  allowedOrigins: ['https://app.example.com'],
  trustedProxies: [],
  maxHeaderBytes: 16_384,
  log: openLog({ logLevel: 'silent', logStream: { write: () => undefined } }),
  random: systemRandom,
  time: { ...systemClock, aheadMs: () => 0, settle: () => undefined },
  authenticate,
  authenticateCookie: async () => undefined,
  operatorRight: {
    scope: 'admin',
    lackedBy: ({ roles, scopes }) => [
      ...(roles.includes('operator') ? [] : ['the role operator']),
      ...(scopes.includes('admin') ? [] : ['the scope admin']),
    ],
  },
  ownerRight: {
    scope: 'account',
    lackedBy: ({ scopes }) => (scopes.length > 0 ? [] : ['the scope account']),
  },
  authenticateService: async ({ clientId, secret }) => {
    if (clientId === 'store-away') {
      throw toyErrors.error('store_unavailable', { retryAfterSeconds: 2 })
    }
    return clientId === 'replica' && secret === 'right: wïth+signs'
  },
}

export type ToyServer = {
  readonly app: HttpServer
  readonly port: number
  readonly url: string
  /** How often any handler ran. */
  readonly handled: () => number
  /** The parsed lines of the log. */
  readonly log: () => { level: number; msg?: string; request_id?: string }[]
  /** Lets the requests that wait in `POST /wait` finish. */
  readonly release: () => void
}

const mountRoutes = (app: HttpServer, onHandled: () => void, released: Promise<void>): void => {
  app.addHook('preHandler', async (request) => {
    if (!request.is404) onHandled()
  })
  app.post(
    '/echo',
    {
      config: { access: 'public' },
      schema: {
        body: Type.Object(
          { email: Type.String({ maxLength: 20 }), note: Type.Optional(Type.Unknown()) },
          { additionalProperties: false },
        ),
        response: { 200: Type.Object({ email: Type.String() }), ...problemResponses(400, 415) },
      },
    },
    async (request) => ({ email: request.body.email }),
  )
  app.post('/plain', { config: { access: 'public' } }, async () => ({ ok: true }))
  app.get('/things/:id', { config: { access: 'public' } }, async () => ({ ok: true }))
  app.put('/settings', { config: { access: 'public' } }, async () => ({ ok: true }))
  app.delete('/things/:id', { config: { access: 'public' } }, async () => ({ ok: true }))
  app.get('/facts', { config: { access: 'public' } }, async (request) => {
    const { address, userAgent, requestId } = clientFacts(request)
    return { address, userAgent, requestId }
  })
  app.get('/me', { config: { access: 'session' } }, async (request) => callerOf(request))
  app.delete('/me', { config: { access: 'session' } }, async (request) => callerOf(request))
  app.post('/admin/me', { config: { access: 'operator' } }, async () => ({ ok: true }))
  app.get('/admin/me', { config: { access: 'operator' } }, async (request) => callerOf(request))
  app.get('/feed', { config: { access: 'service' } }, async () => ({ ok: true }))
  app.post(
    '/oauth/echo',
    {
      config: { access: 'public', protocol: 'oauth' },
      schema: {
        consumes: ['application/x-www-form-urlencoded'],
        body: Type.Object({ token: Type.String({ pattern: '^[\\x20-\\x7e]+$' }) }),
      },
    },
    async (request) => request.body,
  )
  app.post('/oauth/fails', { config: { access: 'public', protocol: 'oauth' } }, async () => {
    throw Object.assign(new Error('connection to 10.0.0.7 failed'), { parameters: ['hunter2'] })
  })
  app.post('/oauth/away', { config: { access: 'public', protocol: 'oauth' } }, async () => {
    throw toyErrors.error('store_unavailable', { retryAfterSeconds: 2 })
  })
  app.post('/oauth/service', { config: { access: 'service', protocol: 'oauth' } }, async () => ({
    ok: true,
  }))
  app.get('/nobody', { config: { access: 'public' } }, async (request) => callerOf(request))
  app.get('/health/live', { config: { access: 'public' } }, async () => ({ ok: true }))
  app.get(
    '/keys',
    { config: { access: 'public', publicDocument: true, timeless: true } },
    async (_request, reply) => {
      reply.header('cache-control', 'public, max-age=300')
      return { keys: [] }
    },
  )
  app.get('/broken', { config: { access: 'public' } }, async (_request, reply) => {
    reply.header('cache-control', 'public, max-age=300')
    throw Object.assign(new Error('connection to 10.0.0.7 failed'), { parameters: ['hunter2'] })
  })
  app.get('/away', { config: { access: 'public' } }, async () => {
    throw toyErrors.error('store_unavailable', { retryAfterSeconds: 2 })
  })
  app.post('/wait', { config: { access: 'public' } }, async () => {
    await released
    return { ok: true }
  })
}

/** A real server on a free loopback port; closed when the test ends. */
export const startToyServer = async (
  overrides: Partial<HttpServerOptions> = {},
): Promise<ToyServer> => {
  let handledCount = 0
  const lines: string[] = []
  let release = (): void => undefined
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const app = await createHttpServer({
    ...toyOptions,
    log: openLog({ logLevel: 'debug', logStream: { write: (line) => void lines.push(line) } }),
    ...overrides,
  })
  mountRoutes(
    app,
    () => {
      handledCount += 1
    },
    released,
  )
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  onTestFinished(async () => {
    release()
    app.server.closeAllConnections()
    await app.close()
  })
  return {
    app,
    port: Number(new URL(url).port),
    url,
    handled: () => handledCount,
    log: () => lines.map((line) => JSON.parse(line)),
    release,
  }
}

/** Sends bytes as they are and collects what comes back until the server closes the connection. */
export const exchangeRaw = (port: number, bytes: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    let received = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk) => {
      received += chunk
    })
    // A reset after the answer is one way of closing; what arrived before it counts.
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(received))
    socket.write(bytes, 'latin1')
  })

/** `fetch` decides about some headers itself, so tests of headers send them through this. */
export const sendRaw = async (
  port: number,
  requestLine: string,
  headers: readonly string[],
  body = '',
): Promise<{ status: number; headers: Map<string, string>; body: string }> => {
  const lines = [`${requestLine} HTTP/1.1`, ...headers, 'Connection: close']
  const answer = await exchangeRaw(port, `${lines.join('\r\n')}\r\n\r\n${body}`)
  const [head = '', ...rest] = answer.split('\r\n\r\n')
  const [statusLine = '', ...headerLines] = head.split('\r\n')
  return {
    status: Number(statusLine.split(' ')[1]),
    headers: new Map(
      headerLines.map((line) => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
      }),
    ),
    body: rest.join('\r\n\r\n'),
  }
}

export const jsonHeaders = { 'content-type': 'application/json' }
