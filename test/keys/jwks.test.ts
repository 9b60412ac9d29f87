import fastify from 'fastify'
import { calculateJwkThumbprint } from 'jose'
import { describe, expect, onTestFinished, test } from 'vitest'
import { problemSchema } from '../../src/http/errors.ts'
import { mountRoutes } from '../../src/http/route.ts'
import { isNotModified, type JwksDocument, jwksDocument, keyRoutes } from '../../src/keys/jwks.ts'
import { everyAlgorithm, newSigningKey } from './new-signing-key.ts'

const publishedMembers = {
  ES256: ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'],
  RS256: ['alg', 'e', 'kid', 'kty', 'n', 'use'],
  Ed25519: ['alg', 'crv', 'kid', 'kty', 'use', 'x'],
}

/** The address of a server that publishes whatever `current` answers. */
const serve = async (current: () => JwksDocument): Promise<string> => {
  const app = fastify()
  app.addSchema(problemSchema)
  mountRoutes(app, keyRoutes(current))
  onTestFinished(() => app.close())
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  return `${origin}/.well-known/jwks.json`
}

describe('a published key', () => {
  test.for(everyAlgorithm)(
    'R84: of %s has kty, kid, use and alg, the thumbprint as kid, and public members only',
    async (algorithm) => {
      const { publicJwk } = await newSigningKey(algorithm)
      expect(Object.keys(publicJwk).sort()).toEqual(publishedMembers[algorithm])
      expect(publicJwk).toMatchObject({ use: 'sig', alg: algorithm })
      expect(publicJwk.kid).toMatch(/^[A-Za-z0-9_-]{43}$/)
      expect(publicJwk.kid).toBe(await calculateJwkThumbprint(publicJwk, 'sha256'))
    },
  )

  test('R91: keys are P-256, Ed25519 or RSA of 3072 bits, and never the same twice', async () => {
    const keys = await Promise.all(everyAlgorithm.map(newSigningKey))
    const details = keys.map(({ publicKey }) => [
      publicKey.asymmetricKeyType,
      publicKey.asymmetricKeyDetails?.namedCurve ?? publicKey.asymmetricKeyDetails?.modulusLength,
    ])
    expect(details).toEqual([
      ['ec', 'prime256v1'],
      ['rsa', 3072],
      ['ed25519', undefined],
    ])
    const again = await newSigningKey('ES256')
    expect(again.publicJwk.kid).not.toBe(keys[0]?.publicJwk.kid)
  })
})

describe('GET /.well-known/jwks.json', () => {
  test('R85: answers the keys as application/jwk-set+json, cacheable, with a strong tag and no cookie', async () => {
    const { publicJwk } = await newSigningKey('ES256')
    const document = jwksDocument([publicJwk])
    const answer = await fetch(await serve(() => document))
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/jwk-set+json')
    const directives = (answer.headers.get('cache-control') ?? '').split(', ')
    expect(directives).toEqual([
      'public',
      'max-age=300',
      expect.stringMatching(/^stale-while-revalidate=\d+$/),
      expect.stringMatching(/^stale-if-error=\d+$/),
    ])
    expect(answer.headers.get('etag')).toMatch(/^"[A-Za-z0-9_-]{43}"$/)
    expect(answer.headers.has('set-cookie')).toBe(false)
    expect(await answer.json()).toEqual({ keys: [publicJwk] })
  })

  test('R85: If-None-Match with the current tag answers 304 without a body, with another one 200', async () => {
    const { publicJwk } = await newSigningKey('ES256')
    const url = await serve(() => jwksDocument([publicJwk]))
    const etag = (await fetch(url)).headers.get('etag') ?? ''
    const current = await fetch(url, { headers: { 'if-none-match': etag } })
    expect(current.status).toBe(304)
    expect(current.headers.get('etag')).toBe(etag)
    expect(current.headers.get('cache-control')).toContain('max-age=300')
    expect(await current.text()).toBe('')
    const other = await fetch(url, { headers: { 'if-none-match': '"something else"' } })
    expect(other.status).toBe(200)
  })

  test('HEAD answers the same headers without a body', async () => {
    const { publicJwk } = await newSigningKey('ES256')
    const url = await serve(() => jwksDocument([publicJwk]))
    const answer = await fetch(url, { method: 'HEAD' })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/jwk-set+json')
    expect(await answer.text()).toBe('')
  })
})

describe('If-None-Match', () => {
  const etag = '"abc"'
  test.for([
    ['"abc"', true],
    ['W/"abc"', true],
    ['"x", "abc"', true],
    ['"x",W/"abc" , "y"', true],
    ['*', true],
    [' * ', true],
    [undefined, false],
    ['', false],
    ['abc', false],
    ['"ab"', false],
    ['"abcd"', false],
    ['"x, abc"', false],
  ] as const)('R85: %s names the tag "abc": %s', ([header, expected]) => {
    expect(isNotModified(header, etag)).toBe(expected)
  })
})
