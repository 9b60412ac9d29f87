import { once } from 'node:events'
import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EchoBackend, startEchoBackend } from '../support/programs/echo-backend.ts'
import type { RunningProxy } from '../support/programs/proxy-process.ts'
import { startHttp2Proxy } from '../support/programs/reverse-proxies.ts'
import { type ScratchFolder, scratchFolder } from '../support/programs/scratch-folder.ts'
import { type KeyPair, selfSigned } from '../support/servers/self-signed.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { type Answer, receivedIn, valuesOf } from './browser.ts'

const appName = 'https://www.example.com'
const sessionCookie = '__Host-cardea-session'
const page = { accept: 'text/html,*/*;q=0.8' }

let cardea: Cardea
let app: EchoBackend
let folder: ScratchFolder
let pair: KeyPair

beforeAll(async () => {
  const config = { trustedProxies: ['127.0.0.1/32'], audiences: [appName] }
  cardea = await startCardea({ config })
  app = await startEchoBackend()
  folder = await scratchFolder('http2')
  pair = await selfSigned(folder.path)
})

afterAll(async () => {
  await folder?.remove()
  await app?.stop()
  await cardea?.stop()
})

describe.each(['haproxy', 'caddy'] as const)('%s over TLS and HTTP/2', (name) => {
  let proxy: RunningProxy
  let line: ClientHttp2Session

  beforeAll(async () => {
    const { host } = new URL(cardea.client.address)
    proxy = await startHttp2Proxy(name, { cardea: host, app: app.address }, pair)
    line = connect(`https://127.0.0.1:${proxy.port}`, { ca: pair.cert })
    await once(line, 'connect')
  })

  afterAll(async () => {
    line?.destroy()
    await proxy?.stop()
  })

  /** Names in lower case, the only one that there is; a list of values becomes as many fields. */
  const ask = async (path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> => {
    const stream = line.request({ ':path': path, ...headers })
    const answered = once(stream, 'response')
    const text = buffer(stream)
    const [said]: (IncomingHttpHeaders & IncomingHttpStatusHeader)[] = await answered
    if (!said) throw new Error('no answer came')
    const header = (wanted: string) => said[wanted]?.toString()
    const status = said[':status'] ?? 0
    return { status, location: said.location, header, text: (await text).toString() }
  }

  const loggedIn = async (roles: readonly string[] = []) => {
    const account = await cardea.createAccount(roles)
    const cookie = `${sessionCookie}=${await cardea.client.logInForCookie(account)}`
    return { account, cookie }
  }

  test('R58: sends a person to the login page, refuses a program, and asks for the role', async () => {
    expect(line.alpnProtocol).toBe('h2')
    const count = app.count()
    const sent = await ask('/reports?a=b', page)
    expect([sent.status, sent.location]).toEqual([303, expect.stringMatching(/^\/login\?return=/)])
    const form = await ask(sent.location ?? '', page)
    expect([form.status, form.text]).toEqual([200, expect.stringContaining('<h1>Log in</h1>')])
    expect((await ask('/data')).status).toBe(401)
    const refused = await ask('/api/data', { ...page, authorization: 'Bearer x' })
    expect([refused.status, refused.location]).toEqual([401, undefined])
    const { cookie } = await loggedIn(['reader'])
    for (const path of ['/staff/plan', '/STAFF', '/%73taff']) {
      expect([path, (await ask(path, { cookie })).status]).toEqual([path, 403])
    }
    for (const path of ['/x/../staff', '/x/..;/staff', '//x/staff', '/staff/..%2fx']) {
      expect([400, 403], path).toContain((await ask(path, { cookie })).status)
    }
    expect(app.count()).toBe(count)
  })

  test('R60: passes with the right identity and no other, its own cookies taken out, also where each comes alone', async () => {
    const { account, cookie } = await loggedIn(['reader'])
    const forged = Object.fromEntries(
      ['x-auth-account', 'x_auth_account', 'x.auth.account', 'x-auth-roles', 'x-forwarded-uri'].map(
        (header) => [header, 'forged'],
      ),
    )
    // Browsers send cookies as fields of their own here (RFC 9113 section 8.2.3).
    const crumbs = { cookie: ['theme=dark', cookie, '__Host-cardea-form=a', 'cart=3'] }
    const answer = await ask('/reports', { ...page, ...forged, ...crumbs })
    const received = receivedIn(answer)
    expect(valuesOf(received, 'X-Auth-Account')).toEqual([account.id])
    expect(valuesOf(received, 'X-Auth-Roles')).toEqual(['reader'])
    expect(valuesOf(received, 'X-Forwarded-Proto')).toEqual(['https'])
    expect(JSON.stringify(received.headers)).not.toContain('forged')
    const left = valuesOf(received, 'Cookie').flatMap((value) => value.split(/; ?/))
    expect(left.map((one) => one.trim())).toEqual(['theme=dark', 'cart=3'])
    const twice = await ask('/reports', { cookie: [cookie, `${sessionCookie}=x`] })
    expect(twice.status).toBe(503)
  })
})
