import { type Actor, actorText } from '../audit/index.ts'
import type { AccountStores } from './account-store.ts'

export type Condemnation = {
  readonly accountId: string
  readonly actor: Actor
  readonly reason: string
  readonly nowMs: number
}

/**
 * Raises the epoch of an account whose sessions its caller has ended: every token issued to it dies, also what a refresh is minting at
 * this moment.
 */
export const condemnTokens = async (
  { accounts, revocations }: Pick<AccountStores, 'accounts' | 'revocations'>,
  { accountId, actor, reason, nowMs }: Condemnation,
): Promise<void> => {
  const minEpoch = await accounts.raiseEpoch(accountId, nowMs)
  await revocations.append({
    target: { kind: 'sub', key: accountId, minEpoch },
    actor: actorText(actor),
    reason,
  })
}
