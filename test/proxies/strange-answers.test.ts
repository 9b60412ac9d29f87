import type { RequestListener } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type EchoBackend, startEchoBackend } from '../support/programs/echo-backend.ts'
import type { RunningProxy } from '../support/programs/proxy-process.ts'
import { proxyNames, startReverseProxy } from '../support/programs/reverse-proxies.ts'
import { type HttpServer, serveHttp } from '../support/servers/http-server.ts'
import { startBrowser } from './browser.ts'

/** What listens where the proxy believes Cardea to be: something broken, or another server altogether. */
let impostor: HttpServer
let answer: RequestListener
let asked: { method: string | undefined; url: string | undefined; bodyBytes: number }[] = []
let app: EchoBackend

beforeAll(async () => {
  impostor = await serveHttp((request, response) => {
    let bodyBytes = 0
    request.on('data', (chunk: Buffer) => {
      bodyBytes += chunk.length
    })
    request.on('end', () => {
      asked.push({ method: request.method, url: request.url, bodyBytes })
      answer(request, response)
    })
  })
  app = await startEchoBackend()
})

afterAll(async () => {
  await app.stop()
  await impostor.stop()
})

beforeEach(() => {
  asked = []
})

const plainly =
  (status: number, headers: Readonly<Record<string, string>> = {}): RequestListener =>
  (_request, response) => {
    response.writeHead(status, headers).end('<html>welcome</html>')
  }

const strange: Readonly<Record<string, RequestListener>> = {
  'a 200 that names nobody': plainly(200),
  'a 204': (_request, response) => {
    response.writeHead(204).end()
  },
  'a redirect that is not asked for': plainly(302, { location: '/elsewhere' }),
  'a 404': plainly(404),
  'a 429': plainly(429),
  'a 500': plainly(500),
  'a 503 with an address': plainly(503, { location: '/login' }),
  'a connection that breaks': (request) => {
    request.socket.destroy()
  },
  'something that is not HTTP': (request) => {
    request.socket.end('220 mail.example ESMTP\r\n')
  },
}

describe.each(proxyNames)('%s', (name) => {
  let proxy: RunningProxy
  beforeAll(async () => {
    proxy = await startReverseProxy(name, {
      cardea: `127.0.0.1:${impostor.port}`,
      app: app.address,
    })
  })
  afterAll(async () => await proxy?.stop())

  test.each(Object.keys(strange))(
    'R58: %s lets nobody pass and sends nobody to log in',
    async (kind) => {
      answer = strange[kind] ?? plainly(500)
      const count = app.count()
      const said = await startBrowser(proxy.port).open('/reports')
      expect(said.status).toBe(503)
      expect(said.location).toBeUndefined()
      expect(said.text).not.toContain('welcome')
      expect(said.header('cache-control')).toBe('no-store')
      expect(app.count()).toBe(count)
    },
  )

  test.each(['https://evil.example/', '//evil.example', '/\\evil.example'])(
    'a login page at %s is no login page',
    async (location) => {
      answer = plainly(401, { location })
      const said = await startBrowser(proxy.port).open('/reports')
      expect([401, 503]).toContain(said.status)
      expect(said.location).toBeUndefined()
    },
  )

  test('the question is a GET without a body and without the query of the client', async () => {
    answer = plainly(403)
    const chunked = [['Transfer-Encoding', 'chunked']] as const
    for (const headers of [[], chunked]) {
      asked = []
      const question = { method: 'POST', body: 'a'.repeat(1000), headers }
      const said = await startBrowser(proxy.port).open('/reports?token=1&role=none', question)
      expect(said.status).toBe(403)
      expect(asked).toEqual([{ method: 'GET', url: '/forward-auth', bodyBytes: 0 }])
    }
  })
})
