import { describe, expect, test } from 'vitest'
import { createVerifier, type VerifierOptions } from '../../src/index.ts'

const client = { id: 'orders', secret: 'secret' }
/** Never asks anyone: what it fetches fails at once. */
const good: VerifierOptions = {
  issuer: 'https://auth.example',
  audience: 'https://api.example',
  client,
  fetch: () => Promise.reject(new TypeError('no network in this test')),
}

const build = (changes: Record<string, unknown>) => {
  const verifier: unknown = Reflect.apply(createVerifier, undefined, [{ ...good, ...changes }])
  return verifier
}

const accepts = async (changes: Record<string, unknown>): Promise<void> => {
  await createVerifier({ ...good, ...changes }).close()
}

describe('createVerifier', () => {
  const wrong: Record<string, Record<string, unknown>> = {
    'no issuer': { issuer: undefined },
    'an empty issuer': { issuer: '' },
    'an issuer that is no URL': { issuer: 'auth.example' },
    'no audience': { audience: undefined },
    'an empty audience': { audience: '' },
    'an empty list of audiences': { audience: [] },
    'an audience that is no text': { audience: ['a', 7] },
    'no client': { client: undefined },
    'a client without a secret': { client: { id: 'orders' } },
    'a client with an empty id': { client: { id: '', secret: 'x' } },
    'a revocations setting that is not known': { revocations: 'maybe' },
    'a policy that is not known': { policy: 'allow' },
    'a bounded policy without seconds': { policy: { bounded: '60' } },
    'a bounded policy of no time': { policy: { bounded: 0 } },
    'a bounded policy longer than a token lives': { policy: { bounded: 901 } },
    'a bounded policy without an end': { policy: { bounded: Number.POSITIVE_INFINITY } },
    'http to another machine': { issuer: 'http://auth.example' },
    'http to another machine as the endpoint': { endpoint: 'http://10.0.0.7:3000' },
    'a host that only begins like the loopback': { endpoint: 'http://127.0.0.1.evil.example' },
    'an endpoint with a password': { endpoint: 'https://user:secret@auth.example' },
    'an endpoint with a query': { endpoint: 'https://auth.example/?a=1' },
    'an endpoint with a fragment': { endpoint: 'https://auth.example/#a' },
    'an endpoint of another scheme': { endpoint: 'file:///etc/passwd' },
    'a cache of a negative size': { maxCachedTokens: -1 },
    'a cache of half a token': { maxCachedTokens: 1.5 },
    'sealed without keys': { sealed: {} },
    'sealed keys that are no list': { sealed: { keys: 'A'.repeat(43) } },
    'an empty list of sealed keys': { sealed: { keys: [] } },
    'a sealed key that is too short': { sealed: { keys: ['A'.repeat(42)] } },
    'a sealed key that is too long': { sealed: { keys: ['A'.repeat(86)] } },
    'a sealed key of another spelling': { sealed: { keys: [`${'A'.repeat(42)}B`] } },
    'a sealed key with padding': { sealed: { keys: [`${'A'.repeat(43)}=`] } },
    'a sealed key as a JWK': { sealed: { keys: [{ kty: 'oct', k: 'A'.repeat(43) }] } },
    'nothing as sealed': { sealed: null },
    'no time for introspection': { introspectionTimeoutMs: 0 },
  }

  test.for(Object.entries(wrong))('refuses %s at once', ([, changes]) => {
    expect(() => build(changes)).toThrow(TypeError)
  })

  test('never shows the secret in its refusals', () => {
    for (const changes of [{ issuer: 'nothing' }, { policy: 'allow' }, { audience: [] }]) {
      expect(() => build(changes)).not.toThrow(client.secret)
    }
  })

  test('never shows a sealed key in its refusals', () => {
    const almost = 'k'.repeat(44)
    expect(() => build({ sealed: { keys: [almost] } })).toThrow(/sealed\.keys/)
    expect(() => build({ sealed: { keys: [almost] } })).not.toThrow(almost)
  })

  test('takes several sealed keys', async () => {
    await accepts({ sealed: { keys: ['A'.repeat(43), `${'B'.repeat(42)}A`] } })
  })

  test('takes https, the loopback over http, and http elsewhere only when told so', async () => {
    const addresses = [
      'https://auth.example/',
      'http://localhost:3000',
      'http://127.0.0.1:3000',
      'http://[::1]:3000',
    ]
    for (const endpoint of addresses) await accepts({ endpoint })
    await accepts({ endpoint: 'http://cardea.internal', allowInsecureHttp: true })
    await accepts({ issuer: 'http://cardea.internal', allowInsecureHttp: true })
  })

  test('checks the address it asks, not the name it compares', async () => {
    await accepts({ issuer: 'http://cardea.internal', endpoint: 'https://auth.example' })
  })

  test('does without a client when revocations are off, and takes every policy there is', async () => {
    await accepts({ client: undefined, revocations: 'off' })
    for (const policy of [
      'deny',
      'introspect',
      'accept-until-exp',
      { bounded: 1 },
      { bounded: 900 },
    ]) {
      await accepts({ policy })
    }
  })
})
