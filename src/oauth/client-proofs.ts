import { timingSafeEqual } from 'node:crypto'
import type { BoundedQueue } from '../lib/bounded-queue.ts'
import type { Clock } from '../lib/clock.ts'
import { isId } from '../lib/id.ts'
import { shareReads } from '../lib/share-reads.ts'
import { briefMemory } from './brief-memory.ts'
import { isServiceClientSecret, secretDigest } from './service-client.ts'

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
export const credentialsKey = ({ clientId, secret }: ServiceCredentials): string =>
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
  const known = briefMemory({ clock, keepMs: knownForMs, most: mostKnown })
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
