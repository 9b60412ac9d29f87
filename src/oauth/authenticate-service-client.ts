import type { Clock } from '../lib/clock.ts'
import { isId } from '../lib/id.ts'
import { briefMemory } from './brief-memory.ts'
import { type ClientProofs, credentialsKey, type ServiceCredentials } from './client-proofs.ts'
import { isServiceClientSecret } from './service-client.ts'
import type { ServiceClientStore } from './service-client-store.ts'

export type AuthenticateServiceClientDeps = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly clients: Pick<ServiceClientStore, 'validDigests'>
  readonly proofs: ClientProofs
}

/** How long an instance goes on letting in a client that has been disabled; `docs/reference/cli.md` says so. */
const rememberedMs = 5_000

/** Far more services than one deployment has; some 100 bytes each. */
const mostRemembered = 1_000

/**
 * Whether these are the credentials of a client that may call. One statement; a yes is remembered for `rememberedMs`, counted from
 * before the statement, so that replicas which poll every second cost one statement in five. A no is never remembered: a client that
 * has just been created must not have to wait, and strangers must not push out what is remembered of others.
 *
 * No limit on attempts: a secret has 256 random bits.
 *
 * @throws store_unavailable or server_busy when it cannot be known; never a yes or a no then
 */
export const authenticateServiceClient = ({
  clock,
  clients,
  proofs,
}: AuthenticateServiceClientDeps) => {
  const remembered = briefMemory({ clock, keepMs: rememberedMs, most: mostRemembered })
  const prove = proofs({ read: clients.validDigests, digestsOf: (digests) => digests })

  /** Many replicas of one client come at once: they share one look. */
  const underWay = new Map<string, Promise<boolean>>()

  const look = async (credentials: ServiceCredentials, key: string): Promise<boolean> => {
    const sinceMs = clock.monotonicMs()
    if (!(await prove(credentials))) return false
    remembered.add(key, sinceMs)
    return true
  }

  return async (credentials: ServiceCredentials): Promise<boolean> => {
    if (!isId(credentials.clientId) || !isServiceClientSecret(credentials.secret)) return false
    const key = credentialsKey(credentials)
    if (remembered.has(key)) return true
    const started = underWay.get(key)
    if (started !== undefined) return started
    const looking = look(credentials, key).finally(() => underWay.delete(key))
    underWay.set(key, looking)
    return looking
  }
}
