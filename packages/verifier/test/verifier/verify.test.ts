import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, test, vi } from 'vitest'
import { type StalePolicy, VerifierError, type VerifierState } from '../../src/index.ts'
import { systemClock } from '../../src/system-clock.ts'
import { malleated, newId, newKey } from '../tokens/signed-tokens.ts'
import { client, entryOf, startToyCardea, startVerifier, tokenOf, verdict } from './toy-cardea.ts'

const setUp = async (options: Parameters<typeof startVerifier>[1] = {}) => {
  const cardea = await startToyCardea()
  const started = startVerifier(cardea, options)
  await started.verifier.ready()
  return { cardea, ...started }
}

describe('a verifier that is ready', () => {
  test('R73: I11: causes no network call while it is FRESH: neither a request nor a connection', async () => {
    // Follows what a call of verify sets in motion, and only that: the background goes on asking for the feed.
    const verifying = new AsyncLocalStorage<boolean>()
    const caused: string[] = []
    const { cardea, verifier, clock } = await setUp({
      fetch: (input, init) => {
        if (verifying.getStore()) caused.push(new URL(String(input)).pathname)
        return globalThis.fetch(input, init)
      },
    })
    const verify = (token: string, policy?: StalePolicy) =>
      verifying.run(true, () => verdict(verifier, token, policy && { policy }))
    const connections = cardea.connections()
    for (let count = 0; count < 300; count += 1) {
      const { token } = tokenOf(cardea)
      expect(await verify(token)).toBe('accepted')
      expect(await verify(token, 'introspect')).toBe('accepted')
      expect(await verify(token.slice(0, -2), 'introspect')).toBe('token_invalid')
    }
    expect(verifier.state()).toBe('FRESH')
    expect(caused).toEqual([])
    expect(cardea.connections()).toBe(connections)
    // The instrument works: a call that is made on behalf of a token is seen.
    cardea.toy.mode = 'down'
    clock.jump(5001)
    expect(await verify(tokenOf(cardea).token, 'introspect')).toBe('accepted')
    expect(caused).toEqual(['/oauth/introspect'])
  })

  test('demands all roles and all scopes, with 403 and a code for each', async () => {
    const { cardea, verifier } = await setUp()
    const { token } = tokenOf(cardea, {
      roles: ['reader', 'editor'],
      scope: 'orders:read orders:write',
    })
    const ask = (options: Parameters<typeof verdict>[2]) => verdict(verifier, token, options)
    expect(await ask({ roles: [], scopes: [] })).toBe('accepted')
    expect(await ask({ roles: ['editor', 'reader'], scopes: ['orders:write'] })).toBe('accepted')
    expect(await ask({ roles: ['reader', 'operator'] })).toBe('insufficient_role')
    expect(await ask({ roles: ['read'] })).toBe('insufficient_role')
    expect(await ask({ scopes: ['orders:read', 'orders:delete'] })).toBe('insufficient_scope')
    expect(await ask({ scopes: ['orders'] })).toBe('insufficient_scope')
    expect(await ask({ scopes: ['orders:read orders:write'] })).toBe('insufficient_scope')
    await expect(verifier.verify(token, { roles: ['operator'] })).rejects.toMatchObject({
      status: 403,
    })
    const empty = tokenOf(cardea, { scope: '' }).token
    expect(await verdict(verifier, empty, { scopes: ['openid'] })).toBe('insufficient_scope')
  })

  test('throws a TypeError for wrong use, and accepts nothing', async () => {
    const { cardea, verifier } = await setUp()
    const { token } = tokenOf(cardea)
    for (const options of [{ policy: 'allow' }, { roles: 'reader' }, { scopes: 'openid' }]) {
      await expect(
        Reflect.apply(verifier.verify, verifier, [token, options]),
      ).rejects.toBeInstanceOf(TypeError)
    }
  })
})

