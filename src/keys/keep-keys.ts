import type { Clock, Random } from '../lib/machine.ts'
import { type KeySchedule, type KeyStep, newKeyFor, nextStep } from './key-schedule.ts'
import type { DerivedKeys } from './secret-ring.ts'
import { asNext, type KeyMaterial, makeKey, type SigningKeyRecord } from './signing-key.ts'
import type { InKeyTransaction, KeyActor, KeyStores } from './signing-key-store.ts'

export type KeepKeysDeps = {
  readonly inTransaction: InKeyTransaction
  readonly sealingKeys: DerivedKeys
  readonly schedule: KeySchedule
  readonly clock: Clock
  readonly random: Random
}

export type Kept =
  | { readonly kind: 'nothing_due' }
  /** The step is no longer due, because another process has done it meanwhile. */
  | { readonly kind: 'done_by_another' }
  | { readonly kind: 'done'; readonly step: KeyStep; readonly newKid: string | undefined }

export type KeepInput = {
  /**
   * Reads and decrypts every key that is not erased. A process with the wrong secret must fail here, before it encrypts a new key with it.
   */
  readonly keys: readonly SigningKeyRecord[]
  readonly isAsked: boolean
  readonly actor: KeyActor
}

const eventOf = {
  add: 'signing_key_added',
  replace: 'signing_key_rotation_planned',
  rotateEarly: 'signing_key_rotation_planned',
  rotate: 'signing_key_rotated',
  erase: 'signing_key_erased',
} as const

const detailsOf = (step: KeyStep, newKey: KeyMaterial | undefined): Record<string, string> => ({
  ...('kid' in step && { kid: step.kid }),
  ...(step.kind === 'rotate' && { active: step.successor }),
  ...(newKey && { next: newKey.kid, algorithm: newKey.algorithm }),
})

type Turn = {
  readonly step: KeyStep
  readonly newKey: KeyMaterial | undefined
  readonly nowMs: number
  readonly isAsked: boolean
}

const apply = async ({ signingKeys }: KeyStores, turn: Turn): Promise<void> => {
  const { step, newKey, nowMs, isAsked } = turn
  switch (step.kind) {
    case 'add':
      break
    case 'replace':
      // It has never signed, so nothing depends on it.
      await signingKeys.erase(step.kid)
      break
    case 'rotateEarly':
      await signingKeys.rotateEarly(step.kid, nowMs)
      break
    case 'rotate':
      await signingKeys.retire(step.kid, nowMs)
      await signingKeys.activate(step.successor, nowMs)
      break
    case 'erase':
      await signingKeys.erase(step.kid)
      break
  }
  if (!newKey) return
  const rotatesEarly = step.kind === 'replace' || (step.kind === 'add' && isAsked)
  await signingKeys.insert(asNext(newKey, nowMs, rotatesEarly ? nowMs : undefined))
}

/** Equal steps change the same keys into the same states. */
const isSame = (one: KeyStep, other: KeyStep | undefined): boolean =>
  JSON.stringify(one) === JSON.stringify(other)

/**
 * Does the one step that is due, if any. The decision is repeated after taking the lock, in the transaction of the step and its audit
 * entry, so exactly one of several processes does it.
 * @throws store_unavailable; then nothing was changed
 */
export const keepKeys = (deps: KeepKeysDeps) => {
  const { clock, schedule, inTransaction } = deps
  return async ({ keys, isAsked, actor }: KeepInput): Promise<Kept> => {
    const step = nextStep({ ...schedule, keys, nowMs: clock.nowMs(), isAsked })
    if (!step) return { kind: 'nothing_due' }
    const algorithm = newKeyFor(step)
    const newKey = algorithm && (await makeKey(algorithm, deps))
    return inTransaction(async (stores) => {
      const databaseMs = await stores.signingKeys.lockForRotation()
      // A process whose clock is ahead of Postgres must not retire or erase a key too early.
      const nowMs = Math.min(clock.nowMs(), databaseMs)
      const current = await stores.signingKeys.listUsable()
      if (!isSame(step, nextStep({ ...schedule, keys: current, nowMs, isAsked }))) {
        return { kind: 'done_by_another' }
      }
      await apply(stores, { step, newKey, nowMs, isAsked })
      const event = eventOf[step.kind]
      const details = detailsOf(step, newKey)
      await stores.audit.record({ event, outcome: 'success', actor, details })
      return { kind: 'done', step, newKid: newKey?.kid }
    })
  }
}
