import { timingSafeEqual } from 'node:crypto'
import type { BoundedQueue } from '../lib/bounded-queue.ts'
import { type Clock, isId } from '../lib/machine.ts'
import { shareReads } from '../lib/share-reads.ts'
import { isServiceClientSecret, secretDigest } from './service-client.ts'
import type { ServiceClientStore } from './service-client-store.ts'

export type TtlSet = {
  /** Whether `key` was added less than the time ago that this memory keeps things. */
  readonly has: (key: string) => boolean
  /** Remembers `key` as something that was true at `sinceMs`, a reading of the clock's `monotonicMs`. */
  readonly add: (key: string, sinceMs: number) => void
}

export type TtlSetOptions = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly keepMs: number
  /** At most so many keys; the one that was added longest ago makes room. */
  readonly most: number
}

/** Remembers that something was true, for a short and certain time. A key that is asked for does not live longer for it. */
export const ttlSet = ({ clock, keepMs, most }: TtlSetOptions): TtlSet => {
  const sinceByKey = new Map<string, number>()
  return {
    has: (key) => {
      const sinceMs = sinceByKey.get(key)
      if (sinceMs === undefined) return false
      if (clock.monotonicMs() - sinceMs < keepMs) return true
      sinceByKey.delete(key)
      return false
    },
    add: (key, sinceMs) => {
      // Deleted first, so that the order of the map stays that of the additions.
      sinceByKey.delete(key)
      sinceByKey.set(key, sinceMs)
      if (sinceByKey.size <= most) return
      const [oldest] = sinceByKey.keys()
      if (oldest !== undefined) sinceByKey.delete(oldest)
    },
  }
}

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
const mostKnown = 1_000

/** The digest, so that no secret stays in memory longer than its request. */
const credentialsKey = ({ clientId, secret }: ServiceCredentials): string =>
  `${clientId}.${secretDigest(secret).toString('base64url')}`

/** Calls for the same id share a read that begins after them; an id is forgotten when nobody waits for it. */
const sharedById = <Found>(read: (clientId: string) => Promise<Found>) => {
  const underWay = new Map<string, { readonly share: () => Promise<Found>; waiting: number }>()
  return async (clientId: string): Promise<Found> => {
    const entry = underWay.get(clientId) ?? { share: shareReads(() => read(clientId)), waiting: 0 }
    underWay.set(clientId, entry)
    entry.waiting += 1
    try {
      return await entry.share()
    } finally {
      entry.waiting -= 1
      if (entry.waiting === 0) underWay.delete(clientId)
    }
  }
}

/**
 * Reads service clients by credentials that anybody can make up. Whoever asks about one client shares the reads of it, and strangers
 * share a part of the pool, so that neither a known id nor any number of invented ones keeps requests from Postgres. Credentials that
 * were right once do not wait behind strangers: a flood must not make the verifiers stale that follow the feed.
 */
export const clientProofs = ({ clock, strangers }: ClientProofsDeps): ClientProofs => {
  const known = ttlSet({ clock, keepMs: knownForMs, most: mostKnown })
  return ({ read, digestsOf }) => {
    const readKnown = sharedById(read)
    const readStrange = sharedById((clientId) => strangers.run(() => read(clientId)))
    return async (credentials) => {
      const { clientId, secret } = credentials
      if (!isId(clientId) || !isServiceClientSecret(secret)) return undefined
      const digest = secretDigest(secret)
      const key = credentialsKey(credentials)
      const found = await (known.has(key) ? readKnown : readStrange)(clientId)
      // All of them, each in constant time. What they are compared with is a hash, too, which nobody can steer byte by byte.
      const matches = digestsOf(found).filter((valid) => timingSafeEqual(valid, digest))
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
  const remembered = ttlSet({ clock, keepMs: rememberedMs, most: mostRemembered })
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
