import { expect, test } from 'vitest'
import { returnTokens } from '../../src/forward-auth/return-address.ts'
import { keyLabels, secretRing } from '../../src/keys/index.ts'
import type { Clock } from '../../src/lib/machine.ts'
import type { MacKey } from '../../src/lib/signed-bytes.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { plainReturnRules } from '../support/return-address.ts'

const secrets = [
  'the first secret of these tests, long enough',
  'the second secret, long enough too',
]
const [oldSecret = '', newSecret = ''] = secrets

const returnsWith = (
  keys: readonly MacKey[],
  clock: Pick<Clock, 'nowMs'>,
  rules = plainReturnRules,
) => returnTokens(keys, clock, rules)

const keysOf = (...of: string[]) => secretRing(of).derive(keyLabels.returnAddress)

test('a return address comes back as it was signed', () => {
  const clock = fakeClock()
  const returns = returnsWith(keysOf(oldSecret), clock)
  const issuedAtMs = Math.floor(clock.nowMs() / 1000) * 1000
  for (const reauthenticates of [true, false]) {
    const token = returns.write('/reports?year=2026', reauthenticates)
    expect(token).toMatch(/^[\w-]+$/)
    expect(returns.read(token)).toEqual({
      address: '/reports?year=2026',
      reauthenticates,
      issuedAtMs,
    })
  }
})

test('the longest address fits with its signature into an address of two KiB', () => {
  const returns = returnsWith(keysOf(oldSecret), fakeClock())
  const token = returns.write(`/${'a'.repeat(1023)}`, true)
  expect(`/login?return=${token}`.length).toBeLessThan(2048)
  expect(returns.read(token)?.address).toHaveLength(1024)
})

test('so does the longest with the longest host, which is judged again when it is read', () => {
  const rules = { ...plainReturnRules, cookieDomain: 'example.com' }
  const host = `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(50)}.example.com:65535`
  const address = `https://${host}/${'a'.repeat(1023)}`
  const returns = returnsWith(keysOf(oldSecret), fakeClock(), rules)
  const token = returns.write(address, true)
  expect(`/login?return=${token}`.length).toBeLessThan(2048)
  expect(returns.read(token)?.address).toBe(address)
  expect(returnsWith(keysOf(oldSecret), fakeClock()).read(token)).toBeUndefined()
})

test('an address that was altered in any one bit is none', () => {
  const returns = returnsWith(keysOf(oldSecret), fakeClock())
  const bytes = Buffer.from(returns.write('/a', false), 'base64url')
  for (let place = 0; place < bytes.length * 8; place += 1) {
    const altered = Buffer.from(bytes)
    altered[place >> 3] = (altered[place >> 3] ?? 0) ^ (1 << (place & 7))
    expect(returns.read(altered.toString('base64url')), `bit ${place}`).toBeUndefined()
  }
})

test('what is cut, longer, spelled otherwise or nothing at all is none', () => {
  const returns = returnsWith(keysOf(oldSecret), fakeClock())
  const token = returns.write('/ab', false)
  expect(returns.read(token)).toBeDefined()
  const others = ['', 'x', '/ab', token.slice(0, -1), `${token}A`, `${token}=`, ` ${token}`]
  for (const other of others) expect(returns.read(other), other).toBeUndefined()
  expect(returns.read(undefined)).toBeUndefined()
  // Only a signature over nothing is left.
  expect(returns.read(returns.write('', false))).toBeUndefined()
})

test('it is good for an hour', () => {
  const clock = fakeClock()
  const returns = returnsWith(keysOf(oldSecret), clock)
  const token = returns.write('/a', false)
  clock.advance(3600 * 1000)
  expect(returns.read(token)?.address).toBe('/a')
  clock.advance(1000)
  expect(returns.read(token)).toBeUndefined()
})

test('every listed secret verifies, and no other, nor a key of another purpose', () => {
  const clock = fakeClock()
  const token = returnsWith(keysOf(oldSecret), clock).write('/a', false)
  expect(returnsWith(keysOf(newSecret, oldSecret), clock).read(token)?.address).toBe('/a')
  expect(returnsWith(keysOf(newSecret), clock).read(token)).toBeUndefined()
  const ring = secretRing([oldSecret])
  expect(returnsWith(ring.derive(keyLabels.loginForm), clock).read(token)).toBeUndefined()
})

test('a signature does not make an unsafe address safe', () => {
  const returns = returnsWith(keysOf(oldSecret), fakeClock())
  expect(returns.read(returns.write('//evil.example', false))).toBeUndefined()
  expect(returns.read(returns.write('/login', false))).toBeUndefined()
})

test('without a key there are no return addresses', () => {
  expect(() => returnsWith([], fakeClock())).toThrow(TypeError)
})
