import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Fate, startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { startVerifier, type VerifierProcess } from '../support/verifier/verifier-process.ts'
import { expectKeptPromises, revokeAt } from '../support/verifier/verifier-revocations.ts'
import { mintTokens, openingFor, type TestToken } from '../support/verifier/verifier-tokens.ts'

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