describe('revocation', () => {
  test('R72: R73: of a token reaches the verifier by itself, also for a rewritten signature', async () => {
    const { cardea, verifier } = await setUp()
    const { token, claims } = tokenOf(cardea)
    const other = tokenOf(cardea, { sub: claims['sub'], sid: claims['sid'] })
    expect(await verdict(verifier, token)).toBe('accepted')
    cardea.toy.feed.log.push(entryOf('jti', claims['jti']))
    await vi.waitUntil(async () => (await verdict(verifier, token)) === 'token_revoked')
    expect(await verdict(verifier, malleated(token))).toBe('token_revoked')
    expect(await verdict(verifier, other.token)).toBe('accepted')
    expect(verifier.state()).toBe('FRESH')
  })

  test('of a session, an account, its roles and everything, each by its own claim', async () => {
    const { cardea, verifier } = await setUp()
    const sub = newId()
    const aep = (global: number, account: number, claims: number) =>
      tokenOf(cardea, { sub, aep: [global, account, claims] })
    const session = tokenOf(cardea)
    const steps = [
      { entry: entryOf('sid', session.claims['sid']), dead: session, alive: tokenOf(cardea) },
      { entry: entryOf('sub', sub, 5), dead: aep(9, 4, 9), alive: aep(9, 5, 9) },
      { entry: entryOf('claims', sub, 7), dead: aep(9, 9, 6), alive: aep(9, 9, 7) },
      { entry: entryOf('everyone', '', 8), dead: aep(7, 9, 9), alive: aep(8, 9, 9) },
    ]
    for (const { entry, dead, alive } of steps) {
      expect(await verdict(verifier, dead.token)).toBe('accepted')
      cardea.toy.feed.log.push(entry)
      await vi.waitUntil(async () => (await verdict(verifier, dead.token)) === 'token_revoked')
      expect(await verdict(verifier, alive.token)).toBe('accepted')
    }
  })

  test('R79: of a signing key refuses all its tokens, remembered or new, though the key set still holds it', async () => {
    const { cardea, verifier } = await setUp()
    const [stolen] = cardea.toy.keys
    const next = await newKey()
    cardea.toy.keys.push(next)
    const { token } = tokenOf(cardea)
    expect(await verdict(verifier, token)).toBe('accepted')
    const requests = cardea.requests.filter(({ url }) => url?.includes('jwks')).length
    cardea.toy.feed.log.push(entryOf('kid', stolen?.kid))
    await vi.waitUntil(async () => (await verdict(verifier, token)) === 'token_revoked')
    expect(await verdict(verifier, tokenOf(cardea).token)).toBe('token_revoked')
    // Not even looked at: whoever has the key can make any signature, so none is worth checking.
    const end = token.lastIndexOf('.')
    const forged = `${token.slice(0, end)}.${Buffer.alloc(64, 1).toString('base64url')}`
    expect(await verdict(verifier, forged)).toBe('token_revoked')
    expect(await verdict(verifier, tokenOf(cardea, {}, await newKey()).token)).toBe('token_invalid')
    expect(verifier.stats().keys).toBe(1)
    expect(cardea.requests.filter(({ url }) => url?.includes('jwks')).length).toBe(requests)
  })
})

test('a clock that is not that of the issuer is told as an error', async () => {
  const cardea = await startToyCardea()
  const slow = { ...systemClock, nowMs: () => systemClock.nowMs() - 600_000 }
  const { verifier } = startVerifier(cardea, { clock: slow })
  const errors: unknown[] = []
  verifier.on('error', (error) => errors.push(error))
  await verifier.ready()
  expect(errors).toEqual([expect.objectContaining({ name: 'ClockDiffers' })])
})

