import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Fate, startTcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { startVerifier } from '../support/verifier/verifier-process.ts'
import { expectKeptPromises, revokeAt } from '../support/verifier/verifier-revocations.ts'
import { mintTokens, openingFor, type TestToken } from '../support/verifier/verifier-tokens.ts'

const minuteMs = 60_000

let cardea: Cardea
let operator: string

beforeAll(async () => {
  cardea = await startCardea()
  operator = await cardea.operatorToken()
})
afterAll(() => cardea.stop())

const revoke = ({ jti }: TestToken) => revokeAt(cardea.client, operator, { jti })

const behindALine = async () => {
  let fate: Fate = 'pass'
  const proxy = await startTcpProxy(cardea.client.address, () => ({ onServerBytes: () => fate }))
  const verifier = await startVerifier(await openingFor(cardea, `http://127.0.0.1:${proxy.port}`))
  await verifier.call('ready')
  return {
    verifier,
    freeze: () => {
      fate = 'lose'
    },
    stop: async () => {
      await verifier.stop()
      await proxy.stop()
    },
  }
}

/** Old enough to be good for both clocks: none is issued in the future, none is over. */
const tokensForBoth = async (count: number) => mintTokens(cardea, count, 12 * minuteMs)

describe.concurrent('a verifier whose wall clock is wrong', () => {
  test.each([
    { how: '10 minutes ahead', aheadMs: 10 * minuteMs, ageMs: 0 },
    { how: '10 minutes behind', aheadMs: -10 * minuteMs, ageMs: 12 * minuteMs },
  ])(
    'R73: by $how is FRESH, accepts what its clock allows, and refuses what is revoked in time',
    async ({ aheadMs, ageMs }) => {
      const { verifier, stop } = await behindALine()
      try {
        await verifier.call('setWallClock', aheadMs)
        const [doomed, spared] = await mintTokens(cardea, 2, ageMs)
        if (!doomed || !spared) throw new Error('no tokens')
        await verifier.watch([doomed.token, spared.token])
        const promised = await revoke(doomed)
        const isRefused = async () => (await verifier.verdict(doomed.token)) === 'token_revoked'
        await vi.waitUntil(isRefused, { interval: 10 })
        expect(await verifier.verdict(spared.token)).toBe('accepted')
        await expectKeptPromises(verifier, [promised])
        expect(await verifier.call('state')).toBe('FRESH')
      } finally {
        await stop()
      }
    },
  )

  test('R73: and set back and forth while its line is frozen has no longer a lease for it', async () => {
    const { verifier, freeze, stop } = await behindALine()
    try {
      const [doomed] = await tokensForBoth(1)
      if (!doomed) throw new Error('no token')
      await verifier.watch([doomed.token])
      freeze()
      const promised = await revoke(doomed)
      // 2 minutes ahead it is still good; with a lease by the wall clock each of these would prolong or end it.
      for (const aheadMs of [-10, 2, -5, 1, -10]) {
        await verifier.call('setWallClock', aheadMs * minuteMs)
        expect(await verifier.verdict(doomed.token)).toBe('accepted')
      }
      await verifier.whenState('STALE')
      const [seen] = await verifier.watched()
      expect(seen?.lastAcceptedAtMs).toBeGreaterThan(promised.committedAtMs)
      expect(seen?.lastAcceptedAtMs).toBeLessThan(promised.effectiveByMs)
      expect(seen).toMatchObject({ refusedWith: 'revocation_state_unknown', acceptedInDoubt: 0 })
    } finally {
      await stop()
    }
  })

  test('R78: and was so far ahead that it dropped its entries asks for all of them again when it is set back, before it accepts anything', async () => {
    const { verifier, stop } = await behindALine()
    try {
      const [doomed, spared] = await mintTokens(cardea, 2)
      if (!doomed || !spared) throw new Error('no tokens')
      await verifier.watch([doomed.token, spared.token])
      const promised = await revoke(doomed)
      const isRefused = async () => (await verifier.verdict(doomed.token)) === 'token_revoked'
      await vi.waitUntil(isRefused, { interval: 10 })
      await verifier.call('setWallClock', 20 * minuteMs)
      expect(await verifier.verdict(spared.token)).toBe('token_expired')
      // Entries are looked through now and then only; a process that was suspended for a minute does it when it goes on.
      await verifier.call('suspend', minuteMs)
      expect(await verifier.call('state')).toBe('STALE')
      await verifier.whenState('FRESH')
      await verifier.call('setWallClock', 0)
      const isAccepted = async () => (await verifier.verdict(spared.token)) === 'accepted'
      await vi.waitUntil(isAccepted, { interval: 10 })
      expect(await verifier.verdict(doomed.token)).toBe('token_revoked')
      await expectKeptPromises(verifier, [promised])
      expect((await verifier.call('history')).snapshots).toEqual(['first', 'gap'])
    } finally {
      await stop()
    }
  })
})
