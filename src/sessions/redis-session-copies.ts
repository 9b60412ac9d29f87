import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import { LruMap } from 'toad-cache'
import type { RedisConnection } from '../infra/redis/redis.ts'
import { revisionOf } from './cookie-session.ts'
import type { HandleKey } from './handle.ts'
import { copyLifetimeMs, type SessionCopies, type SessionCopy } from './session-copies.ts'

const keyOf = (sessionId: string): string => `cardea:session:${sessionId}`

/** Copies that are kept opened, with their text some 2 KB each. */
const mostOpened = 10_000

/** Characters. A longer copy, of a session with much data, is opened at each look-up, so that all of them take 40 MB at most. */
const longestKept = 2_048

/** Names the form of a copy, which every change of `SessionCopy` changes: another version of this service then does not read it. */
const form = 'cardea session copy 2'

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

const macOf = (key: KeyObject, text: string): Buffer =>
  createHmac('sha256', key).update(`${form}.${text}`).digest()

/**
 * Copies as `<revision>.<MAC>.<JSON>`. Whoever can write to Redis must not be able to give a session other roles or another owner, so a
 * copy counts only with our MAC.
 */
export const redisSessionCopies = (
  redis: Pick<RedisConnection, 'client' | 'isReady'>,
  [first, ...others]: readonly [HandleKey, ...HandleKey[]],
): SessionCopies => {
  const { client, isReady } = redis
  const making = createSecretKey(first.key)
  const keys = [making, ...others.map(({ key }) => createSecretKey(key))]

  const open = (text: string, sessionId: string): SessionCopy | undefined => {
    const [, mac, json] = /^\d{1,16}[.]([\w-]{43})[.](.+)$/s.exec(text) ?? []
    if (mac === undefined || json === undefined) return undefined
    const given = Buffer.from(mac, 'base64url')
    if (!keys.some((key) => timingSafeEqual(macOf(key, json), given))) return undefined
    // Nobody but this code can have made it.
    const copy: SessionCopy = JSON.parse(json)
    return copy.session.sessionId === sessionId ? copy : undefined
  }

  // The same text says the same again: its MAC and its JSON take longer than the rest of a look-up.
  const opened = new LruMap<{ readonly text: string; readonly copy: SessionCopy }>(mostOpened)
  const reopen = (text: string, sessionId: string): SessionCopy | undefined => {
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
      const text = `${revision}.${macOf(making, json).toString('base64url')}.${json}`
      const key = keyOf(copy.session.sessionId)
      await client.eval(writeIfNewer, 1, key, revision, text, copyLifetimeMs)
    },
    drop: async (sessionIds) => {
      // One by one: in a cluster they lie in different slots.
      await Promise.all(sessionIds.map((sessionId) => client.del(keyOf(sessionId))))
    },
  }
}
