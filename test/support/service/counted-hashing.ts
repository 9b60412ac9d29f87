import type { Argon2Engine } from '../../../src/accounts/argon2-password-hasher.ts'
import {
  argon2PasswordHasher,
  type BoundedPasswordHasher,
  boundedPasswordHasher,
  loadArgon2,
} from '../../../src/accounts/index.ts'
import { createApp } from '../../../src/app.ts'
import { openCore } from '../../../src/core.ts'
import { openLog } from '../../../src/http/log.ts'
import { systemRandom } from '../../../src/lib/machine.ts'
import { patienceMs } from '../run/patience-ms.ts'
import type { Cardea } from './cardea.ts'
import { type Client, httpClient } from './client.ts'

export type CountedHashing = {
  readonly client: Client
  /** Computations of argon2 since it was last asked: the memory each spends, in KiB, of checks and of new hashes. */
  readonly computed: () => { readonly checks: number[]; readonly hashes: number[] }
  /** What all logins of the instance share, with its queue. */
  readonly hasher: BoundedPasswordHasher
  readonly stop: () => Promise<void>
}

const memoryOf = (phc: string): number => Number(/m=(\d+),/.exec(phc)?.[1])

/**
 * One more instance over the stores of `cardea`, whose argon2 is counted at the library's door. `beforeCheck` may hold each check
 * up.
 */
export const startCountedHashing = async (
  cardea: Cardea,
  beforeCheck: () => Promise<void> = async () => undefined,
): Promise<CountedHashing> => {
  let checks: number[] = []
  let hashes: number[] = []
  const engine = await loadArgon2()
  const counted: Argon2Engine = {
    name: engine.name,
    hash: (password, ingredients) => {
      hashes.push(ingredients.cost.memoryKib)
      return engine.hash(password, ingredients)
    },
    verify: async (phc, password, secret) => {
      checks.push(memoryOf(phc))
      await beforeCheck()
      return engine.verify(phc, password, secret)
    },
  }
  const nothing = () => undefined
  const machine = { random: systemRandom, report: nothing, reportEnd: nothing }
  const core = await openCore(cardea.config, cardea.stores, machine)
  await core.machine.clock.start()
  const { peppers } = cardea.stores
  const hasher = boundedPasswordHasher(
    argon2PasswordHasher({ engine: counted, random: systemRandom, peppers }),
    {
      concurrency: cardea.config.hashConcurrency,
      queue: cardea.config.hashQueue,
      maxWaitMs: patienceMs,
    },
  )
  const app = await createApp(
    { ...core, hasher },
    openLog({ logLevel: 'silent', logStream: { write: () => undefined } }),
    { timeouts: { responseMs: patienceMs } },
  )
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    client: httpClient(address),
    hasher,
    computed: () => {
      const counts = { checks, hashes }
      checks = []
      hashes = []
      return counts
    },
    stop: async () => {
      await app.close()
      await core.close()
    },
  }
}
