import { AppError } from '../lib/app-error.ts'
import type { Clock, Random } from '../lib/machine.ts'
import { keyErrors } from './errors.ts'
import type { KeySet } from './key-set.ts'
import type { DerivedKeys } from './secret-ring.ts'
import {
  asActive,
  asNext,
  type KeyMaterial,
  makeKey,
  type SigningKeyRecord,
  type SigningKeyState,
} from './signing-key.ts'
import type { SigningKeyTransaction } from './signing-key-store.ts'

export type WithdrawKeyDeps = {
  /** Reads and decrypts the keys: a process with the wrong secret must not encrypt a new one with it. */
  readonly read: () => Promise<KeySet>
  readonly sealingKeys: DerivedKeys
  readonly clock: Clock
  readonly random: Random
}

export type Withdrawn = {
  /** The state of the key before: `gone` for one that was revoked or erased. */
  readonly was: SigningKeyState
  /** The kid that signs now, if the withdrawn key was the active one. */
  readonly active?: string
}

/** Withdraws the key in a transaction of the caller, which records it. */
export type Withdrawal = (signingKeys: SigningKeyTransaction) => Promise<Withdrawn>

/** Makes the key that fills the gap. Without one the withdrawal is still valid: a process adds the next key within half a minute. */
const makeSpare = async (deps: WithdrawKeyDeps, kid: string): Promise<KeyMaterial | undefined> => {
  try {
    const { rows } = await deps.read()
    const next = rows.find(({ state }) => state === 'next')
    const named = rows.find((row) => row.kid === kid && row.state !== 'retiring')
    // It has the algorithm that will be in use then, or the next rotation would change the algorithm back.
    return named && (await makeKey((next ?? named).algorithm, deps))
  } catch (error) {
    // A secret that cannot decrypt the keys is no reason to keep a stolen one in use.
    if (error instanceof AppError) throw error
    return undefined
  }
}

/**
 * The successor signs from now on. It was published beside the old key, so verifiers know it. Only a second revocation within minutes may
 * choose a key that they do not know yet. They then refetch, which is better than accepting a stolen key.
 * @returns the kid that signs now
 */
const promote = async (
  signingKeys: SigningKeyTransaction,
  successor: SigningKeyRecord | undefined,
  spare: KeyMaterial | undefined,
  nowMs: number,
): Promise<string> => {
  if (successor) {
    await signingKeys.activate(successor.kid, nowMs)
    if (spare?.algorithm === successor.algorithm) {
      await signingKeys.insert(asNext(spare, nowMs, undefined))
    }
    return successor.kid
  }
  if (!spare) {
    const cause = new Error('no key could take the place of the one to revoke')
    throw keyErrors.error('signing_keys_unavailable', { retryAfterSeconds: 1, cause })
  }
  await signingKeys.insert(asActive(spare, nowMs))
  return spare.kid
}

/**
 * Prepares the immediate withdrawal of a key: it stops signing, is no longer published, and its private part is erased. The preparation
 * makes the key that fills the gap, outside of any transaction; the withdrawal itself is a few statements. An erased key may be withdrawn
 * too, because verifiers may still cache it.
 * @throws store_unavailable; the withdrawal also signing_key_not_found, signing_keys_unavailable
 */
export const withdrawKey =
  (deps: WithdrawKeyDeps) =>
  async (kid: string): Promise<Withdrawal> => {
    const spare = await makeSpare(deps, kid)
    return async (signingKeys) => {
      await signingKeys.lockForRotation()
      const rows = await signingKeys.listAll()
      const row = rows.find((key) => key.kid === kid)
      if (!row) throw keyErrors.error('signing_key_not_found')
      const nowMs = deps.clock.nowMs()
      await signingKeys.markRevoked(kid, nowMs)
      if (row.state === 'next' && spare) await signingKeys.insert(asNext(spare, nowMs, undefined))
      if (row.state !== 'active') return { was: row.state }
      const successor = rows.find(({ state }) => state === 'next')
      return { was: row.state, active: await promote(signingKeys, successor, spare, nowMs) }
    }
  }
