import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest'
import { checkAddress } from '../../src/cli/doctor/check-address.ts'
import type { Core } from '../../src/core.ts'
import { startReverseProxy } from '../support/programs/reverse-proxies.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { runCli } from './run-cli.ts'

let cardea: Cardea
let core: Core

beforeAll(async () => {
  const config = {
    production: true,
    trustedProxies: ['127.0.0.1/32'],
    issuer: 'http://auth.example.com',
  }
  cardea = await startCardea({ config })
  const [instance] = cardea.instances
  if (!instance) throw new Error('no instance')
  core = instance.core
})
afterAll(() => cardea.stop())

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
})

type Handler = (incoming: IncomingMessage, outgoing: ServerResponse) => void

const listen = async (handler: Handler): Promise<string> => {
  const server = createServer(handler).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const place = server.address()
  if (typeof place !== 'object' || place === null) throw new Error('no port to be had')
  return `http://127.0.0.1:${place.port}`
}

/** A proxy in front of the service that sets these headers and no others. */
const proxyWith =
  (headers: Readonly<Record<string, string>>): Handler =>
  (incoming, outgoing) => {
    const { method = 'GET', url = '/' } = incoming
    const { 'content-type': type = '' } = incoming.headers
    const onward = request(
      `${cardea.client.address}${url}`,
      { method, headers: { 'content-type': type, ...headers } },
      (response) => {
        outgoing.writeHead(response.statusCode ?? 500, response.headers)
        response.pipe(outgoing)
      },
    )
    incoming.pipe(onward)
  }

const good = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9' }

const findings = async (url: string) =>
  (await checkAddress(core, url)).map(({ name, state, message, fix = '' }) => ({
    name,
    state,
    text: `${message} ${fix}`,
  }))

test('a login that comes through as it should is found well, and so is the address of the client', async () => {
  const found = await findings(await listen(proxyWith(good)))
  expect(found).toEqual([
    { name: 'address', state: 'warn', text: expect.stringContaining('not the address in ISSUER') },
    { name: 'address', state: 'ok', text: expect.stringContaining('key set') },
    { name: 'address', state: 'ok', text: expect.stringContaining('reached the service') },
    { name: 'client-address', state: 'ok', text: expect.stringContaining('203.0.113.9') },
  ])
})

test.each([
  ['does not say that it had TLS', { 'x-forwarded-for': '203.0.113.9' }, 'X-Forwarded-Proto'],
  ['says that it had none', { ...good, 'x-forwarded-proto': 'http' }, 'TRUSTED_PROXIES'],
])('a proxy that %s is what is to be mended', async (_what, headers, words) => {
  const found = await findings(await listen(proxyWith(headers)))
  const failures = found.filter(({ state }) => state === 'fail')
  expect(failures.map(({ text }) => text)).toContainEqual(expect.stringContaining('https_required'))
  expect(JSON.stringify(failures)).toContain(words)
})

test('a proxy that names no client shares one limit among all of them', async () => {
  const found = await findings(await listen(proxyWith({ 'x-forwarded-proto': 'https' })))
  expect(found.at(-1)).toEqual({
    name: 'client-address',
    state: 'warn',
    text: expect.stringContaining('127.0.0.1, which is a proxy: all its clients share one limit'),
  })
})

test('what is not Cardea, or another Cardea, is told as that', async () => {
  const page = await listen((_request, response) => {
    response.end('<html>welcome</html>')
  })
  const texts = (await findings(page)).filter(({ state }) => state === 'fail')
  expect(texts.map(({ text }) => text)).toEqual([
    expect.stringContaining('that of another service'),
    expect.stringContaining('POST /login gave 200, but not from Cardea'),
  ])
  const redirect = await listen((_request, response) => {
    response.writeHead(301, { location: 'https://auth.example.com/' }).end()
  })
  expect(JSON.stringify(await findings(redirect))).toContain('gave 301')
  const other = await startCardea()
  onTestFinished(() => other.stop())
  const elsewhere = await findings(other.client.address)
  expect(elsewhere.find(({ state }) => state === 'fail')?.text).toContain('another service')
})

test('nobody at the address is told with the reason', async () => {
  const [finding] = await findings(`http://127.0.0.1:${await freePort()}`)
  expect(finding).toMatchObject({ state: 'fail', text: expect.stringContaining('ECONNREFUSED') })
})

test('the command tries the address it is given, through a real proxy, or that of ISSUER', async () => {
  const secret = randomBytes(32).toString('base64')
  const open = await startCardea({
    config: { trustedProxies: ['127.0.0.1/32'] },
    secrets: [secret],
  })
  const { host } = new URL(open.client.address)
  const proxy = await startReverseProxy('nginx', { cardea: host, app: host })
  const settings = {
    DATABASE_URL: open.stores.databaseUrl,
    REDIS_URL: open.config.redisUrl ?? '',
    CARDEA_SECRET: secret,
    TRUSTED_PROXIES: '127.0.0.1',
  }
  onTestFinished(async () => {
    await proxy.stop()
    await open.stop()
  })
  const address = `http://127.0.0.1:${proxy.port}`
  for (const [args, more] of [
    [['--url', `${address}/`], {}],
    [['--url'], { ISSUER: address }],
  ] as const) {
    const { json } = await runCli(['doctor', '--json', ...args], { ...settings, ...more })
    const states = json()
      .checks.filter(({ name }: { name: string }) => name === 'address')
      .map(({ state }: { state: string }) => state)
    expect(states.filter((state: string) => state !== 'warn')).toEqual(['ok', 'ok'])
  }
  for (const bad of ['auth.example.com', 'ftp://a', 'https://u:p@a', 'https://a?x', '']) {
    const { code, stderr } = await runCli(['doctor', '--url', bad], settings)
    expect([bad, code]).toEqual([bad, 2])
    expect(stderr).toMatch(/^error: --url is not an address\nhint: .+\n$/)
  }
})
