import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { findChromium, openChromium } from '../support/programs/find-chromium.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { serveHttp } from '../support/servers/http-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

/**
 * A browser writes its cookies to disk about every 30 s. One that is killed before that comes back with the cookie it had presented, and
 * what the service had sent is lost.
 */

const profilesAtOnce = 5

/** How long the browser of a profile lives after each refresh, seconds, one start after the other. */
const lives = [1, 2, 5, 40, 0]

let clock: FakeClock
let cardea: Cardea
let page: Awaited<ReturnType<typeof servePage>>

/** The app: it logs in or refreshes, as its address says, and tells its own server of the responses. */
const appHtml = (auth: string) => `<!doctype html><title>app</title><script type="module">
const { act, email, password, profile } = Object.fromEntries(new URLSearchParams(location.search))
const options = { method: 'POST', credentials: 'include', headers: { 'content-type': 'application/json' } }
const body = act === 'login' ? JSON.stringify({ email, password }) : undefined
const ask = async () => {
  const response = await fetch('${auth}/' + act, { ...options, body })
  if (response.status !== 503) return response
  await new Promise((resolve) => setTimeout(resolve, 1000))
  return ask()
}
const response = await ask()
const { reason = '' } = await response.json()
await fetch('/told', { method: 'POST', body: [profile, act, response.status, reason].join(' ') })
</script>`

const servePage = async () => {
  const told: string[] = []
  let auth = ''
  const { address, stop } = await serveHttp((request, response) => {
    if (request.url !== '/told') {
      response.setHeader('content-type', 'text/html').end(appHtml(auth))
      return
    }
    request.setEncoding('utf8').on('data', (text: string) => told.push(text))
    request.on('end', () => response.end())
  })
  return {
    address,
    told,
    ask: (given: string) => {
      auth = given
    },
    stop,
  }
}

beforeAll(async () => {
  await findChromium()
  clock = fakeClock()
  page = await servePage()
  cardea = await startCardea({ clock, config: { allowedOrigins: [page.address] } })
  page.ask(cardea.client.address)
})
afterAll(async () => {
  await cardea.stop()
  await page.stop()
})

/** Resolves once the page has told of the response. */
const browse = async (profile: string, address: string, told: string) => {
  const { kill } = await openChromium(profile, address)
  try {
    await vi.waitUntil(() => page.told.some((line) => line.startsWith(told)), {
      interval: 50,
    })
  } catch (error) {
    await kill()
    throw error
  }
  const line =
    page.told.splice(
      page.told.findIndex((one) => one.startsWith(told)),
      1,
    )[0] ?? ''
  return {
    result: line.slice(told.length + 1).trim(),
    kill,
  }
}

const addressFor = (query: Readonly<Record<string, string>>): string =>
  `${page.address}/?${new URLSearchParams(query)}`

/** How a rollback journal of SQLite begins whose transaction is not committed: a browser that starts then takes the transaction back. */
const journalMagic = Buffer.from('d9d505f920a163d7', 'hex')

/** The name stands in the file as it is, its value does not. The journal is looked at last: it is dropped after the file was written. */
const hasCookieOnDisk = async (home: string): Promise<boolean> => {
  const read = (name: string) => readFile(join(home, 'Default', name)).catch(() => Buffer.alloc(0))
  const cookies = await read('Cookies')
  const journal = await read('Cookies-journal')
  return (
    cookies.includes('__Host-cardea-refresh') &&
    !journal.subarray(0, journalMagic.length).equals(journalMagic)
  )
}

/** Logs in, refreshes and is killed so many seconds later, again and again. Returns what each refresh was answered. */
const refreshAndDie = async (profile: string, home: string): Promise<string[]> => {
  const { email, password } = await cardea.createAccount()
  const login = addressFor({ act: 'login', email, password, profile })
  const first = await browse(home, login, `${profile} login`)
  try {
    expect(first.result).toBe('200')
    await vi.waitUntil(() => hasCookieOnDisk(home), { interval: 250 })
  } finally {
    await first.kill()
  }
  const results: string[] = []
  const refreshing = addressFor({ act: 'refresh', profile })
  for (const seconds of lives) {
    const browser = await browse(home, refreshing, `${profile} refresh`)
    results.push(browser.result)
    await pause(seconds * 1000)
    await browser.kill()
    // Whoever starts a browser again does so after the grace.
    clock.advance(11_000)
  }
  return results
}

test('I13: a Chromium that is killed 1, 2, 5 and 40 s after a refresh and started again is still logged in', async () => {
  const folder = await scratchFolder('chromium')
  try {
    const profiles = Array.from({ length: profilesAtOnce }, (_, index) => `profile-${index}`)
    // All are waited for, whatever becomes of one, so that no browser is left.
    const results = await Promise.allSettled(
      profiles.map((profile) => refreshAndDie(profile, join(folder.path, profile))),
    )
    const value = lives.map(() => '200')
    expect(results).toEqual(Array(profilesAtOnce).fill({ status: 'fulfilled', value }))
    const trail = await sqlAs(cardea.stores.migrateUrl)<{ event: string }>(
      'SELECT event FROM audit_events WHERE event IN ($1, $2)',
      ['refresh_response_lost', 'token_reuse'],
    )
    expect(new Set(trail.map(({ event }) => event))).toEqual(new Set(['refresh_response_lost']))
  } finally {
    await folder.remove()
  }
})
