import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { secretRing } from '../../src/keys/index.ts'
import { sealingKeys } from '../../src/tokens/index.ts'
import { freePort } from '../support/servers/free-port.ts'
import { startCardea } from '../support/service/cardea.ts'
import { newServiceClient } from '../support/service/service-client.ts'
import { codeBlock } from './markdown.ts'
import { startSample } from './sample-program.ts'

/** The code of the guides that runs in a page, and a client of the token endpoint: run as printed, but for addresses. */

const secret = 'a secret of the tests that is long enough'
const app = 'https://app.example.com'

const port = await freePort()
const issuer = `http://127.0.0.1:${port}`
const config = { port, issuer, audiences: [issuer], allowedOrigins: [app] }
const cardea = await startCardea({ config, secrets: [secret] })
afterAll(() => cardea?.stop())

type Fetch = (address: string, init?: RequestInit) => Promise<Response>

/** As much of a browser as these pages need: it keeps cookies, and says from where it asks. */
const browserFetch = (
  resolve: (address: string) => string,
  says: Record<string, string>,
): Fetch => {
  const cookies = new Map<string, string>()
  return async (address, init = {}) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { ...says, ...Object.fromEntries(new Headers(init.headers)), cookie }
    const response = await fetch(resolve(address), { ...init, headers })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (/; Max-Age=0(;|$)/i.test(line)) cookies.delete(name)
      else cookies.set(name, value)
    }
    return response
  }
}

let pages = 0

/** The names that the script of a page defines, with this in the place of the browser's own `fetch`. */
const runPage = async (code: string, names: string, own: Fetch) => {
  pages += 1
  const global = `fetchOfPage${pages}`
  Object.assign(globalThis, { [global]: own })
  onTestFinished(() => {
    Reflect.deleteProperty(globalThis, global)
  })
  const source = `const fetch = globalThis.${global}\n${code}\nexport { ${names} }`
  const encoded = Buffer.from(source).toString('base64')
  return await import(/* @vite-ignore */ `data:text/javascript;base64,${encoded}`)
}

test('the page of the guide to browser apps logs in, refreshes and logs out', async () => {
  const code = codeBlock('docs/guides/browser-apps.md', 'const logIn')
  const { email, password } = await cardea.createAccount()
  const says = { origin: app, 'sec-fetch-site': 'same-site' }
  const page = await runPage(
    code.replaceAll('https://auth.example.com', issuer),
    'logIn, refresh, logOut',
    browserFetch((address) => address, says),
  )
  expect((await page.refresh()).status).toBe(401)
  expect((await page.logIn(email, password)).status).toBe(200)
  expect((await (await page.refresh()).json()).access_token).toMatch(/^eyJ/)
  expect((await page.logOut()).status).toBe(204)
  expect((await page.refresh()).status).toBe(401)
})

describe.each(['docs/guides/sealed-sessions.md', 'packages/verifier/README.md'])(
  'the app with sealed cookies in %s',
  (page) => {
    test('lets a person in whom the page of the guide has logged in, and refuses a page of another site', async () => {
      const client = await newServiceClient(cardea)
      const keys = sealingKeys(secretRing([secret]), issuer).map(({ key }) =>
        Buffer.from(key).toString('base64url'),
      )
      const program = await startSample(
        {
          page,
          holding: "credential: 'sealed-cookie'",
          more: `app.post('/change', { onRequest: app.protect() }, () => 'changed')
await app.listen({ port: PORT, host: '127.0.0.1' })`,
        },
        {
          replace: { 'https://shop.example.com': issuer },
          env: {
            CARDEA_CLIENT_ID: client.clientId,
            CARDEA_CLIENT_SECRET: client.clientSecret,
            CARDEA_SEALED_KEYS: keys.join(' '),
          },
        },
      )
      onTestFinished(program.stop)
      const account = await cardea.createAccount()
      const ofCardea = ['/login', '/refresh', '/logout']
      const says = { 'sec-fetch-site': 'same-origin' }
      const shop = browserFetch(
        (path) => (ofCardea.includes(path) ? issuer : program.address) + path,
        says,
      )
      const script = codeBlock('docs/guides/sealed-sessions.md', 'const ask = async')
      const { logIn, ask } = await runPage(script, 'logIn, ask', shop)
      await expect.poll(async () => (await shop('/basket')).status).toBe(401)
      expect((await logIn(account.email, account.password)).status).toBe(200)
      const basket = await ask('/basket')
      expect([basket.status, await basket.text()]).toEqual([200, `the basket of ${account.id}`])
      const change = async (headers: Record<string, string>) =>
        (await shop('/change', { method: 'POST', headers })).status
      expect(await change({})).toBe(200)
      expect(await change({ 'sec-fetch-site': 'cross-site' })).toBe(403)
    })
  },
)

test('the program of the guide to services gets a token with openid-client', async () => {
  const { clientId, clientSecret } = await newServiceClient(cardea, 'report', {
    scopes: ['orders:read'],
  })
  const program = await startSample(
    {
      page: 'docs/guides/service-to-service.md',
      holding: "from 'openid-client'",
      more: `import { createServer } from 'node:http'
createServer((_request, response) => response.end(token)).listen(PORT)`,
    },
    {
      replace: {
        'https://auth.example.com': issuer,
        // The library insists on https, unless told otherwise.
        "algorithm: 'oauth2'": "algorithm: 'oauth2', execute: [oauth.allowInsecureRequests]",
      },
      env: { CLIENT_ID: clientId, CLIENT_SECRET: clientSecret },
    },
  )
  onTestFinished(program.stop)
  const token = await (await program.get('/')).text()
  const about = await cardea.client.post('/oauth/introspect', {
    headers: {
      authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: String(new URLSearchParams({ token })),
  })
  expect(about.body).toMatchObject({ active: true, sub: clientId, scope: 'orders:read' })
})
