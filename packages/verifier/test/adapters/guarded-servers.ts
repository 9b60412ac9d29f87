import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import express from 'express'
import Fastify from 'fastify'
import { onTestFinished } from 'vitest'
import {
  claimsOf,
  type ExpressOptions,
  cardea as expressGuards,
  type OnRefusal,
} from '../../src/express.ts'
import { cardea as fastifyPlugin } from '../../src/fastify.ts'
import { cardea as fetchGuards } from '../../src/fetch.ts'
import type { AccessTokenClaims, Verifier, VerifyOptions } from '../../src/index.ts'
import { startServer } from '../keys/jwks-server.ts'

/** The routes that every server has, and what they ask for. */
export const routes: Readonly<Record<string, VerifyOptions>> = {
  '/orders': {},
  '/scoped': { scopes: ['orders:read', 'orders:write'] },
  '/admin': { roles: ['admin', 'auditor'] },
  '/bounded': { policy: { bounded: 60 } },
  '/introspect': { policy: 'introspect' },
  '/until-exp': { policy: 'accept-until-exp' },
  '/recent': { maxAuthAgeSeconds: 300 },
}

export type GuardedServer = {
  readonly url: string
  /** What was logged, or told, of faults that nobody expected. */
  readonly surprises: readonly unknown[]
}

/** Of the guards; those of the adapters for the ordinary tests. */
export type ServedOptions = Pick<ExpressOptions, 'allowedOrigins' | 'credential'>

/** Starts a server over real HTTP, which ends with the test, whose `routes` answer with the claims of the caller, and `/ready`. */
export type StartServer = (verifier: Verifier, options?: ServedOptions) => Promise<GuardedServer>

const collect = (): { surprises: unknown[]; onRefusal: OnRefusal } => {
  const surprises: unknown[] = []
  const onRefusal: OnRefusal = ({ code, error }) => {
    if (code === 'internal_error') surprises.push(error)
  }
  return { surprises, onRefusal }
}

const startFastify: StartServer = async (verifier, options = {}) => {
  const surprises: unknown[] = []
  const write = (line: string) => {
    const { level, msg } = JSON.parse(line)
    if (level >= 50) surprises.push(msg)
  }
  const app = Fastify({ logger: { stream: { write } } })
  await app.register(fastifyPlugin, { verifier, readinessPath: '/ready', ...options })
  for (const [path, requirements] of Object.entries(routes)) {
    app.all(path, { onRequest: app.protect(requirements) }, (request) => request.auth)
  }
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  onTestFinished(() => app.close())
  return { url, surprises }
}

const startExpress: StartServer = async (verifier, options = {}) => {
  const { surprises, onRefusal } = collect()
  const { protect, readiness } = expressGuards(verifier, { onRefusal, ...options })
  const app = express()
  app.use(express.urlencoded())
  app.get('/ready', readiness)
  for (const [path, requirements] of Object.entries(routes)) {
    app.all(path, protect(requirements), (request, response) => {
      response.json(claimsOf(request))
    })
  }
  return { ...(await startServer(app)), surprises }
}

/** Without any framework, as Connect, Polka and others call middleware. */
const startPlain: StartServer = async (verifier, options = {}) => {
  const { surprises, onRefusal } = collect()
  const { protect, readiness } = expressGuards(verifier, { onRefusal, ...options })
  const guards = new Map(
    Object.entries(routes).map(([path, requirements]) => [path, protect(requirements)]),
  )
  const server = await startServer((request, response) => {
    const path = request.url?.split('?', 1).join('') ?? ''
    const guard = guards.get(path)
    if (guard === undefined) return readiness(request, response)
    guard(request, response, () => response.end(JSON.stringify(claimsOf(request))))
  })
  return { ...server, surprises }
}

const asRequest = async (message: IncomingMessage): Promise<Request> => {
  const headers = new Headers()
  const raw = message.rawHeaders
  raw.forEach((name, place) => {
    if (place % 2 === 0) headers.append(name, raw[place + 1] ?? '')
  })
  const method = message.method ?? 'GET'
  const body = await text(message)
  const init = { method, headers, ...(method !== 'GET' && { body }) }
  return new Request(`http://${message.headers.host}${message.url}`, init)
}

const startFetch: StartServer = async (verifier, options = {}) => {
  const { surprises, onRefusal } = collect()
  const { protect, readiness } = fetchGuards(verifier, { onRefusal, ...options })
  const guards = new Map(
    Object.entries(routes).map(([path, requirements]) => [path, protect(requirements)]),
  )
  const handle = async (request: Request): Promise<Response> => {
    const guard = guards.get(new URL(request.url).pathname)
    if (guard === undefined) return readiness()
    const found: { readonly claims: AccessTokenClaims } | Response = await guard(request)
    return found instanceof Response ? found : Response.json(found.claims)
  }
  const server = await startServer(async (message, response) => {
    const { status, headers, body } = await handle(await asRequest(message))
    response.writeHead(status, Object.fromEntries(headers))
    response.end(body === null ? '' : Buffer.from(await new Response(body).arrayBuffer()))
  })
  return { ...server, surprises }
}

export const servers: Readonly<Record<string, StartServer>> = {
  Fastify: startFastify,
  Express: startExpress,
  'node:http': startPlain,
  fetch: startFetch,
}
