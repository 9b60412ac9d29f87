import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Cardea, startCardea } from '../../../../test/support/service/cardea.ts'
import { newServiceClient } from '../../../../test/support/service/service-client.ts'
import { createVerifier, type Verifier } from '../../src/index.ts'
import { systemClock } from '../../src/system-clock.ts'
import { verdict } from './toy-cardea.ts'

let cardea: Cardea
let client: { id: string; secret: string }

beforeAll(async () => {
  cardea = await startCardea()
  const { clientId, clientSecret } = await newServiceClient(cardea)
  client = { id: clientId, secret: clientSecret }
})
afterAll(() => cardea.stop())

const startVerifier = async (): Promise<{ verifier: Verifier; lose: () => void }> => {
  let ahead = 0
  let isLost = false
  const { issuer } = cardea.config
  const verifier = createVerifier({
    issuer,
    audience: issuer,
    client,
    endpoint: cardea.instances[0]?.address ?? '',
    clock: { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + ahead },
    fetch: (input, init) =>
      isLost && String(input).includes('/revocations')
        ? Promise.reject(new TypeError('cut off'))
        : globalThis.fetch(input, init),
  })
  onTestFinished(() => verifier.close())
  await verifier.ready()
  const lose = () => {
    isLost = true
    ahead += 5001
  }
  return { verifier, lose }
}

describe('with a real Cardea', () => {
  test('R74: cut off from the feed it denies, and under introspect it asks about each token', async () => {
    const { verifier, lose } = await startVerifier()
    const account = await cardea.createAccount()
    const { accessToken } = await cardea.client.logIn(account)
    lose()
    expect(await verdict(verifier, accessToken)).toBe('revocation_state_unknown')
    expect(await verdict(verifier, accessToken, { policy: 'introspect' })).toBe('accepted')
    const { sub } = await verifier.verify(accessToken, { policy: 'introspect' })
    const token = await cardea.operatorToken()
    const revoked = await cardea.client.post('/admin/revoke', {
      token,
      body: { sub, reason: 'lost telephone' },
    })
    expect(revoked.status).toBe(200)
    expect(await verdict(verifier, accessToken, { policy: 'introspect' })).toBe('token_revoked')
  })
})
