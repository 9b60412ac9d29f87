import type { BoundedQueue } from '../lib/bounded-queue.ts'
import { type Clock, isId } from '../lib/machine.ts'
import { shareByKey, shareCurrentRead, shareNextRead, ttlSet } from '../lib/share-reads.ts'
import { isSameBytes } from '../lib/signed-bytes.ts'
import { isServiceClientSecret, secretDigest } from './service-client.ts'
import type { ServiceClientStore } from './service-client-store.ts'

export type ServiceCredentials = { readonly clientId: string; readonly secret: string }

/** Reads one client, and the digests of its valid secrets. */
export type ClientRead<Found> = {
  readonly read: (clientId: string) => Promise<Found>
  readonly digestsOf: (found: Found) => readonly Buffer[]
}

/** Returns what was read when the credentials belong to an enabled client; otherwise nothing. */
export type ProveClient<Found> = (credentials: ServiceCredentials) => Promise<Found | undefined>

export type ClientProofsDeps = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Credentials that have not been verified yet. All together get only this share of the pool. */
  readonly strangers: Pick<BoundedQueue, 'run'>
}

export type ClientProofs = <Found>(read: ClientRead<Found>) => ProveClient<Found>

/** It grants no access; it only decides who waits in the shared queue. So it may be long. */
const knownForMs = 24 * 3600 * 1000

/** Far more services than one deployment has; about 100 bytes each. */
const maxKnown = 1_000

/** Uses the digest, so that no secret stays in memory longer than its request. */
const credentialsKey = ({ clientId, secret }: ServiceCredentials): string =>
  `${clientId}.${secretDigest(secret).toString('base64url')}`

/**
 * Reads service clients by credentials that anyone can make up. Requests about one client share its reads, and unverified credentials share
 * a part of the pool. So neither a known id nor any number of invented ones can block Postgres for other requests. Credentials that were
 * verified once do not wait in that queue: a flood must not make the verifiers stale that follow the feed.
 */
export const clientProofs = ({ clock, strangers }: ClientProofsDeps): ClientProofs => {
  const known = ttlSet({ clock, keepMs: knownForMs, maxKeys: maxKnown })
  return <Found>({ read, digestsOf }: ClientRead<Found>) => {
    // Never an older read: a secret that was revoked before the call must be refused.
    const shareKnown = shareByKey<Found>(shareNextRead)
    const shareStrange = shareByKey<Found>(shareNextRead)
    const readFor = (clientId: string, isKnown: boolean): Promise<Found> =>
      isKnown
        ? shareKnown(clientId, () => read(clientId))
        : shareStrange(clientId, () => strangers.run(() => read(clientId)))
    return async function proveClient(credentials: ServiceCredentials) {
      const { clientId, secret } = credentials
      if (!isId(clientId) || !isServiceClientSecret(secret)) return undefined
      const digest = secretDigest(secret)
      const key = credentialsKey(credentials)
      const found = await readFor(clientId, known.has(key))
      // Compares all, each in constant time. They are hashes, which an attacker cannot choose byte by byte.
      const matches = digestsOf(found).filter((valid) => isSameBytes(valid, digest))
      if (matches.length === 0) return undefined
      known.add(key, clock.monotonicMs())
      return found
    }
  }
}

export type AuthenticateServiceClientDeps = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly clients: Pick<ServiceClientStore, 'validDigests'>
  readonly proofs: ClientProofs
}

/** How long a process may still accept a client that has been disabled. `docs/reference/cli.md` states this time. */
const rememberedMs = 5_000

/** Far more services than one deployment has; about 100 bytes each. */
const maxRemembered = 1_000

/**
 * Whether these are the credentials of an enabled client. One statement. A positive result is cached for `rememberedMs`, counted from
 * before the statement, so that replicas that poll every second cost one statement in five. A negative result is never cached: a client
 * that was just created must not have to wait, and invented credentials must not displace the cached ones.
 *
 * There is no limit on attempts, because a secret has 256 random bits.
 *
 * @throws store_unavailable or server_busy when it cannot decide
 */
export const authenticateServiceClient = ({
  clock,
  clients,
  proofs,
}: AuthenticateServiceClientDeps) => {
  const remembered = ttlSet({ clock, keepMs: rememberedMs, maxKeys: maxRemembered })
  const prove = proofs({ read: clients.validDigests, digestsOf: (digests) => digests })

  /** Many replicas of one client arrive at once and share one read. */
  const share = shareByKey<boolean>(shareCurrentRead)

  const look = async (credentials: ServiceCredentials, key: string): Promise<boolean> => {
    const sinceMs = clock.monotonicMs()
    if (!(await prove(credentials))) return false
    remembered.add(key, sinceMs)
    return true
  }

  return async function authenticateClient(credentials: ServiceCredentials): Promise<boolean> {
    if (!isId(credentials.clientId) || !isServiceClientSecret(credentials.secret)) return false
    const key = credentialsKey(credentials)
    return remembered.has(key) || share(key, () => look(credentials, key))
  }
}
