import { describe, expect, test, vi } from 'vitest'
import { type Verifier, VerifierError, type VerifyOptions } from '../../src/index.ts'
import { newSealedKey, seal } from '../support/sealed.ts'
import { newKey } from '../tokens/signed-tokens.ts'
import { client, entryOf, startToyCardea, startVerifier, tokenOf, verdict } from './toy-cardea.ts'

const key = await newSealedKey()
const sealed = { keys: [key.text] }

const setUp = async (options: Parameters<typeof startVerifier>[1] = {}) => {
  const cardea = await startToyCardea()
  const started = startVerifier(cardea, { sealed, ...options })
  await started.verifier.ready()
  return { cardea, ...started }
}

/** `accepted`, or the code of the refusal. */
const opened = (verifier: Verifier, value: string, options?: VerifyOptions) =>
  verdict({ ...verifier, verify: verifier.openSealed }, value, options)

describe('openSealed', () => {
  test('gives the claims of the token inside, and remembers its signature like that of any other', async () => {
    const { cardea, verifier } = await setUp()
    const { token, claims } = tokenOf(cardea)
    expect(verifier.opensSealed).toBe(true)
    expect(await verifier.verify(token)).toEqual(claims)
    // Sealed anew each time, so that no two values are the same.
    for (const value of [await seal(token, key), await seal(token, key)]) {
      expect(await verifier.openSealed(value)).toEqual(claims)
    }
    expect(verifier.stats()).toMatchObject({ cachedTokens: 1, cacheHits: 2, cacheMisses: 1 })
  })

  test('checks the token inside as strictly as one that came bare', async () => {
    const { cardea, verifier } = await setUp()
    const iat = Math.floor(Date.now() / 1000) - 1000
    const stranger = await newKey()
    const bad = {
      'another audience': [
        tokenOf(cardea, { aud: 'https://other.example' }).token,
        'token_invalid',
      ],
      'another issuer': [tokenOf(cardea, { iss: 'https://other.example' }).token, 'token_invalid'],
      'another signer': [tokenOf(cardea, {}, stranger).token, 'token_invalid'],
      'an old one': [tokenOf(cardea, { iat, exp: iat + 900 }).token, 'token_expired'],
      'one that is sealed twice': [await seal(tokenOf(cardea).token, key), 'token_invalid'],
      'no token': ['hello', 'token_invalid'],
      nothing: ['', 'token_invalid'],
    }
    for (const [what, [token = '', code]] of Object.entries(bad)) {
      expect(await opened(verifier, await seal(token, key)), what).toBe(code)
    }
    // Neither way in takes what belongs to the other.
    const { token } = tokenOf(cardea)
    expect(await opened(verifier, token)).toBe('token_invalid')
    expect(await verdict(verifier, await seal(token, key))).toBe('token_invalid')
  })

  test('refuses what was sealed for another audience, both ways', async () => {
    const cardea = await startToyCardea()
    const otherKey = await newSealedKey()
    const audiences = ['https://api.example', 'https://shop.example']
    const [api, shop] = [key, otherKey].map((own, place) => {
      const audience = audiences[place] ?? ''
      const { verifier } = startVerifier(cardea, { audience, sealed: { keys: [own.text] } })
      return { verifier, own, token: () => tokenOf(cardea, { aud: audience }).token }
    })
    if (api === undefined || shop === undefined) throw new Error('two were made')
    await Promise.all([api.verifier.ready(), shop.verifier.ready()])
    for (const [here, there] of [
      [api, shop],
      [shop, api],
    ] as const) {
      expect(await opened(here.verifier, await seal(here.token(), here.own))).toBe('accepted')
      expect(await opened(there.verifier, await seal(here.token(), here.own))).toBe('token_invalid')
      // Sealed anew by somebody who has the other key: what is inside still says for whom it is.
      expect(await opened(there.verifier, await seal(here.token(), there.own))).toBe(
        'token_invalid',
      )
    }
  })

  test('R73: refuses a token whose session, account or signing key was revoked', async () => {
    const { cardea, verifier } = await setUp()
    const { token: first, claims } = tokenOf(cardea)
    const { token: second, claims: others } = tokenOf(cardea)
    const values = [await seal(first, key), await seal(second, key)] as const
    expect(await opened(verifier, values[0])).toBe('accepted')
    cardea.toy.feed.log.push(entryOf('sid', claims['sid']))
    await vi.waitUntil(async () => (await opened(verifier, values[0])) === 'token_revoked')
    expect(await opened(verifier, values[1])).toBe('accepted')
    cardea.toy.feed.log.push(entryOf('sub', others['sub'], 99))
    await vi.waitUntil(async () => (await opened(verifier, values[1])) === 'token_revoked')
    const third = await seal(tokenOf(cardea).token, key)
    expect(await opened(verifier, third)).toBe('accepted')
    cardea.toy.feed.log.push(entryOf('kid', cardea.toy.keys[0]?.kid))
    await vi.waitUntil(async () => (await opened(verifier, third)) === 'token_revoked')
  })

  test('R74: while STALE asks about the token inside, or denies', async () => {
    const { cardea, verifier, clock } = await setUp()
    const { token } = tokenOf(cardea)
    const value = await seal(token, key)
    cardea.toy.mode = 'down'
    clock.jump(5001)
    expect(await opened(verifier, value)).toBe('revocation_state_unknown')
    expect(await opened(verifier, value, { policy: 'introspect' })).toBe('accepted')
    expect(cardea.toy.introspected.map((body) => new URLSearchParams(body).get('token'))).toEqual([
      token,
    ])
    expect(await opened(verifier, `${value.slice(0, -4)}AAAA`)).toBe('token_invalid')
  })

  test('R75: gives no verdict before there is a snapshot', async () => {
    const cardea = await startToyCardea()
    const { verifier } = startVerifier(cardea, {
      sealed,
      client: { ...client, secret: 'wrong' },
      policy: 'accept-until-exp',
    })
    await vi.waitUntil(() => verifier.stats().keys === 1)
    expect(await opened(verifier, await seal(tokenOf(cardea).token, key))).toBe('not_ready')
  })

  test('without keys is a mistake of the program, and says so', async () => {
    const cardea = await startToyCardea()
    const { verifier } = startVerifier(cardea)
    await verifier.ready()
    expect(verifier.opensSealed).toBe(false)
    const value = await seal(tokenOf(cardea).token, key)
    await expect(verifier.openSealed(value)).rejects.toBeInstanceOf(TypeError)
  })
})

