import { afterAll, expect, test, vi } from 'vitest'
import { peppersFrom } from '../../src/accounts/argon2-password-hasher.ts'
import { auditPseudonym } from '../../src/audit/index.ts'
import { redisSessionCache } from '../../src/cookie-sessions/session-cache.ts'
import { formTokens, returnTokens } from '../../src/forward-auth/index.ts'
import { connectRedis } from '../../src/infra/redis/redis.ts'
import { type KeyLabel, keyLabels, secretRing } from '../../src/keys/index.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { loginLimits } from '../../src/login/admit-attempt.ts'
import { deviceTokens } from '../../src/login/device-token.ts'
import { loginLimitRules } from '../../src/login/login-limits.ts'
import { memoryCounters } from '../../src/login/redis-counters.ts'
import { handleCodec } from '../../src/sessions/index.ts'
import { patientRedisMs, startRedis } from '../support/servers/redis-server.ts'
import { plainReturnRules } from '../support/service/return-address.ts'

/**
 * Values under a key of `CARDEA_SECRET`, as every release so far has made them. Browsers, apps and stores hold such values. A release
 * that reads them differently logs everybody out, so a change of one of these texts needs a new version of its format.
 */
const older = 'the older secret of these values, 2026-12'
const newer = 'the newer secret of these values, 2026-12'

const keysOf = (label: KeyLabel) => secretRing([older]).derive(label)
/** After a change of the secret, while the one before is still listed. */
const rolledKeysOf = (label: KeyLabel) => secretRing([newer, older]).derive(label)

const sessionId = 'ABEiM0RVZneImaq7zN3u_w'
const accountId = '_-7du6qZiHdmVUQzIhEAAA'
const deviceId = 'AQIDBAUGBwgJCgsMDQ4PEA'
const secret = Buffer.from(Array.from({ length: 32 }, (_, place) => place * 7))
const clock = { nowMs: () => 1_796_000_000_000, monotonicMs: () => 0 }

const values = {
  refreshToken:
    'AcEAESIzRFVmd4iZqrvM3e7_AA9CQwAHDhUcIyoxOD9GTVRbYmlwd36FjJOaoaivtr3Ey9LZw6fcLz7adN9qxjTwl6-afF786dXECFKdsxfFxc0jvns',
  sessionCookie:
    'AcEAESIzRFVmd4iZqrvM3e7_AA9CQwAHDhUcIyoxOD9GTVRbYmlwd36FjJOaoaivtr3Ey9LZS25K8YBDpDww4j6SKCAHI4W7b0S_T8NXceTgZIt0K7A',
  deviceToken:
    'A8G6kmC_c95doCTUBxdjNo4hAQIDBAUGBwgJCgsMDQ4PEGsMyQAAAAADAAABAAAAAAU85wOU7rn1jwK1iLWO7rmvCLOjW3NvTgBG1fFFln24rh3IqF4vLve80Itsvw7LgTo',
  returnToken:
    'AcEBawzJANRlYyv3bKsMGBZulntS9F1oL6DWsv1mjGMfSq5VkS2NL3IlQzMlQTlwb3J0cz95ZWFyPTIwMjY',
  loginForm: 'YT0UQN9GSj_vQeTMC3aPqJyx1cF0QRq0QZiQD_pntxk',
  logoutForm: 'oH-FdOOABKiEIgilokeAoCRfbXLv8JRJQPGAi0s8IWQ',
  /** The MAC in front of its JSON. */
  cachedSessionMac: 'W-F1IPzo8UySzqrMOTEdPsD58ZBw9rkLYka0Iw6cTMM',
  auditReference: 'OUH7ZtrjNB-LRubohmBxzA',
  accountLimit: 'LzejvajgjyTSQ4PulD3sQtSvuzGdaLJ4h0PwgE969Dk',
  deviceLimit: 'BYKY_lRjmhDVx7X1nmXxMi8DT7kQwEagO9RdJxEIzko',
  pepperId: '42KjcO34',
  pepperKey: 'df8e8ee4d53408c867ae0abf7c3ad1b2020fb22085b770de09c2908a3bb21db5',
}

const handle = { sessionId, generation: 1_000_003, secret }

test.each([
  ['a refresh token', keyLabels.refreshHandle, values.refreshToken],
  ['a session cookie', keyLabels.sessionHandle, values.sessionCookie],
])('%s of an earlier release is read, and made again', (_, label, value) => {
  expect(handleCodec(keysOf(label)).write(handle)).toBe(value)
  expect(handleCodec(rolledKeysOf(label)).read(value)).toEqual(handle)
})

