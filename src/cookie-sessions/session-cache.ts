import { LruMap } from 'toad-cache'
import type { RedisConnection } from '../infra/redis/redis.ts'
import type { Clock } from '../lib/machine.ts'
import { type MacKey, textSigner } from '../lib/signed-bytes.ts'
import { type CookieSession, cachedSessionLifetimeMs, revisionOf } from './cookie-session.ts'

export type CachedSession = {
  readonly session: CookieSession
  /** SHA-256 of the secret of its handle, in base64url. */
  readonly secretDigest: string
  /** By the clock of the process that cached it, before it read the row. */
  readonly copiedAtMs: number
}

/** Cached sessions, which save lookups in Postgres. Any of them may be old, missing or lost at any moment. */
export type SessionCache = {
  /** Whether the cache is reachable, as far as this process knows. */
  readonly isReady: () => boolean
  /** Undefined: not cached, not written by this service, or the cache is unreachable. Never rejects. */
  readonly read: (sessionId: string) => Promise<CachedSession | undefined>
  /** Caches a session unless a newer state is cached. */
  readonly write: (copy: CachedSession) => Promise<void>
  readonly drop: (sessionIds: readonly string[]) => Promise<void>
}

const keyOf = (sessionId: string): string => `cardea:session:${sessionId}`

/** The number of parsed sessions kept in memory, about 2 KB each with their text. */
const maxOpened = 10_000

/** In characters. Longer ones, with much data, are parsed at each lookup, so that all together take at most 40 MB. */
const longestKept = 2_048

/** The format version. Change it with every change of `SessionCopy`, so that other versions of this service ignore the entry. */
const form = 'cardea session copy 3'

/**
 * A slow reader must not replace a newer row by an older one. An equal one is written again, because the stored value may be damaged. A
 * value without a leading revision, or one that is not a string, is not from this service.
 */
const writeIfNewer = `
local known = redis.pcall('GET', KEYS[1])
local revision = type(known) == 'string' and tonumber(string.match(known, '^(%d+)[.]'))
if not revision or revision <= tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 0`

/**
 * Entries have the form `<revision>.<MAC>.<JSON>`. Somebody who can write to Redis must not be able to give a session other roles or
 * another owner, so an entry needs a valid MAC.
 */
export const redisSessionCache = (
  redis: Pick<RedisConnection, 'client' | 'isReady'>,
  keys: readonly MacKey[],
): SessionCache => {
  const { client, isReady } = redis
  const { sign, isSignature } = textSigner(keys, `${form}.`)

  const open = (text: string, sessionId: string): CachedSession | undefined => {
    const [, mac, json] = /^\d{1,16}[.]([\w-]{43})[.](.+)$/s.exec(text) ?? []
    if (mac === undefined || json === undefined || !isSignature(mac, json)) return undefined
    // The MAC proves that this code wrote it.
    const copy: CachedSession = JSON.parse(json)
    return copy.session.sessionId === sessionId ? copy : undefined
  }

  // Reuses the result for the same text: checking its MAC and parsing its JSON take longer than the rest of a lookup.
  const opened = new LruMap<{ readonly text: string; readonly copy: CachedSession }>(maxOpened)
  const reopen = (text: string, sessionId: string): CachedSession | undefined => {
    const known = opened.get(sessionId)
    if (known?.text === text) return known.copy
    const copy = open(text, sessionId)
    if (copy && text.length <= longestKept) opened.set(sessionId, { text, copy })
    return copy
  }

  return {
    isReady,
    read: async (sessionId) => {
      if (!isReady()) return undefined
      const text = await client.get(keyOf(sessionId)).catch(() => undefined)
      return text ? reopen(text, sessionId) : undefined
    },
    write: async (copy) => {
      const json = JSON.stringify(copy)
      const revision = revisionOf(copy.session)
      const text = `${revision}.${sign(json)}.${json}`
      const key = keyOf(copy.session.sessionId)
      await client.eval(writeIfNewer, 1, key, revision, text, cachedSessionLifetimeMs)
    },
    drop: async (sessionIds) => {
      // One key per command, because in a cluster they are in different slots.
      await Promise.all(sessionIds.map((sessionId) => client.del(keyOf(sessionId))))
    },
  }
}

/** Updates the cache after a commit, and retries while an older state may still be cached. */
export type CacheInvalidator = {
  /** Replaces the cached state of a session. Never rejects. */
  readonly replace: (copy: CachedSession) => Promise<void>
  /** Never rejects. */
  readonly drop: (sessionIds: readonly string[]) => Promise<void>
  /** Retries what failed. */
  readonly settle: () => Promise<void>
}

/**
 * A cache that this process cannot reach may be reachable for another one, which would then use the older state, with the earlier data, for
 * up to its lifetime. A session that has ended or was renewed is refused sooner, by the revocation log.
 */
export const cacheInvalidator = (
  clock: Clock,
  cache: SessionCache,
  onError: (error: unknown) => void,
): CacheInvalidator => {
  /** Sessions whose cached state may be old, with the monotonic time until which that is possible. */
  const owed = new Map<string, number>()

  /** Returns whether it succeeded. Sessions added after it began stay in the list, because one of several nodes may be slow. */
  const tryTo = async (act: () => Promise<void>, sessionIds: readonly string[]) => {
    const before = sessionIds.map((sessionId) => [sessionId, owed.get(sessionId)] as const)
    try {
      await act()
    } catch (error) {
      // An unreachable cache was already reported.
      if (cache.isReady()) onError(error)
      return false
    }
    for (const [sessionId, untilMs] of before) {
      if (owed.get(sessionId) === untilMs) owed.delete(sessionId)
    }
    return true
  }
  /** A whole lifetime from now, even for sessions already in the list: the older state may be cached until now. */
  const change = async (act: () => Promise<void>, sessionIds: readonly string[]): Promise<void> => {
    if (await tryTo(act, sessionIds)) return
    const untilMs = clock.monotonicMs() + cachedSessionLifetimeMs
    for (const sessionId of sessionIds) owed.set(sessionId, untilMs)
  }
  return {
    drop: (sessionIds) => change(() => cache.drop(sessionIds), sessionIds),
    replace: (copy) => change(() => cache.write(copy), [copy.session.sessionId]),
    settle: async () => {
      const nowMs = clock.monotonicMs()
      for (const [sessionId, untilMs] of owed) if (untilMs <= nowMs) owed.delete(sessionId)
      if (owed.size === 0 || !cache.isReady()) return
      const sessionIds = [...owed.keys()]
      await tryTo(() => cache.drop(sessionIds), sessionIds)
    },
  }
}
