import { expect, onTestFinished, test } from 'vitest'
import { costlyRequests, fragments, senderTo } from '../support/run/cpu-of-requests.ts'
import { sendRaw, startToyServer } from './toy-server.ts'

const listenBehind = (trustedProxies: readonly string[]) => startToyServer({ trustedProxies })

const factsFrom = async (port: number, headers: readonly string[]) =>
  JSON.parse((await sendRaw(port, 'GET /facts', ['Host: a', ...headers])).body)

const factsOf = async (headers: readonly string[], trustedProxies: readonly string[] = []) => {
  const { port } = await startToyServer({ trustedProxies })
  const answer = await sendRaw(port, 'GET /facts', ['Host: a', ...headers])
  expect(answer.status).toBe(200)
  return JSON.parse(answer.body)
}

test('R107: without trusted proxies, forwarding headers change nothing', async () => {
  const forged = ['X-Forwarded-For: 6.6.6.6', 'Forwarded: for=6.6.6.6', 'X-Real-IP: 6.6.6.6']
  expect(await factsOf(forged)).toMatchObject({ address: '127.0.0.1' })
})

test('R107: behind a trusted proxy the address is the last one that no trusted proxy added', async () => {
  const trusted = ['127.0.0.0/8', '10.1.0.0/16']
  const addressFor = async (...headers: string[]) => (await factsOf(headers, trusted)).address
  expect(await addressFor('X-Forwarded-For: 6.6.6.6, 203.0.113.9')).toBe('203.0.113.9')
  expect(await addressFor('X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3')).toBe('203.0.113.9')
  expect(await addressFor('X-Forwarded-For: 6.6.6.6', 'X-Forwarded-For: 203.0.113.9')).toBe(
    '203.0.113.9',
  )
  expect(await addressFor('X-Real-IP: 6.6.6.6', 'Forwarded: for=6.6.6.6')).toBe('127.0.0.1')
  expect(await addressFor('X-Forwarded-For: ::ffff:203.0.113.9')).toBe('203.0.113.9')
  expect(await addressFor('X-Forwarded-For: 2001:DB8:0::1')).toBe('2001:db8::1')
})

test.each([
  ['203.0.113.9:51234', '203.0.113.9'],
  ['[2001:DB8:0::1]:443', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['6.6.6.6, 203.0.113.9:51234', '203.0.113.9'],
  ['203.0.113.9, 10.1.2.3:80', '203.0.113.9'],
  ['[2001:db8::1]:443, [fd00::7]:80', '2001:db8::1'],
  ['[::ffff:203.0.113.9]:51234', '203.0.113.9'],
])('R107: ports and brackets around an address are no part of it: %s', async (header, expected) => {
  const { address } = await factsOf(
    [`X-Forwarded-For: ${header}`],
    ['127.0.0.0/8', '10.1.0.0/16', 'fd00::/8'],
  )
  expect(address).toBe(expected)
})

test.each([
  ...'admin unknown _hidden 203.0.113.9: 203.0.113.9:80:80 203.0.113.9:123456'.split(' '),
  ...'999.0.113.9:80 :80 [203.0.113.9]:80:1 [2001:db8::1]443 [2001:db8::1 []:80'.split(' '),
  ...'"203.0.113.9"'.split(' '),
])('R107: text that is no address is not taken for one: %s', async (header) => {
  const { address } = await factsOf([`X-Forwarded-For: ${header}`], ['127.0.0.1/32'])
  expect(address).toBe('127.0.0.1')
})

const warningsIn = (lines: readonly { level: number; msg?: string }[]) =>
  lines.filter(({ level }) => level === 40).map(({ msg }) => msg)

test('a trusted proxy that does not say who the client is is warned about, once for each way', async () => {
  const { port, log } = await listenBehind(['127.0.0.1/32'])
  for (let times = 0; times < 3; times += 1) {
    await factsFrom(port, ['X-Forwarded-For: 203.0.113.9:51234', 'X-Forwarded-Proto: https'])
    await factsFrom(port, ['X-Forwarded-For: 127.0.0.1', 'X-Forwarded-Proto: https'])
    // The proxy's own request, such as a health check.
    await factsFrom(port, [])
  }
  expect(warningsIn(log())).toEqual([])
  for (let times = 0; times < 3; times += 1) {
    await factsFrom(port, ['X-Forwarded-For: zX9-of-the-client', 'X-Forwarded-Proto: https'])
    await factsFrom(port, ['X-Forwarded-Proto: https'])
  }
  expect(warningsIn(log())).toEqual([
    expect.stringContaining('an X-Forwarded-For without the address of the client'),
    expect.stringContaining('X-Forwarded-Proto and no X-Forwarded-For'),
  ])
  expect(JSON.stringify(log())).not.toContain('zX9')
})

test('a proxy nearby that is not trusted is told once: its word is not believed', async () => {
  const { port, log } = await listenBehind(['10.0.0.0/8'])
  await factsFrom(port, ['X-Forwarded-For: admin'])
  expect(warningsIn(log())).toEqual([])
  for (let times = 0; times < 2; times += 1) {
    await factsFrom(port, ['X-Forwarded-For: admin', 'X-Forwarded-Proto: https'])
    await factsFrom(port, ['X-Forwarded-Proto: https'])
  }
  expect(warningsIn(log())).toEqual([
    expect.stringContaining('that TRUSTED_PROXIES does not name sends X-Forwarded-Proto'),
  ])
})

test('R107: what a client wrote before the addresses of more than 16 proxies is not looked at', async () => {
  const trusted = ['127.0.0.0/8', '10.0.0.0/8']
  const proxies = (count: number) => Array.from({ length: count }, (_, hop) => `10.0.0.${hop}`)
  const addressFor = async (...addresses: string[]) =>
    (await factsOf([`X-Forwarded-For: ${addresses.join(', ')}`], trusted)).address
  // The peer is the sixteenth.
  expect(await addressFor('203.0.113.9', ...proxies(15))).toBe('203.0.113.9')
  expect(await addressFor('203.0.113.9', ...proxies(16))).toBe('10.0.0.0')
  expect(await addressFor(...Array(1000).fill('10.9.9.9'), ...proxies(16))).toBe('10.0.0.0')
})

test('R117: finding the address in 15 KB of repeated characters costs little more CPU than without them', async () => {
  const { url } = await startToyServer({ trustedProxies: ['127.0.0.0/8', '::1/128'] })
  const sender = senderTo(url)
  onTestFinished(sender.close)
  const plain = { method: 'GET', path: '/facts' }
  const attacks = fragments.map((fragment) => {
    const headers = { 'x-forwarded-for': `${fragment.repeat(15_000 / fragment.length)}127.0.0.1` }
    return [fragment, { ...plain, headers }] as const
  })
  expect(await costlyRequests(sender, plain, new Map(attacks))).toEqual([])
})

test('a peer that is not on the list is not believed', async () => {
  expect(await factsOf(['X-Forwarded-For: 6.6.6.6'], ['10.0.0.0/8'])).toMatchObject({
    address: '127.0.0.1',
  })
})

test('the user agent is cut at 256 characters, its control characters escaped', async () => {
  const { userAgent } = await factsOf([`User-Agent: a\tb\x85${'c'.repeat(400)}`])
  expect(userAgent.startsWith('a\\x09b\\x85ccc')).toBe(true)
  expect(userAgent).toHaveLength(256)
  expect(await factsOf([])).not.toHaveProperty('userAgent')
})
