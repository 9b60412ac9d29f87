import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Fate, startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { startVerifier, type VerifierProcess } from '../support/verifier/verifier-process.ts'
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

/** A line between a verifier and the service, with what is done to it. */
type Line = { readonly proxy: TcpProxy; setFate: (fate: Fate) => void }

type Fault = {
  readonly what: string
  readonly begin: (line: Line) => unknown
  readonly end: (line: Line) => unknown
}

const faults: readonly Fault[] = [
  {
    what: 'cut at every answer',
    begin: ({ proxy, setFate }) => {
      setFate('cut')
      proxy.cutAll()
    },
    end: ({ setFate }) => setFate('pass'),
  },
  {
    what: 'open but frozen',
    begin: ({ setFate }) => setFate('lose'),
    end: ({ setFate }) => setFate('pass'),
  },
  {
    what: '30 seconds late with answers',
    begin: ({ proxy }) => proxy.slowDown({ toClientMs: 30_000 }),
    end: ({ proxy }) => proxy.slowDown({}),
  },
  {
    what: '30 seconds late with questions',
    begin: ({ proxy }) => {
      proxy.slowDown({ toServerMs: 30_000 })
      // The question that waits for news at the service already would be answered.
      proxy.cutAll()
    },
    end: ({ proxy }) => proxy.slowDown({}),
  },
]

type Scene = Line & { readonly verifier: VerifierProcess; readonly stop: () => Promise<void> }

const behindALine = async (): Promise<Scene> => {
  let fate: Fate = 'pass'
  const address = cardea.client.address
  const proxy = await startTcpProxy(address, () => ({ onServerBytes: () => fate }))
  const verifier = await startVerifier(await openingFor(cardea, `http://127.0.0.1:${proxy.port}`))
  await verifier.call('ready')
  return {
    proxy,
    verifier,
    setFate: (changed) => {
      fate = changed
    },
    stop: async () => {
      await verifier.stop()
      await proxy.stop()
    },
  }
}

const revoke = ({ jti }: TestToken) => revokeAt(cardea.client, operator, { jti })

// Each waits for a lease to end; at the same time, as they have nothing in common but the service.
describe.concurrent('a line to the feed that is', () => {
  test.each(faults)(
    'R73, R74: $what: what is revoked meanwhile is not accepted after its time; then nothing is, until the line is back',
    async ({ begin, end }) => {
      const scene = await behindALine()
      const { verifier } = scene
      try {
        const [doomed, spared] = await mintTokens(cardea, 2)
        if (!doomed || !spared) throw new Error('no tokens')
        await verifier.watch([doomed.token, spared.token])
        await begin(scene)
        const promised = await revoke(doomed)

        await verifier.whenState('STALE')
        expect(await verifier.verdict(spared.token)).toBe('revocation_state_unknown')
        expect(await verifier.verdict(doomed.token)).toBe('revocation_state_unknown')
        const [before] = await verifier.watched()
        // The fault did keep it from hearing of it: otherwise nothing was tested.
        expect(before?.lastAcceptedAtMs).toBeGreaterThan(promised.committedAtMs)

        await end(scene)
        await verifier.whenState('FRESH')
        expect(await verifier.verdict(spared.token)).toBe('accepted')
        expect(await verifier.verdict(doomed.token)).toBe('token_revoked')
        await expectKeptPromises(verifier, [promised])
        expect((await verifier.watched())[1]?.acceptedInDoubt).toBe(0)
      } finally {
        await scene.stop()
      }
    },
  )

  test('R73: 3 seconds late: a lease counts from the question, so that late answers make nothing good that is not', async () => {
    const scene = await behindALine()
    const { verifier, proxy } = scene
    try {
      const tokens = await mintTokens(cardea, 24)
      await verifier.watch(tokens.map(({ token }) => token))
      // Less than a question may take, and more than the half of a lease.
      proxy.slowDown({ toClientMs: 3_000 })
      const promises = []
      for (const token of tokens) {
        promises.push(await revoke(token))
        // Spread over three answers: some are revoked right after the service has read the log for one.
        await pause(400)
      }
      proxy.slowDown({})
      await expectKeptPromises(verifier, promises)
      expect((await verifier.call('history')).states).toContain('STALE')
    } finally {
      await scene.stop()
    }
  })
})

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
    const { verifier, setFate, stop } = await behindALine()
    try {
      // Old enough to be good for both clocks: none is issued in the future, none is over.
      const [doomed] = await mintTokens(cardea, 1, 12 * minuteMs)
      if (!doomed) throw new Error('no token')
      await verifier.watch([doomed.token])
      setFate('lose')
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
