import type { Clock, Random } from '../lib/machine.ts'
import { type KeySchedule, type KeyStep, newKeyFor, nextStep, readyAtMs } from './key-schedule.ts'
import type { KeySet } from './key-set.ts'
import type { DerivedKeys } from './secret-ring.ts'
import {
  asActive,
  asNext,
  type KeyMaterial,
  makeKey,
  type SigningAlgorithm,
  type SigningKeyRecord,
} from './signing-key.ts'
import type { InKeyTransaction, KeyActor, KeyStores, SigningKeyStore } from './signing-key-store.ts'

export type KeepKeysDeps = {
  readonly inTransaction: InKeyTransaction
  readonly sealingKeys: DerivedKeys
  readonly schedule: KeySchedule
  readonly clock: Clock
  readonly random: Random
}

export type Kept =
  | { readonly kind: 'nothing_due' }
  /** What was due when it was asked for is not any more: another instance did it meanwhile. */
  | { readonly kind: 'done_by_another' }
  | { readonly kind: 'done'; readonly step: KeyStep; readonly newKid: string | undefined }

export type KeepInput = {
  /** Every key that is not gone, as just read and opened: whoever has the wrong secret must not get as far as sealing a new key with it. */
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
      // It has never signed, so nobody misses it.
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
  const isHastened = step.kind === 'replace' || (step.kind === 'add' && isAsked)
  await signingKeys.insert(asNext(newKey, nowMs, isHastened ? nowMs : undefined))
}

/** Equal steps change the same keys into the same states. */
const isSame = (one: KeyStep, other: KeyStep | undefined): boolean =>
  JSON.stringify(one) === JSON.stringify(other)

/**
 * Does the one thing that is due, if any. Whatever was decided before the lock is decided again behind it, in the transaction of the
 * act and its audit entry: of several instances at once exactly one does it.
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
      // No key is retired or erased because one process believes that it is later than Postgres does.
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

export type RotateKeysDeps = {
  readonly read: () => Promise<KeySet>
  readonly keep: ReturnType<typeof keepKeys>
}

export type KeyRotation =
  | { readonly kind: 'rotated'; readonly active: string; readonly next: string | undefined }
  /** `next` has not been published for long enough; the service rotates by itself from `atMs` on. */
  | {
      readonly kind: 'planned'
      readonly next: string
      readonly algorithm: SigningAlgorithm
      readonly atMs: number
    }
  /** Another instance or operator changed the keys at the same moment; nothing was done here. */
  | { readonly kind: 'done_by_another' }

/**
 * What an operator asks for: a rotation now if the next key may sign, else as soon as it may. Asking again changes nothing. When
 * the setting names another algorithm, the next key is replaced by one of it, and so the change begins.
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
