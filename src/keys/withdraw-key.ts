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
  /** Reads and opens the keys: whoever has the wrong secret must not seal a new one with it. */
  readonly read: () => Promise<KeySet>
  readonly sealingKeys: DerivedKeys
  readonly clock: Clock
  readonly random: Random
}

export type Withdrawn = {
  /** What the key was: `gone` for one that was revoked or is long over. */
  readonly was: SigningKeyState
  /** What signs now, when the withdrawn key did. */
  readonly active?: string
}

/** Does the withdrawal in a transaction of the caller, which records it. */
export type Withdrawal = (signingKeys: SigningKeyTransaction) => Promise<Withdrawn>

/** The key that fills the gap. Without one the withdrawal still stands: instances add the next key within half a minute. */
const makeSpare = async (deps: WithdrawKeyDeps, kid: string): Promise<KeyMaterial | undefined> => {
  try {
    const { rows } = await deps.read()
    const next = rows.find(({ state }) => state === 'next')
    const named = rows.find((row) => row.kid === kid && row.state !== 'retiring')
    // Of the kind that will sign then, or the next rotation would change the algorithm back.
    return named && (await makeKey((next ?? named).algorithm, deps))
  } catch (error) {
    // A secret that does not open the keys is no reason to leave a stolen one in use.
    if (error instanceof AppError) throw error
    return undefined
  }
}

/**
 * The successor signs from now on. It was published beside the old key, so verifiers know it; only a second revocation within minutes
 * reaches one that they may not know yet. Then they ask again for it, which is better than going on with a stolen key.
 * @returns what signs now
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
 * Prepares taking a key out of use at once: it signs no more, is not published any more, and its private part is erased. Preparing makes
 * the key that will fill the gap, outside of any transaction; the withdrawal itself is some statements. A key that is gone may be named,
 * too: verifiers may still hold a copy of it.
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
