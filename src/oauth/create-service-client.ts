import type { Actor, RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import { newId } from '../lib/id.ts'
import type { Random } from '../lib/random.ts'
import type { InTransaction } from '../sessions/index.ts'
import { oauthErrors } from './errors.ts'
import { isServiceClientName, newServiceClientSecret, secretDigest } from './service-client.ts'
import type { ServiceClientStores } from './service-client-work.ts'

export type CreateServiceClientDeps = {
  readonly clock: Clock
  readonly random: Random
  readonly inTransaction: InTransaction<ServiceClientStores>
}

export type NewServiceClientInput = {
  readonly name: string
  readonly actor: Actor
  readonly client?: RequestFacts
}

export type CreatedServiceClient = {
  readonly clientId: string
  /** Known now and never again: only its digest is kept. */
  readonly clientSecret: string
  readonly name: string
}

/**
 * Adds a service client that can call at once.
 * @throws invalid_client_name, client_name_taken, store_unavailable
 */
export const createServiceClient =
  ({ clock, random, inTransaction }: CreateServiceClientDeps) =>
  async ({ name, actor, client }: NewServiceClientInput): Promise<CreatedServiceClient> => {
    if (!isServiceClientName(name)) throw oauthErrors.error('invalid_client_name')
    const clientId = newId(random)
    const clientSecret = newServiceClientSecret(random)
    await inTransaction(async ({ clients, audit }) => {
      const added = await clients.add({
        clientId,
        name,
        secretDigest: secretDigest(clientSecret),
        nowMs: clock.nowMs(),
      })
      if (!added) throw oauthErrors.error('client_name_taken')
      await audit.record({
        event: 'service_client_created',
        outcome: 'success',
        actor,
        details: { clientId, name },
        ...(client && { client }),
      })
    })
    return { clientId, clientSecret, name }
  }
