import type { BoundedQueue } from '../lib/bounded-queue.ts'
import { type Clock, isId } from '../lib/machine.ts'
import { shareByKey, shareCurrentRead, shareNextRead, ttlSet } from '../lib/share-reads.ts'
import { isSameBytes } from '../lib/signed-bytes.ts'
import { isServiceClientSecret, secretDigest } from './service-client.ts'
import type { ServiceClientStore } from './service-client-store.ts'

export type ServiceCredentials = { readonly clientId: string; readonly secret: string }

/** A read of one client, and which secrets it says are good at this moment. */
export type ClientRead<Found> = {
  readonly read: (clientId: string) => Promise<Found>
  readonly digestsOf: (found: Found) => readonly Buffer[]
}

/** What was read, when these are credentials of a client that may call; otherwise nothing. */
export type ProveClient<Found> = (credentials: ServiceCredentials) => Promise<Found | undefined>

export type ClientProofsDeps = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** For credentials that were never seen to be right: all together get no more than this of the pool. */
  readonly strangers: Pick<BoundedQueue, 'run'>
}

export type ClientProofs = <Found>(read: ClientRead<Found>) => ProveClient<Found>

/** Opens nothing: it only says who waits behind strangers. So it may be long. */
const knownForMs = 24 * 3600 * 1000

/** Far more services than one deployment has; some 100 bytes each. */
const maxKnown = 1_000

/** The digest, so that no secret stays in memory longer than its request. */
const credentialsKey = ({ clientId, secret }: ServiceCredentials): string =>
  `${clientId}.${secretDigest(secret).toString('base64url')}`

/**
 * Reads service clients by credentials that anybody can make up. Whoever asks about one client shares the reads of it, and strangers
 * share a part of the pool, so that neither a known id nor any number of invented ones keeps requests from Postgres. Credentials that
 * were right once do not wait behind strangers: a flood must not make the verifiers stale that follow the feed.
 */
export const clientProofs = ({ clock, strangers }: ClientProofsDeps): ClientProofs => {
  const known = ttlSet({ clock, keepMs: knownForMs, maxKeys: maxKnown })
  return <Found>({ read, digestsOf }: ClientRead<Found>) => {
    // Never an older read: a secret that was revoked before the call must not pass.
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
      // All of them, each in constant time. What they are compared with is a hash, too, which nobody can steer byte by byte.
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

/** How long an instance goes on letting in a client that has been disabled; `docs/reference/cli.md` says so. */
const rememberedMs = 5_000

/** Far more services than one deployment has; some 100 bytes each. */
const maxRemembered = 1_000

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
  const remembered = ttlSet({ clock, keepMs: rememberedMs, maxKeys: maxRemembered })
  const prove = proofs({ read: clients.validDigests, digestsOf: (digests) => digests })

  /** Many replicas of one client come at once: they share one look. */
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
