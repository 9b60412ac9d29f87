import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readPage } from '../documentation/markdown.ts'
import { findProxy } from '../support/programs/find-proxy.ts'
import {
  type Launch,
  type RunningProxy,
  startProxyProcess,
} from '../support/programs/proxy-process.ts'
import { nginxArgs, nginxMain } from '../support/programs/reverse-proxies.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { ask, startBrowser } from './browser.ts'

const issuer = 'https://example.com/auth'
const host = 'example.com'

let cardea: Cardea

beforeAll(async () => {
  cardea = await startCardea({ config: { issuer, trustedProxies: ['127.0.0.1/32'] } })
})
afterAll(async () => await cardea?.stop())

/** A block of the guide, with our port in place of the one that a reader has. */
const guideBlock = (language: string, upstream: string): string => {
  const page = readPage('docs/guides/reverse-proxies.md')
  const block = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(page)?.[1]
  if (block === undefined) throw new Error(`the guide has no ${language} block`)
  return block.replaceAll('127.0.0.1:8088', upstream)
}

const nginx = (upstream: string, strips: boolean) => {
  const block = guideBlock('nginx', upstream)
  const passing = `proxy_pass http://${upstream};\n}\nlocation = `
  const stripping = `proxy_pass http://${upstream}/;\n}\nlocation = `
  expect(block).toContain(passing)
  const locations = strips ? block.replace(passing, stripping) : block
  return async (folder: string, port: number): Promise<Launch> => {
    await writeFile(join(folder, 'nginx.conf'), nginxMain(folder))
    await writeFile(
      join(folder, 'site.conf'),
      `server { listen 127.0.0.1:${port};\n${locations}}\n`,
    )
    return { args: nginxArgs(folder) }
  }
}

const caddy = (upstream: string, strips: boolean) => {
  const block = guideBlock('caddy', upstream)
  expect(block).toContain('\thandle /auth/* {')
  const site = strips ? block.replace('\thandle /auth/* {', '\thandle_path /auth/* {') : block
  return async (folder: string, port: number): Promise<Launch> => {
    const config = join(folder, 'Caddyfile')
    const options = '{\n\tadmin off\n\tauto_https off\n}\n'
    await writeFile(config, options + site.replace('example.com {', `http://:${port} {`))
    return { args: ['run', '--config', config, '--adapter', 'caddyfile'] }
  }
}

describe.each([
  ['nginx', 'keeps', nginx],
  ['nginx', 'strips', nginx],
  ['caddy', 'keeps', caddy],
  ['caddy', 'strips', caddy],
] as const)(
  'the configuration of the guide for %s, which %s the path of the issuer',
  (name, does, configure) => {
    let proxy: RunningProxy

    beforeAll(async () => {
      const upstream = new URL(cardea.client.address).host
      const prepare = configure(upstream, does === 'strips')
      const upstreams = { cardea: upstream, app: upstream }
      proxy = await startProxyProcess(await findProxy(name), upstreams, ({ folder, port }) =>
        prepare(folder, port),
      )
    })
    afterAll(async () => await proxy?.stop())

    test('R92: the metadata are at both addresses and lead to routes that exist', async () => {
      for (const path of [
        '/auth/.well-known/oauth-authorization-server',
        '/.well-known/oauth-authorization-server/auth',
      ]) {
        const { status, text } = await ask(proxy.port, path, { host })
        expect([path, status]).toEqual([path, 200])
        const metadata = JSON.parse(text)
        expect(metadata.issuer).toBe(issuer)
        const keys = await ask(proxy.port, new URL(metadata.jwks_uri).pathname, { host })
        expect([keys.status, JSON.parse(keys.text).keys.length > 0]).toEqual([200, true])
        for (const endpoint of [
          'token_endpoint',
          'revocation_endpoint',
          'introspection_endpoint',
        ]) {
          const { pathname } = new URL(metadata[endpoint])
          const { status: posted } = await ask(proxy.port, pathname, { host, method: 'POST' })
          expect([pathname, [400, 401, 415].includes(posted)]).toEqual([pathname, true])
        }
      }
    })

    test('people log in and out, and every link, form and redirect has the path', async () => {
      const account = await cardea.createAccount()
      const browser = startBrowser(proxy.port)
      const page = await browser.open('/auth/login', { host })
      expect(page.text).toContain('<form method="post" action="/auth/login/form">')
      const loggedIn = await browser.logIn('/auth/login', account, '/auth/login/form')
      expect([loggedIn.status, loggedIn.location]).toEqual([303, '/'])
      const home = await browser.open('/auth/')
      expect(home.text).toContain('<a class="button" href="/">Continue to')
      expect(home.text).toContain('<a class="button secondary" href="/auth/logout">')
      const question = await browser.open('/auth/logout')
      expect(question.text).toContain('<form method="post" action="/auth/logout/form">')
      const form = /name="form" value="([^"]+)"/.exec(question.text)?.[1] ?? ''
      const loggedOut = await browser.open('/auth/logout/form', {
        method: 'POST',
        headers: [['Content-Type', 'application/x-www-form-urlencoded']],
        body: new URLSearchParams({ form }).toString(),
      })
      expect([loggedOut.status, loggedOut.location]).toEqual([303, '/auth/logout'])
      const done = await browser.open('/auth/logout')
      expect(done.text).toContain('<a class="button" href="/auth/login">')
    })

    test('forward-auth leads to the login page below the path, and back to any page but Cardea’s own', async () => {
      const asked = async (uri: string) => {
        const headers = { 'x-forwarded-uri': uri, accept: 'text/html' }
        const { headers: said } = await cardea.client.get('/forward-auth', { headers })
        return said.get('location') ?? ''
      }
      const account = await cardea.createAccount()
      for (const [uri, address] of [
        ['/wiki/page?a=b', '/wiki/page?a=b'],
        ['/login', '/login'],
        ['/auth/login', '/'],
      ] as const) {
        const location = await asked(uri)
        expect(location).toMatch(/^\/auth\/login\?return=[\w-]+$/)
        const browser = startBrowser(proxy.port)
        const answer = await browser.logIn(location, account, '/auth/login/form')
        expect([uri, answer.location]).toEqual([uri, address])
      }
    })

    test('what operators and load balancers ask is closed, however often the path of the issuer is written', async () => {
      for (const path of ['/admin/accounts', '/health/ready']) {
        for (const prefix of ['/auth', '/auth/auth']) {
          const { status, header } = await ask(proxy.port, `${prefix}${path}`, { host })
          expect([prefix, path, status, header('x-request-id')]).toEqual([
            prefix,
            path,
            404,
            undefined,
          ])
        }
      }
      expect((await ask(proxy.port, '/auth/health/live', { host })).status).toBe(200)
    })

    test('R59: what is asked without a proxy has no path, and 404 stays 404', async () => {
      expect((await cardea.client.get('/health/ready')).status).toBe(200)
      for (const path of ['/auth/nowhere', '/auth/auth/auth/login']) {
        expect([path, (await ask(proxy.port, path, { host })).status]).toEqual([path, 404])
      }
    })
  },
)
