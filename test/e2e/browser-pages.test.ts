import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { createServer as createVite, type ViteDevServer } from 'vite'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { namedBlock } from '../interop/guide-code.ts'
import { findChromium, openChromium } from '../support/programs/find-chromium.ts'
import { type ScratchFolder, scratchFolder } from '../support/programs/scratch-folder.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'

/** What pages of the same site, of another one and of a stranger really see, in a real browser. */

/** What one step of a page saw: a response, or that there was none. */
type Seen = {
  readonly status?: number
  readonly code?: string
  readonly detail?: string
  readonly requestId?: boolean
  readonly thrown?: string
  readonly kept?: string | null
}

type Told = Readonly<Record<string, Seen>>

/**
 * Runs in the page. Every request carries what instrumentation adds. The steps are told to the server of the page, as plain text, which
 * needs no permission.
 */
const script = `
const { auth, told, steps, email, password } = Object.fromEntries(new URLSearchParams(location.search))
const trace = {
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'vendor=1', baggage: 'userId=1', 'sentry-trace': '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1',
  'x-request-id': crypto.randomUUID(), 'x-requested-with': 'XMLHttpRequest', 'cache-control': 'no-cache',
  'if-none-match': '"x"', 'idempotency-key': crypto.randomUUID(),
}
const seen = {}
let tokens = {}
const ask = async (name, method, path, { headers, ...options } = {}) => {
  try {
    const response = await fetch(auth + path, { method, ...options, headers: { ...trace, ...headers } })
    const text = await response.text()
    const body = text.startsWith('{') ? JSON.parse(text) : {}
    if (body.access_token) tokens = { ...tokens, ...body }
    const requestId = response.headers.has('x-request-id')
    seen[name] = { status: response.status, code: body.code, detail: body.detail, requestId }
    return body
  } catch (error) {
    seen[name] = { thrown: error.name }
    return {}
  }
}
const json = (body, more) => ({ ...more, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
const bearer = () => ({ headers: { authorization: 'Bearer ' + tokens.access_token } })
const withCookies = { credentials: 'include' }
const form = (fields) => ({ body: new URLSearchParams(fields) })
const run = {
  cookies: async () => {
    await ask('login', 'POST', '/login', json({ email, password }, withCookies))
    await ask('refresh', 'POST', '/refresh', json({}, withCookies))
    localStorage.setItem('of the app', 'kept')
    await ask('logout', 'POST', '/logout', json({}, withCookies))
    await ask('after', 'POST', '/refresh', json({}, withCookies))
    seen.storage = { kept: localStorage.getItem('of the app') }
  },
  body: async () => {
    const login = json({ email, password, delivery: 'body' })
    const { session_id: other } = await ask('login', 'POST', '/login', login)
    await ask('again', 'POST', '/login', login)
    await ask('account', 'GET', '/account', bearer())
    await ask('end', 'DELETE', '/sessions/' + other, bearer())
    await ask('refresh', 'POST', '/refresh', json({ refresh_token: tokens.refresh_token }))
    await ask('grant', 'POST', '/oauth/token', form({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token }))
    await ask('logout', 'POST', '/logout', bearer())
    await ask('after', 'GET', '/account', bearer())
    await ask('keys', 'GET', '/.well-known/jwks.json')
  },
}
for (const step of steps.split(' ')) await run[step]()
await fetch(told, { method: 'POST', mode: 'no-cors', body: JSON.stringify(seen) })
`

const html = `<!doctype html><title>app</title><script type="module">${script}</script>`

let cardea: Cardea
let account: TestAccount
let folder: ScratchFolder
let app: Awaited<ReturnType<typeof serveApp>>
let stranger: Awaited<ReturnType<typeof serveApp>>

/** The server of a page, by both names of this machine. */
const serveApp = async () => {
  const told: Told[] = []
  const server: Server = createServer((request, response) => {
    if (request.url !== '/told') {
      response.setHeader('content-type', 'text/html').end(html)
      return
    }
    let text = ''
    request.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    request.on('end', () => {
      told.push(JSON.parse(text))
      response.end()
    })
  })
  const port = await freePort()
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return {
    told,
    local: `http://localhost:${port}`,
    numbered: `http://127.0.0.1:${port}`,
    close: () => server.close(),
  }
}

