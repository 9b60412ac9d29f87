import { once } from 'node:events'
import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { goodClaims } from '../../packages/verifier/test/tokens/signed-tokens.ts'
import { newSigningKey, type TestKey } from '../keys/new-signing-key.ts'
import type { ForeignProcess } from '../support/foreign-process.ts'
import { tokenOf } from './bad-tokens.ts'
import { libraries, shop, startVerifier } from './libraries.ts'

/** An issuer whose key is ours, to make tokens that Cardea never makes; it counts how often it is asked. */
const startIssuer = async (key: TestKey) => {
  const state = { asked: 0, isAway: false }
  const server = createServer((_request, response) => {
    state.asked += 1
    response.statusCode = state.isAway ? 503 : 200
    response.end(state.isAway ? '' : JSON.stringify({ keys: [key.publicJwk] }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no address')
  const close = async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  return { state, issuer: `http://127.0.0.1:${address.port}`, close }
}

describe.each(libraries)("the guide's code for $library", (library) => {
  let key: TestKey
  let issuer: Awaited<ReturnType<typeof startIssuer>>
  let verifier: ForeignProcess
  const verdictOn = (token: string) => verifier.ask({ token })

  beforeAll(async () => {
    key = await newSigningKey('ES256')
    issuer = await startIssuer(key)
    verifier = await startVerifier(library, issuer.issuer)
  })
  afterAll(async () => {
    await verifier?.stop()
    await issuer?.close()
  })

  const claims = (): Record<string, unknown> => {
    const iat = Math.floor(Date.now() / 1000)
    return { ...goodClaims(), iss: issuer.issuer, aud: shop, iat, exp: iat + 900 }
  }

  test('says that it cannot know while there are no keys, and finds them by itself', async () => {
    issuer.state.isAway = true
    const token = tokenOf(key.signer, claims())
    expect(await verdictOn(token)).toEqual({ unavailable: true })
    issuer.state.isAway = false
    await vi.waitUntil(async () => 'claims' in (await verdictOn(token)), { timeout: 10_000 })
  })

  test('refuses a token of another type, and one that lacks a claim', async () => {
    const good = claims()
    expect(await verdictOn(tokenOf(key.signer, good))).toHaveProperty('claims')
    for (const typ of ['JWT', 'jwt', 'secevent+jwt', '']) {
      expect(await verdictOn(tokenOf(key.signer, good, typ)), typ).toHaveProperty('refused')
    }
    for (const name of ['exp', 'iat', 'iss', 'aud', 'sub', 'jti', 'sid', 'aep', 'client_id']) {
      const { [name]: _missing, ...others } = good
      expect(await verdictOn(tokenOf(key.signer, others)), name).toHaveProperty('refused')
    }
  })

  test('asks at most once in 30 seconds because of kids that nobody has, and goes on with the keys it has', async () => {
    const before = issuer.state.asked
    const token = tokenOf(key.signer, claims())
    for (let count = 0; count < 20; count += 1) {
      const { signer } = await newSigningKey('ES256')
      expect(await verdictOn(tokenOf(signer, claims()))).toHaveProperty('refused')
      expect(await verdictOn(token)).toHaveProperty('claims')
    }
    expect(issuer.state.asked - before).toBeLessThanOrEqual(1)
  })
})
