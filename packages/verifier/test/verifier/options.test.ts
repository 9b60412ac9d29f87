import { describe, expect, test } from 'vitest'
import { checkAccessToken, createVerifier, type VerifierOptions } from '../../src/index.ts'
import { createReplica } from '../../src/replica.ts'

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

/** Options of every function that takes some, with a member that does not exist, and what the error says of it. */
const mistyped: readonly (readonly [make: () => unknown, message: string])[] = [
  [() => build({ audiance: 'x' }), 'createVerifier has no option audiance; did you mean audience?'],
  [() => build({ Issuer: 'x' }), 'createVerifier has no option Issuer; did you mean issuer?'],
  [
    () => build({ issuerBaseURL: 'x' }),
    'createVerifier has no option issuerBaseURL; did you mean issuer?',
  ],
  [
    () => build({ revocation: 'off' }),
    'createVerifier has no option revocation; did you mean revocations?',
  ],
  [() => build({ polcy: undefined }), 'createVerifier has no option polcy; did you mean policy?'],
  [
    () => build({ jwksUri: 'x' }),
    'createVerifier has no option jwksUri; it has issuer, audience, client, endpoint, revocations, policy, maxCachedTokens, introspectionTimeoutMs, sealed, allowInsecureHttp, clock, fetch, fraction',
  ],
  [
    () => build({ client: { client_id: 'a', client_secret: 'b' } }),
    'client has no option client_id; did you mean id?',
  ],
  [
    () => build({ sealed: { key: 'A'.repeat(43) } }),
    'sealed has no option key; did you mean keys?',
  ],
  [
    () => Reflect.apply(checkAccessToken, undefined, [{ issuer: 'x', audience: 'x' }]),
    'checkAccessToken has no option audience; did you mean audiences?',
  ],
  [
    () => Reflect.apply(createReplica, undefined, [{ onEvents: () => undefined }]),
    'createReplica has no option onEvents; did you mean onEvent?',
  ],
]

test.for(mistyped)('refuses an option that does not exist: %#', ([make, message]) => {
  expect(make).toThrow(new TypeError(message))
})

test.for([undefined, null, 'https://auth.example'])(
  'refuses %o in the place of the options',
  (given) => {
    expect(() => Reflect.apply(createVerifier, undefined, [given])).toThrow(
      new TypeError('createVerifier needs an object of options'),
    )
  },
)

test('verify refuses an option that does not exist: a misspelt role would ask for nothing', async () => {
  const verifier = createVerifier(good)
  const asked: unknown = Reflect.apply(verifier.verify, undefined, ['a.b.c', { role: ['admin'] }])
  await expect(asked).rejects.toThrow(
    new TypeError('verify has no option role; did you mean roles?'),
  )
  await verifier.close()
})

describe('createVerifier', () => {
  const wrong: Record<string, Record<string, unknown>> = {
    'no issuer': { issuer: undefined },
    'an empty issuer': { issuer: '' },
    'an issuer that is no URL': { issuer: 'auth.example' },
    'an issuer with a slash at its end': { issuer: 'https://auth.example/' },
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
