import { LruMap } from 'toad-cache'
import type { RedisConnection } from '../infra/redis/redis.ts'
import type { Clock } from '../lib/machine.ts'
import { type MacKey, textSigner } from '../lib/signed-bytes.ts'
import { type CookieSession, cachedSessionLifetimeMs, revisionOf } from './cookie-session.ts'

export type CachedSession = {
  readonly session: CookieSession
  /** SHA-256 of the secret of its handle, in base64url. */
  readonly secretDigest: string
  /** By the clock of whoever made it, before it read the row. */
  readonly copiedAtMs: number
}

/** Copies of sessions that spare Postgres a look-up. Any of them may be old, missing or gone at any moment. */
export type SessionCache = {
  /** Whether the cache is there, as far as this process knows. */
  readonly isReady: () => boolean
  /** None: there is none, it is not one that we made, or the cache is away. Never rejects. */
  readonly read: (sessionId: string) => Promise<CachedSession | undefined>
  /** Keeps a copy unless there is a newer one. */
  readonly write: (copy: CachedSession) => Promise<void>
  readonly drop: (sessionIds: readonly string[]) => Promise<void>
}

const keyOf = (sessionId: string): string => `cardea:session:${sessionId}`

/** Copies that are kept opened, with their text some 2 KB each. */
const mostOpened = 10_000

/** Characters. A longer copy, of a session with much data, is opened at each look-up, so that all of them take 40 MB at most. */
const longestKept = 2_048

/** Names the form of a copy, which every change of `SessionCopy` changes: another version of this service then does not read it. */
const form = 'cardea session copy 3'

/**
 * A slow reader must not put an older row over a newer one. An equal one is written again: what stands there may be garbage.
 * What has no revision in front, or is no text at all, is none of ours.
 */
const writeIfNewer = `
local known = redis.pcall('GET', KEYS[1])
local revision = type(known) == 'string' and tonumber(string.match(known, '^(%d+)[.]'))
if not revision or revision <= tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 0`

/**
 * Copies as `<revision>.<MAC>.<JSON>`. Whoever can write to Redis must not be able to give a session other roles or another owner, so a
 * copy counts only with our MAC.
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
    // Nobody but this code can have made it.
    const copy: CachedSession = JSON.parse(json)
    return copy.session.sessionId === sessionId ? copy : undefined
  }

  // The same text says the same again: its MAC and its JSON take longer than the rest of a look-up.
  const opened = new LruMap<{ readonly text: string; readonly copy: CachedSession }>(mostOpened)
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
      // One by one: in a cluster they lie in different slots.
      await Promise.all(sessionIds.map((sessionId) => client.del(keyOf(sessionId))))
    },
  }
}

/** Changes cache after a commit, and goes on trying while an older copy may still be out. */
export type CacheInvalidator = {
  /** Puts the new state of a session in the place of its copy. Never rejects. */
  readonly replace: (copy: CachedSession) => Promise<void>
  /** Never rejects. */
  readonly drop: (sessionIds: readonly string[]) => Promise<void>
  /** Tries again what failed. */
  readonly settle: () => Promise<void>
}

/**
 * A cache that is away for this process may be there for another one, which would then use the older copy, with the data of before, for
 * up to its lifetime. A session that has ended or was renewed is refused sooner: the log of revocations says so.
 */
export const cacheInvalidator = (
  clock: Clock,
  cache: SessionCache,
  onError: (error: unknown) => void,
): CacheInvalidator => {
  /** Sessions whose copy may be old, and until when by the monotonic clock. */
  const owed = new Map<string, number>()

  /** Says whether it succeeded. What became owed after it began stays owed: of several nodes one may be slow. */
  const tryTo = async (act: () => Promise<void>, sessionIds: readonly string[]) => {
    const before = sessionIds.map((sessionId) => [sessionId, owed.get(sessionId)] as const)
    try {
      await act()
    } catch (error) {
      // That the cache is away is known already.
      if (cache.isReady()) onError(error)
      return false
    }
    for (const [sessionId, untilMs] of before) {
      if (owed.get(sessionId) === untilMs) owed.delete(sessionId)
    }
    return true
  }
  /** Until a whole lifetime from now, also when older changes are owed: what they left may have been copied until this one. */
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