describe('a login that must be recent', () => {
  const secondsAgo = (seconds: number) => Math.floor(Date.now() / 1000) - seconds

  test('is compared with the clock at each use, bare or sealed', async () => {
    const { cardea, verifier, clock } = await setUp({ policy: 'accept-until-exp' })
    const { token } = tokenOf(cardea, { auth_time: secondsAgo(60) })
    const value = await seal(token, key)
    const options = { maxAuthAgeSeconds: 120 }
    expect(await verdict(verifier, token, options)).toBe('accepted')
    expect(await opened(verifier, value, options)).toBe('accepted')
    clock.jump(62_000)
    expect(await verdict(verifier, token, options)).toBe('authentication_too_old')
    expect(await opened(verifier, value, options)).toBe('authentication_too_old')
    expect(await verdict(verifier, token)).toBe('accepted')
    await expect(verifier.verify(token, options)).rejects.toMatchObject({ status: 401 })
  })

  test('is asked for last: whoever lacks a role is not sent to log in first', async () => {
    const { cardea, verifier } = await setUp()
    const { token } = tokenOf(cardea, { auth_time: secondsAgo(600) })
    const demand = (more: VerifyOptions) =>
      verdict(verifier, token, { maxAuthAgeSeconds: 60, ...more })
    expect(await demand({ roles: ['nobody'] })).toBe('insufficient_role')
    expect(await demand({ scopes: ['nothing'] })).toBe('insufficient_scope')
    expect(await demand({})).toBe('authentication_too_old')
  })

  test('must be a number of seconds', async () => {
    const { cardea, verifier } = await setUp()
    const { token } = tokenOf(cardea)
    for (const maxAuthAgeSeconds of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '60']) {
      const asking: Promise<unknown> = Reflect.apply(verifier.verify, verifier, [
        token,
        { maxAuthAgeSeconds },
      ])
      await expect(asking).rejects.toBeInstanceOf(TypeError)
      await expect(asking).rejects.not.toBeInstanceOf(VerifierError)
    }
  })
})
