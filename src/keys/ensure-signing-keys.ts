import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/random.ts'
import type { InKeyTransaction } from './key-stores.ts'
import { asActive, asNext, makeKey } from './make-key.ts'
import type { DerivedKeys } from './secret-ring.ts'
import type { SigningAlgorithm } from './signing-key.ts'
import type { SigningKeyStore } from './signing-key-store.ts'

type Dependencies = {
  readonly store: SigningKeyStore
  readonly inTransaction: InKeyTransaction
  readonly sealingKeys: DerivedKeys
  readonly algorithm: SigningAlgorithm
  readonly clock: Clock
  readonly random: Random
}

/**
 * Makes the first two signing keys of a new deployment: one that signs, one that will sign next. Any row at all, also of a key that is
 * gone, means that this is not one: then nothing is made, whatever state the rows are in.
 */
export const ensureSigningKeys = (deps: Dependencies) => async (): Promise<'made' | 'exists'> => {
  const { store, inTransaction, algorithm, clock } = deps
  if ((await store.listAll()).length > 0) return 'exists'
  const [first, second] = await Promise.all([makeKey(algorithm, deps), makeKey(algorithm, deps)])
  return inTransaction(async ({ signingKeys, audit }) => {
    await signingKeys.lockForRotation()
    // Several instances start at once on an empty database; all but one find the winner's keys here and drop their own.
    if ((await signingKeys.listAll()).length > 0) return 'exists'
    const nowMs = clock.nowMs()
    // The very first key signs at once: no verifier can have cached a key set without it.
    await signingKeys.insert(asActive(first, nowMs))
    await signingKeys.insert(asNext(second, nowMs, undefined))
    await audit.record({
      event: 'signing_key_added',
      outcome: 'success',
      actor: { kind: 'system' },
      details: { algorithm, active: first.kid, next: second.kid },
    })
    return 'made'
  })
}
