import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest'
import { namedBlock } from '../interop/guide-code.ts'
import { patienceMs } from '../support/run/patience-ms.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import { readPage } from './markdown.ts'

const page = 'docs/guides/browser-apps.md'

/** A page of the app with the code of the guide. */
type Tab = {
  readonly accessToken: (refused?: string) => Promise<string>
  readonly heldToken: () => string | undefined
}

let account: TestAccount
/** The refresh cookie of the browser, which all its tabs share. */
let cookie: string
let refreshes: number
let opened = 0
/** What `fetch` does before it sends a request. */
let beforeSending: () => Promise<void>

const cardea = await startCardea()
afterAll(() => cardea.stop())

const { fetch: send } = globalThis

/** As a browser: the cookie of the moment goes along, and that of the response takes its place. */
const browserFetch: typeof fetch = async (input, init) => {
  if (!String(input).endsWith('/refresh')) return send(input, init)
  refreshes += 1
  const headers = { ...init?.headers, cookie: `__Host-cardea-refresh=${cookie}` }
  await beforeSending()
  const response = await send(input, { ...init, headers })
  const [set = ''] = response.headers.getSetCookie()
  cookie = /^__Host-cardea-refresh=([^;]+)/.exec(set)?.[1] ?? cookie
  return response
}

beforeEach(async () => {
  account = await cardea.createAccount()
  cookie = (await cardea.client.logIn(account)).refreshToken
  refreshes = 0
  beforeSending = async () => undefined
  vi.stubGlobal('fetch', browserFetch)
})
afterEach(() => vi.unstubAllGlobals())

/** Each import is a module of its own, so they share nothing but what tabs of one origin share. */
const openTab = async (): Promise<Tab> => {
  const setUp = /^```js\n([\s\S]*?)^```$/m.exec(readPage(page))?.[1] ?? ''
  const source = setUp
    .replace('https://auth.example.com', cardea.client.address)
    .replace('timeout(8000)', `timeout(${patienceMs})`)
  opened += 1
  const all = `${source}${namedBlock(page, 'share-the-token.js')}
    // Tab ${opened}. A channel that is open would keep the process.
    channel.unref?.()
    const heldToken = () => known.token
    export { accessToken, heldToken }`
  const encoded = Buffer.from(all).toString('base64')
  return await import(/* @vite-ignore */ `data:text/javascript;base64,${encoded}`)
}

const openTabs = (count: number): Promise<Tab[]> =>
  Promise.all(Array.from({ length: count }, openTab))

test('the guide to browser apps shows code with which many tabs that ask at once refresh once, and all have the token', async () => {
  const tabs = await openTabs(5)
  const [first] = tabs
  await first?.accessToken()
  expect(refreshes).toBe(1)
  // Those that have heard of it ask nobody; one that has not heard yet refreshes by itself.
  const tokens = async () => new Set(await Promise.all(tabs.map((tab) => tab.accessToken())))
  await expect.poll(async () => (await tokens()).size).toBe(1)
  const before = refreshes
  const [token = ''] = await tokens()
  expect((await cardea.client.get('/account', { token })).status).toBe(200)
  expect(refreshes).toBe(before)

  // One that the API refuses is replaced, by one of them.
  const next = await first?.accessToken(token)
  expect(next).not.toBe(token)
  expect(refreshes).toBe(before + 1)
})

test('the guide to browser apps shows code with which a tab that refreshes takes the token of another tab that lives longer', async () => {
  const [tab] = (await openTabs(1)) as [Tab]
  let arrive: () => void = () => undefined
  beforeSending = () =>
    new Promise((resolve) => {
      arrive = resolve
    })
  const asked = tab.accessToken()
  await vi.waitUntil(() => refreshes === 1)
  const channel = new BroadcastChannel('access-token')
  channel.postMessage({ token: 'of-another-tab', goodUntil: Date.now() + 3_600_000 })
  await vi.waitUntil(() => tab.heldToken() === 'of-another-tab')
  channel.close()
  arrive()
  // Otherwise the two tabs would keep a token each, and never agree.
  expect(await asked).toBe('of-another-tab')
})

test('the guide to browser apps shows code with which no tab refreshes while another one waits for a slow response', async () => {
  const [one, other] = (await openTabs(2)) as [Tab, Tab]
  let arrive: () => void = () => undefined
  beforeSending = () =>
    new Promise((resolve) => {
      arrive = resolve
    })
  const slow = one.accessToken()
  const waiting = other.accessToken()
  await vi.waitUntil(() => refreshes === 1)
  await new Promise((resolve) => setImmediate(resolve))
  expect(refreshes).toBe(1)
  beforeSending = async () => undefined
  arrive()
  expect(await slow).toBeDefined()
  expect(await waiting).toBeDefined()
  // However late the word came, the session goes on.
  expect((await cardea.client.refresh(cookie)).status).toBe(200)
  const reuse = "SELECT 1 FROM audit_events WHERE event = 'token_reuse'"
  expect(await sqlAs(cardea.stores.migrateUrl)(reuse)).toHaveLength(0)
})
