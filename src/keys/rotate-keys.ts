import type { keepKeys } from './keep-keys.ts'
import type { KeyActor } from './key-stores.ts'
import type { KeySet } from './load-key-set.ts'
import { readyAtMs } from './next-step.ts'
import type { SigningAlgorithm } from './signing-key.ts'

export type RotateKeysDeps = {
  readonly read: () => Promise<KeySet>
  readonly keep: ReturnType<typeof keepKeys>
}

export type Rotation =
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
  async (actor: KeyActor): Promise<Rotation> => {
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