describe('before it is ready', () => {
  test('R75: I4: without a snapshot nothing is accepted, under any policy, though the keys are there', async () => {
    const cardea = await startToyCardea()
    const { verifier } = startVerifier(cardea, { client: { ...client, secret: 'wrong' } })
    const errors: unknown[] = []
    verifier.on('error', (error) => errors.push(error))
    await vi.waitUntil(() => verifier.stats().keys === 1 && errors.length > 1)
    const { token } = tokenOf(cardea)
    for (const policy of ['deny', 'introspect', { bounded: 900 }, 'accept-until-exp'] as const) {
      const error: unknown = await verifier
        .verify(token, { policy })
        .catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'not_ready', status: 503, retryAfterSeconds: 2 })
      // For the log of the service, which would otherwise never learn why.
      expect(String((error as Error).cause)).toContain('is the client id and secret right?')
    }
    expect(verifier.state()).toBe('LOADING')
    expect(cardea.toy.introspected).toEqual([])
    expect(String(errors[0])).not.toContain('wrong')
  })

  test('R75: without keys nothing is accepted, though the snapshot is there', async () => {
    const cardea = await startToyCardea()
    const keys = cardea.toy.keys.splice(0)
    const { verifier } = startVerifier(cardea)
    const { token } = tokenOf(cardea, {}, keys[0])
    await vi.waitUntil(() => verifier.stats().snapshotEntries === 0)
    expect(await verdict(verifier, token)).toBe('not_ready')
    expect(verifier.state()).toBe('LOADING')
    cardea.toy.keys.push(...keys)
    await verifier.ready()
    expect(await verdict(verifier, token)).toBe('accepted')
  })

  test('ready waits for an issuer that starts later', async () => {
    const cardea = await startToyCardea()
    cardea.toy.mode = 'down'
    const { verifier } = startVerifier(cardea)
    const states: VerifierState[] = []
    verifier.on('state', (state) => states.push(state))
    const ready = verifier.ready()
    await vi.waitUntil(() => cardea.requests.length > 2)
    cardea.toy.mode = 'up'
    await ready
    expect(verifier.state()).toBe('FRESH')
    expect(states).toEqual(['FRESH'])
  })

  test('ready gives up when its signal aborts, and when the verifier is closed', async () => {
    const cardea = await startToyCardea()
    cardea.toy.mode = 'down'
    const { verifier } = startVerifier(cardea)
    const reason = new Error('waited long enough')
    const stop = new AbortController()
    const bounded = verifier.ready(stop.signal)
    stop.abort(reason)
    await expect(bounded).rejects.toBe(reason)
    await expect(verifier.ready(AbortSignal.abort(reason))).rejects.toBe(reason)
    const unbounded = verifier.ready()
    await Promise.all([verifier.close(), expect(unbounded).rejects.toBeInstanceOf(VerifierError)])
    await expect(verifier.ready()).rejects.toBeInstanceOf(VerifierError)
  })
})

describe('revocations off', () => {
  test('needs no client, follows only the keys, and says so', async () => {
    const cardea = await startToyCardea()
    const { verifier } = startVerifier(cardea, { revocations: 'off' })
    expect(await verdict(verifier, tokenOf(cardea).token)).toBe('not_ready')
    await verifier.ready()
    expect(await verdict(verifier, tokenOf(cardea).token)).toBe('accepted')
    expect(verifier.state()).toBe('OFF')
    expect(cardea.requests.map(({ url }) => url)).toEqual(['/.well-known/jwks.json'])
  })
})

describe('a verifier that is closed', () => {
  test('accepts nothing, under any policy, and leaves nothing running', async () => {
    const { cardea, verifier, clock } = await setUp({ policy: 'accept-until-exp' })
    const { token } = tokenOf(cardea)
    expect(await verdict(verifier, token)).toBe('accepted')
    await verifier.close()
    await verifier.close()
    expect(await verdict(verifier, token)).toBe('not_ready')
    clock.jump(10_000)
    expect(await verdict(verifier, token)).toBe('not_ready')
    expect(verifier.state()).toBe('LOADING')
  })
})

describe('events and numbers', () => {
  test('a listener that throws becomes a warning, and the others are told', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const { cardea, verifier } = await setUp()
    const seen: number[] = []
    const broken = () => {
      throw new Error('a broken listener')
    }
    verifier.on('snapshot', broken)
    verifier.on('snapshot', ({ entries }) => seen.push(entries))
    cardea.toy.feed.feedId = '7300000000000000001-2'
    cardea.toy.feed.log.push(entryOf('jti', newId()))
    await vi.waitUntil(() => seen.length === 1)
    expect(warned).toHaveBeenCalledWith(expect.objectContaining({ message: 'a broken listener' }))
    verifier.off('snapshot', broken)
    warned.mockRestore()
    expect(await verdict(verifier, tokenOf(cardea).token)).toBe('accepted')
  })

  test('R74: the numbers say how fresh it is and what the cache saves', async () => {
    const { cardea, verifier, clock } = await setUp()
    const { token } = tokenOf(cardea)
    for (let count = 0; count < 5; count += 1) await verifier.verify(token)
    expect(verifier.stats()).toMatchObject({
      state: 'FRESH',
      staleForMs: 0,
      snapshotEntries: 0,
      keys: 1,
      cachedTokens: 1,
      cacheHits: 4,
      cacheMisses: 1,
    })
    cardea.toy.mode = 'down'
    cardea.cutAll()
    clock.jump(5000)
    const stats = verifier.stats()
    expect(stats.state).toBe('STALE')
    expect(stats.staleForMs).toBeGreaterThanOrEqual(0)
    expect(stats.keysAgeMs).toBeGreaterThanOrEqual(5000)
  })
})
