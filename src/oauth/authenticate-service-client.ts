import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../lib/clock.ts'
import { isId } from '../lib/id.ts'
import { briefMemory } from './brief-memory.ts'
import { isServiceClientSecret, secretDigest } from './service-client.ts'
import type { ServiceClientStore } from './service-client-store.ts'

export type ServiceCredentials = { readonly clientId: string; readonly secret: string }

export type AuthenticateServiceClientDeps = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly clients: Pick<ServiceClientStore, 'validDigests'>
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
 * @throws store_unavailable when it cannot be known; never a yes or a no then
 */
export const authenticateServiceClient = ({ clock, clients }: AuthenticateServiceClientDeps) => {
  const remembered = briefMemory({ clock, keepMs: rememberedMs, most: mostRemembered })
  /** Many replicas of one client come at once: they share one look. */
  const underWay = new Map<string, Promise<boolean>>()

  const look = async (key: string, clientId: string, digest: Buffer): Promise<boolean> => {
    const sinceMs = clock.monotonicMs()
    const digests = await clients.validDigests(clientId)
    // All of them, each in constant time. What they are compared with is a hash, too, which nobody can steer byte by byte.
    const matches = digests.filter((valid) => timingSafeEqual(valid, digest))
    if (matches.length === 0) return false
    remembered.add(key, sinceMs)
    return true
  }

  return async ({ clientId, secret }: ServiceCredentials): Promise<boolean> => {
    if (!isId(clientId) || !isServiceClientSecret(secret)) return false
    const digest = secretDigest(secret)
    // The digest, so that no secret stays in memory longer than its request.
    const key = `${clientId}.${digest.toString('base64url')}`
    if (remembered.has(key)) return true
    const started = underWay.get(key)
    if (started !== undefined) return started
    const looking = look(key, clientId, digest).finally(() => underWay.delete(key))
    underWay.set(key, looking)
    return looking
  }
}
