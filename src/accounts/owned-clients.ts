import { type Actor, actorText, type RequestFacts } from '../audit/index.ts'
import type { SessionStores } from '../sessions/index.ts'

/** A service client that was disabled with its owner; tokens with a lower epoch are dead. */
export type EndedClient = {
  readonly clientId: string
  readonly name: string
  readonly minEpoch: number
}

/** The service clients that belong to accounts, as far as accounts are concerned. */
export type OwnedClients = {
  /** Disables, for good, those that belong to an account that the caller has locked, and raises their epochs. */
  readonly disableOwned: (accountId: string, nowMs: number) => Promise<readonly EndedClient[]>
}

export type OwnerEnd = {
  readonly accountId: string
  readonly actor: Actor
  readonly reason: string
  readonly nowMs: number
  readonly client?: RequestFacts | undefined
}

/**
 * Ends the service clients of an account and condemns the tokens they have out, and records it: in the transaction that ends the
 * account's sessions.
 */
export const endOwnedClients = async (
  {
    clients,
    revocations,
    audit,
  }: Pick<SessionStores, 'revocations' | 'audit'> & { readonly clients: OwnedClients },
  { accountId, actor, reason, nowMs, client }: OwnerEnd,
): Promise<void> => {
  for (const { clientId, name, minEpoch } of await clients.disableOwned(accountId, nowMs)) {
    await revocations.append({
      target: { kind: 'sub', key: clientId, minEpoch },
      actor: actorText(actor),
      reason,
    })
    await audit.record({
      event: 'service_client_disabled',
      outcome: 'success',
      reason,
      actor,
      accountId,
      details: { clientId, name },
      ...(client && { client }),
    })
  }
}
