import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { goodClaims } from '../../packages/verifier/test/tokens/signed-tokens.ts'
import { newSigningKey, type TestKey } from '../keys/new-signing-key.ts'
import type { ForeignProcess } from '../support/programs/foreign-process.ts'
import { serveHttp } from '../support/servers/http-server.ts'
import { tokenOf } from './bad-tokens.ts'
import { libraries, shop, startVerifier } from './libraries.ts'

type Answer = { readonly status: number; readonly body: string } | 'cut'

type State = {
  asked: number
  /** What it does instead of answering with its key. */
  instead: Answer | undefined
}

const away: Answer = { status: 503, body: '' }

/** An issuer whose key is ours, to make tokens that Cardea never makes; it counts how often it is asked. */
const startIssuer = async (key: TestKey) => {
  const state: State = { asked: 0, instead: undefined }
  const keySet = { status: 200, body: JSON.stringify({ keys: [key.publicJwk] }) }
  const { address, stop } = await serveHttp((request, response) => {
    state.asked += 1
    const answer = state.instead ?? keySet
    if (answer === 'cut') request.socket.destroy()
    else response.writeHead(answer.status).end(answer.body)
  })
  return { state, issuer: address, close: stop }
}

const claimsOf = (iss: string): Record<string, unknown> => {
  const iat = Math.floor(Date.now() / 1000)
  return { ...goodClaims(), iss, aud: shop, iat, exp: iat + 900 }
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

  const claims = () => claimsOf(issuer.issuer)

  test('says that it cannot know while there are no keys, and finds them by itself', async () => {
    issuer.state.instead = away
    const token = tokenOf(key.signer, claims())
    expect(await verdictOn(token)).toEqual({ unavailable: true })
    issuer.state.instead = undefined
    await vi.waitUntil(async () => 'claims' in (await verdictOn(token)))
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

describe.each(libraries)("the guide's code for $library, once it has keys", (library) => {
  let key: TestKey
  let stranger: TestKey
  let issuer: Awaited<ReturnType<typeof startIssuer>>
  let verifier: ForeignProcess

  beforeAll(async () => {
    key = await newSigningKey('ES256')
    stranger = await newSigningKey('ES256')
    issuer = await startIssuer(key)
    // So that it asks each time it meets the kid of the stranger.
    verifier = await startVerifier(library, issuer.issuer, { cooldownSeconds: 0 })
    const token = tokenOf(key.signer, claims())
    await vi.waitUntil(async () => 'claims' in (await verifier.ask({ token })))
  })
  afterAll(async () => {
    await verifier?.stop()
    await issuer?.close()
  })

  const claims = () => claimsOf(issuer.issuer)

  test.each<readonly [string, Answer]>([
    ['is away', away],
    ['ends the connection', 'cut'],
    ['answers with a page', { status: 200, body: '<html>' }],
    ['answers with other JSON', { status: 200, body: '{"status":"ok"}' }],
    ['answers with a list', { status: 200, body: '[]' }],
    ['answers with nothing', { status: 200, body: 'null' }],
    ['answers with keys that are no list', { status: 200, body: '{"keys":{"kid":"x"}}' }],
    ['answers with no keys', { status: 200, body: '{"keys":[]}' }],
  ])('goes on with the last set when the issuer %s', async (_what, instead) => {
    issuer.state.instead = instead
    const before = issuer.state.asked
    const strange = await verifier.ask({ token: tokenOf(stranger.signer, claims()) })
    expect(issuer.state.asked).toBeGreaterThan(before)
    expect(strange).toHaveProperty('refused')
    const verdict = await verifier.ask({ token: tokenOf(key.signer, claims()) })
    expect(verdict).toHaveProperty('claims')
  })
})