/** What a page at this address saw of these steps, against Cardea at that one. */
const visit = async (page: string, auth: string, steps: string): Promise<Told> => {
  const { email, password } = account
  const told = `${app.numbered}/told`
  const query = new URLSearchParams({ auth, told, steps, email, password })
  const home = join(folder.path, `profile-${crypto.randomUUID()}`)
  const browser = await openChromium(home, `${page}/?${query}`)
  try {
    return await vi.waitUntil(() => app.told.shift(), { interval: 50 })
  } finally {
    await browser.kill()
  }
}

beforeAll(async () => {
  await findChromium()
  app = await serveApp()
  stranger = await serveApp()
  cardea = await startCardea({ config: { allowedOrigins: [app.local, app.numbered] } })
  account = await cardea.createAccount()
  folder = await scratchFolder('pages')
})
afterAll(async () => {
  await folder.remove()
  await cardea.stop()
  app.close()
  stranger.close()
})

const statuses = (told: Told) =>
  Object.fromEntries(
    Object.entries(told).map(([name, { status, thrown }]) => [name, status ?? thrown]),
  )

test('an instrumented page on a listed origin of another site uses everything but cookies', async () => {
  const told = await visit(app.local, cardea.client.address, 'body')
  expect(statuses(told)).toEqual({
    login: 200,
    again: 200,
    account: 200,
    end: 204,
    refresh: 200,
    grant: 200,
    logout: 204,
    after: 401,
    keys: 200,
  })
  expect(told['login']?.requestId).toBe(true)
})

test('R62: with cookies the same page is told that it is of another site, and what to do about it', async () => {
  const told = await visit(app.local, cardea.client.address, 'cookies')
  for (const name of ['login', 'refresh', 'logout', 'after']) {
    expect(told[name]).toMatchObject({ status: 403, code: 'cross_site_origin' })
  }
  expect(told['login']?.detail).toContain(`open the page as ${app.numbered}, or send its requests`)
})

test('either of the two ways that the refusal names makes the page one of the same site', async () => {
  const { port } = new URL(cardea.client.address)
  for (const [page, auth] of [
    [app.numbered, cardea.client.address],
    [app.local, `http://localhost:${port}`],
  ] as const) {
    const told = await visit(page, auth, 'cookies')
    expect(statuses(told)).toMatchObject({ login: 200, refresh: 200, logout: 204, after: 401 })
  }
})

test('R66: a page whose origin is not listed sees no response at all, but for public documents', async () => {
  const told = await visit(stranger.numbered, cardea.client.address, 'cookies body')
  const { keys, storage, ...others } = statuses(told)
  expect(keys).toBe(200)
  expect(new Set(Object.values(others))).toEqual(new Set(['TypeError']))
  expect(told['storage']?.kept).toBe('kept')
})

/** The development server with the guide's own configuration. */
const startVite = async (): Promise<ViteDevServer> => {
  const root = join(folder.path, 'vite')
  await mkdir(root)
  const config = namedBlock('docs/guides/browser-apps.md', 'vite.config.js')
  expect(config).toContain('http://127.0.0.1:8088')
  const configFile = join(root, 'vite.config.mjs')
  await writeFile(configFile, config.replace('http://127.0.0.1:8088', cardea.client.address))
  await writeFile(join(root, 'index.html'), html)
  const port = await freePort()
  const server = await createVite({ root, configFile, logLevel: 'silent', server: { port } })
  return server.listen()
}

test('behind the development server of the guide a page needs no entry in the list, and a logout leaves its storage alone', async () => {
  const vite = await startVite()
  try {
    const page = `http://localhost:${vite.config.server.port}`
    const told = await visit(page, '/auth', 'cookies')
    expect(statuses(told)).toMatchObject({ login: 200, refresh: 200, logout: 204, after: 401 })
    expect(told['storage']?.kept).toBe('kept')
  } finally {
    await vite.close()
  }
})
