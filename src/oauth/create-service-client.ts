import type { Actor, RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import { newId } from '../lib/id.ts'
import type { Random } from '../lib/random.ts'
import type { InTransaction } from '../sessions/index.ts'
import { oauthErrors } from './errors.ts'
import { areClientScopes } from './scopes.ts'
import { isServiceClientName, newServiceClientSecret, secretDigest } from './service-client.ts'
import type { ServiceClientStores } from './service-client-work.ts'

export type CreateServiceClientDeps = {
  readonly clock: Clock
  readonly random: Random
  readonly inTransaction: InTransaction<ServiceClientStores>
  /** For whom this deployment issues tokens, the default first; at least one. */
  readonly audiences: readonly string[]
}

export type NewServiceClientInput = {
  readonly name: string
  /** None unless given. */
  readonly scopes?: readonly string[]
  /** The first of the deployment unless given. */
  readonly audiences?: readonly string[]
  /** The account it belongs to and ends with: nobody's unless given. */
  readonly ownerId?: string
  readonly actor: Actor
  readonly client?: RequestFacts
}

export type CreatedServiceClient = {
  readonly clientId: string
  /** Known now and never again: only its digest is kept. */
  readonly clientSecret: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  readonly ownerId?: string
  readonly createdAtMs: number
}

const unique = (texts: readonly string[]): readonly string[] => [...new Set(texts)]

/** @throws invalid_client_name, invalid_client_scope, unknown_client_audience */
const checkInput = (
  { name, scopes, audiences }: NewServiceClientInput,
  known: readonly string[],
): Pick<CreatedServiceClient, 'scopes' | 'audiences'> => {
  if (!isServiceClientName(name)) throw oauthErrors.error('invalid_client_name')
  if (!areClientScopes(scopes ?? [])) throw oauthErrors.error('invalid_client_scope')
  const wanted = audiences ?? known.slice(0, 1)
  if (wanted.length === 0 || !wanted.every((audience) => known.includes(audience))) {
    throw oauthErrors.error('unknown_client_audience')
  }
  return { scopes: unique(scopes ?? []), audiences: unique(wanted) }
}

/** Locks it too: who revokes the account at this moment comes before the client or ends it. */
const demandActive = async (
  accounts: ServiceClientStores['accounts'],
  ownerId: string,
): Promise<void> => {
  const owner = await accounts.lock(ownerId)
  if (owner?.status !== 'active') throw oauthErrors.error('invalid_client_owner')
}

/**
 * Adds a service client that can call at once.
 * @throws invalid_client_name, invalid_client_scope, unknown_client_audience, invalid_client_owner, client_name_taken, store_unavailable
 */
export const createServiceClient =
  ({ clock, random, inTransaction, audiences: known }: CreateServiceClientDeps) =>
  async (input: NewServiceClientInput): Promise<CreatedServiceClient> => {
    const { name, ownerId, actor, client } = input
    const { scopes, audiences } = checkInput(input, known)
    const clientId = newId(random)
    const clientSecret = newServiceClientSecret(random)
    const nowMs = clock.nowMs()
    await inTransaction(async ({ clients, accounts, audit }) => {
      if (ownerId !== undefined) await demandActive(accounts, ownerId)
      const digest = secretDigest(clientSecret)
      const added = await clients.add({
        clientId,
        name,
        scopes,
        audiences,
        ownerId,
        secretDigest: digest,
        nowMs,
      })
      if (!added) throw oauthErrors.error('client_name_taken')
      await audit.record({
        event: 'service_client_created',
        outcome: 'success',
        actor,
        details: { clientId, name, scopes, audiences },
        ...(ownerId && { accountId: ownerId }),
        ...(client && { client }),
      })
    })
    const owned = ownerId === undefined ? {} : { ownerId }
    return { clientId, clientSecret, name, scopes, audiences, ...owned, createdAtMs: nowMs }
  }
