import { actorText } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { InTransaction } from '../sessions/index.ts'
import type { ClientActInput } from './client-secrets.ts'
import { oauthErrors } from './errors.ts'
import type { ServiceClient } from './service-client.ts'
import type { ServiceClientStores } from './service-client-work.ts'

export type DisableServiceClientDeps = {
  readonly clock: Clock
  readonly inTransaction: InTransaction<ServiceClientStores>
}

/**
 * Shuts a service client out for good, and takes back the tokens it has out. An instance that has just let it in may do so for as long
 * as it remembers that, see `authenticate-service-client.ts`; none gives it a token any more. Asking again changes nothing and is not
 * recorded again.
 * @throws client_not_found, store_unavailable
 */
export const disableServiceClient =
  ({ clock, inTransaction }: DisableServiceClientDeps) =>
  ({ clientId, actor, client }: ClientActInput): Promise<ServiceClient> =>
    inTransaction(async ({ clients, revocations, audit }) => {
      const before = await clients.lock(clientId)
      if (!before) throw oauthErrors.error('client_not_found')
      if (before.disabledAtMs !== undefined) return before
      const disabledAtMs = clock.nowMs()
      await clients.disable(clientId, disabledAtMs)
      const minEpoch = await clients.raiseEpoch(clientId)
      await revocations.append({
        target: { kind: 'sub', key: clientId, minEpoch },
        actor: actorText(actor),
        reason: 'client_disabled',
      })
      await audit.record({
        event: 'service_client_disabled',
        outcome: 'success',
        actor,
        ...(before.ownerId && { accountId: before.ownerId }),
        details: { clientId, name: before.name },
        ...(client && { client }),
      })
      return { ...before, disabledAtMs }
    })
