import type { Actor, RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { InTransaction } from '../sessions/index.ts'
import { oauthErrors } from './errors.ts'
import type { ServiceClient } from './service-client.ts'
import type { ServiceClientStores } from './service-client-work.ts'

export type DisableServiceClientDeps = {
  readonly clock: Clock
  readonly inTransaction: InTransaction<ServiceClientStores>
}

export type DisableServiceClientInput = {
  readonly clientId: string
  readonly actor: Actor
  readonly client?: RequestFacts
}

/**
 * Shuts a service client out for good. An instance that has just let it in may do so for as long as it remembers that, see
 * `authenticate-service-client.ts`. Asking again changes nothing and is not recorded again.
 * @throws client_not_found, store_unavailable
 */
export const disableServiceClient =
  ({ clock, inTransaction }: DisableServiceClientDeps) =>
  ({ clientId, actor, client }: DisableServiceClientInput): Promise<ServiceClient> =>
    inTransaction(async ({ clients, audit }) => {
      const before = await clients.lock(clientId)
      if (!before) throw oauthErrors.error('client_not_found')
      if (before.disabledAtMs !== undefined) return before
      const disabledAtMs = clock.nowMs()
      await clients.disable(clientId, disabledAtMs)
      await audit.record({
        event: 'service_client_disabled',
        outcome: 'success',
        actor,
        details: { clientId, name: before.name },
        ...(client && { client }),
      })
      return { ...before, disabledAtMs }
    })
