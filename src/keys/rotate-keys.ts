import type { Clock, Random } from '../lib/machine.ts'
import type { keepKeys } from './keep-keys.ts'
import { readyAtMs } from './key-schedule.ts'
import type { KeySet } from './key-set.ts'
import type { DerivedKeys } from './secret-ring.ts'
import { asActive, asNext, makeKey, type SigningAlgorithm } from './signing-key.ts'
import type { InKeyTransaction, KeyActor, SigningKeyStore } from './signing-key-store.ts'

type Dependencies = {
  readonly store: SigningKeyStore
  readonly inTransaction: InKeyTransaction
  readonly sealingKeys: DerivedKeys
  readonly algorithm: SigningAlgorithm
  readonly clock: Clock
  readonly random: Random
}

/**
 * Makes the first two signing keys of a new deployment: one that signs now and one that signs next. If there is any row, even of an erased
 * key, the deployment is not new and nothing is made.
 */
export const ensureSigningKeys = (deps: Dependencies) => async (): Promise<'made' | 'exists'> => {
  const { store, inTransaction, algorithm, clock } = deps
  if ((await store.listAll()).length > 0) return 'exists'
  const [first, second] = await Promise.all([makeKey(algorithm, deps), makeKey(algorithm, deps)])
  return inTransaction(async ({ signingKeys, audit }) => {
    await signingKeys.lockForRotation()
    // When several processes start on an empty database, all except one find the keys here and drop their own.
    if ((await signingKeys.listAll()).length > 0) return 'exists'
    const nowMs = clock.nowMs()
    // The first key signs at once: no verifier can have cached a key set without it.
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

export type RotateKeysDeps = {
  readonly read: () => Promise<KeySet>
  readonly keep: ReturnType<typeof keepKeys>
}

export type KeyRotation =
  | { readonly kind: 'rotated'; readonly active: string; readonly next: string | undefined }
  /** `next` has not been published for long enough. The service rotates by itself after `atMs`. */
  | {
      readonly kind: 'planned'
      readonly next: string
      readonly algorithm: SigningAlgorithm
      readonly atMs: number
    }
  /** Another process or operator changed the keys at the same moment. Nothing was done here. */
  | { readonly kind: 'done_by_another' }

/**
 * Rotates on request of an operator: now if the next key may sign, otherwise as soon as it may. A repeated call changes nothing. If the
 * setting has another algorithm, the next key is replaced by one with it, which starts the change.
 * @throws WrongKeyEncryptionKey, SigningKeysDamaged (also when there are no keys), store_unavailable
 */
export const rotateKeys =
  ({ read, keep }: RotateKeysDeps) =>
  async (actor: KeyActor): Promise<KeyRotation> => {
    const { rows } = await read()
    const kept = await keep({ keys: rows, isAsked: true, actor })
    if (kept.kind === 'done_by_another') return kept
    const after = await read()
    if (kept.kind === 'done' && kept.step.kind === 'rotate') {
      return { kind: 'rotated', active: kept.step.successor, next: kept.newKid }
    }
    const next = after.rows.find(({ state }) => state === 'next')
    if (!next) return { kind: 'done_by_another' }
    const { kid, algorithm } = next
    return { kind: 'planned', next: kid, algorithm, atMs: readyAtMs(next) }
  }