test('a device token of an earlier release is read, and made again', () => {
  const owner = { accountId, accountEpoch: 3, globalEpoch: 2 ** 40 + 5 }
  const tokens = deviceTokens(keysOf(keyLabels.device), systemRandom, clock)
  expect(tokens.issue('ada@example.com', owner, deviceId)).toBe(values.deviceToken)
  const rolled = deviceTokens(rolledKeysOf(keyLabels.device), systemRandom, clock)
  const device = rolled.read(values.deviceToken, 'ada@example.com')
  expect(device).toMatchObject({ deviceId, accountEpoch: 3, globalEpoch: 2 ** 40 + 5 })
  expect(device?.isOfAccount(accountId)).toBe(true)
  expect(device?.isOfAccount(sessionId)).toBe(false)
})

test('a return address of an earlier release is read, and made again', () => {
  const address = '/r%C3%A9ports?year=2026'
  const returns = returnTokens(keysOf(keyLabels.returnAddress), clock, plainReturnRules)
  expect(returns.write(address, true)).toBe(values.returnToken)
  const rolled = returnTokens(rolledKeysOf(keyLabels.returnAddress), clock, plainReturnRules)
  const read = rolled.read(values.returnToken)
  expect(read).toEqual({ address, reauthenticates: true, issuedAtMs: clock.nowMs() })
})

test.each([
  ['login', keyLabels.loginForm, values.returnToken, values.loginForm],
  ['logout', keyLabels.logoutForm, undefined, values.logoutForm],
])(
  'the field of a %s form of an earlier release fits, and is made again',
  (_, label, returnToken, value) => {
    expect(formTokens(keysOf(label)).write(deviceId, returnToken)).toBe(value)
    expect(formTokens(rolledKeysOf(label)).fits(value, deviceId, returnToken)).toBe(true)
  },
)

test('what stands for an id in the audit trail and for a person in the limits is the same as in earlier releases', async () => {
  const pseudonym = auditPseudonym(keysOf(keyLabels.auditReference)[0].key)
  expect(pseudonym(sessionId)).toBe(values.auditReference)
  const keys = new Set<string>()
  const counters = memoryCounters(clock)
  const limits = loginLimits({
    identifierKey: keysOf(keyLabels.limitIdentifier)[0].key,
    rules: loginLimitRules(),
    counters: (name, window) => {
      const counter = counters(name, window)
      return {
        ...counter,
        take: (key) => {
          keys.add(key)
          return counter.take(key)
        },
      }
    },
    clock,
    onError: () => undefined,
  })
  const attempt = { identifier: 'ada@example.com', address: '192.0.2.1' }
  await limits.admit({ ...attempt, deviceId: undefined })
  await limits.admit({ ...attempt, deviceId })
  const names = [...keys].map((key) => key.split(':', 1)[0])
  expect(new Set(names)).toEqual(
    new Set(['all', '192.0.2.0/24', '192.0.2.1', values.accountLimit, values.deviceLimit]),
  )
})

test('a password pepper has the id and the key of earlier releases', () => {
  const { current } = peppersFrom([older])
  expect(current?.id).toBe(values.pepperId)
  expect(current?.key.toString('hex')).toBe(values.pepperKey)
})

const redis = await startRedis()
const connection = connectRedis(redis.url, {
  onError: () => undefined,
  random: systemRandom,
  commandTimeoutMs: patientRedisMs,
})
await vi.waitUntil(connection.isReady)
afterAll(async () => {
  await connection.close()
  await redis.stop()
})

test('a cached session of an earlier release is read, and made again', async () => {
  const session = {
    kind: 'cookie',
    sessionId,
    accountId,
    email: 'ada@example.com',
    roles: ['operator', 'rédacteur'],
    scope: 'account admin',
    clientId: 'first-party',
    audience: 'https://app.example.com',
    persists: true,
    amr: ['pwd'],
    acr: 'aal1',
    epochs: [7, 3, 2],
    generation: 4,
    pendingGeneration: undefined,
    createdAtMs: clock.nowMs() - 5_000,
    authenticatedAtMs: clock.nowMs() - 5_000,
    lastUsedAtMs: clock.nowMs(),
    idleExpiresAtMs: clock.nowMs() + 60_000,
    absoluteExpiresAtMs: clock.nowMs() + 600_000,
    data: '{"cart":[1,2]}',
    dataVersion: 9,
  } as const
  const digest = secret.toString('base64url')
  const copy = { session, secretDigest: digest, copiedAtMs: clock.nowMs() }
  const key = `cardea:session:${sessionId}`
  const text = `1796000000015.${values.cachedSessionMac}.${JSON.stringify(copy)}`
  await redisSessionCache(connection, keysOf(keyLabels.sessionCopy)).write(copy)
  expect(await connection.client.get(key)).toBe(text)
  await connection.client.set(key, text)
  const rolled = redisSessionCache(connection, rolledKeysOf(keyLabels.sessionCopy))
  expect(await rolled.read(sessionId)).toEqual(copy)
})
