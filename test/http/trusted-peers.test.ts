import { expect, test } from 'vitest'
import { trustedPeers } from '../../src/http/client-facts.ts'
import { startToyServer } from './toy-server.ts'

/** Asks as the socket of a request from there would. */
const isTrusted = async (ranges: readonly string[], host: string): Promise<boolean> => {
  const isTrustedPeer = trustedPeers(ranges)
  let seen: boolean | undefined
  const { app, url } = await startToyServer()
  app.server.prependListener('request', (request) => {
    seen = isTrustedPeer({ socket: request.socket })
  })
  await fetch(`${url.replace('127.0.0.1', host)}/health/live`, {
    headers: { 'x-forwarded-for': '10.0.0.1', forwarded: 'for=10.0.0.1' },
  })
  if (seen === undefined) throw new Error('no request arrived')
  return seen
}

test('R59: nobody is trusted by default, and nobody by what they say of themselves', async () => {
  expect(await isTrusted([], '127.0.0.1')).toBe(false)
  expect(await isTrusted(['10.0.0.0/8', '127.0.0.2/32', '::1/128'], '127.0.0.1')).toBe(false)
})

test('the peer of the connection is trusted when a range holds it', async () => {
  expect(await isTrusted(['127.0.0.1/32'], '127.0.0.1')).toBe(true)
  expect(await isTrusted(['::1/128', '127.0.0.0/8'], '127.0.0.1')).toBe(true)
})

test.each([
  ['::ffff:127.0.0.1', true],
  ['::FFFF:7f00:1', true],
  ['127.0.0.2', false],
  ['fd00::5', true],
  ['fd00:0:0:0::5', true],
  ['fd01::5', false],
  ['', false],
  [undefined, false],
  ['localhost', false],
  ['127.0.0.1:80', true],
  ['[fd00::5]:80', true],
  ['127.0.0.2:80', false],
])('%s is one address however it is written', (remoteAddress, expected) => {
  const isTrustedPeer = trustedPeers(['127.0.0.1/32', 'fd00::/64'])
  expect(isTrustedPeer({ socket: { remoteAddress } })).toBe(expected)
})
