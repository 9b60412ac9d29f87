import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../lib/clock.ts'
import { idFromBytes, idToBytes, isId, newId } from '../lib/id.ts'
import type { Random } from '../lib/random.ts'

/** One key of the ring derived for the label "cardea device". Two keys may share an id. */
export type DeviceTokenKey = { readonly id: number; readonly key: Buffer }

export type DeviceTokens = {
  /** After a log-in that succeeded. A device that had an id keeps it; any other gets a new one. */
  readonly issue: (identifier: string, deviceId?: string) => string
  /** The device's id when the token was made here for this identifier within a year, else undefined. Never throws. */
  readonly read: (token: string, identifier: string) => string | undefined
}

// base64url( version 1 B | key id 1 B | identifier tag 16 B | device id 16 B | issued at, seconds, 4 B | mac 32 B )
const version = 1
const tagAt = 2
const deviceAt = 18
const issuedAt = 34
const macAt = 38
const tokenBytes = 70

/** A device that stays away longer than this counts as a stranger again. */
const maxAgeSeconds = 365 * 24 * 3600

const tokenShape = /^[A-Za-z0-9_-]{94}$/

// The first byte keeps the two uses of one key apart: a tag can never stand in for a MAC.
const tagOf = (key: Buffer, identifier: string): Buffer =>
  createHmac('sha256', key).update('\x01').update(identifier).digest().subarray(0, 16)

const macOf = (key: Buffer, body: Uint8Array): Buffer =>
  createHmac('sha256', key).update('\x02').update(body).digest()

const decode = (token: string): Buffer | undefined => {
  if (!tokenShape.test(token)) return undefined
  const bytes = Buffer.from(token, 'base64url')
  // The last character has bits to spare: only one spelling of each token is taken.
  return bytes.toString('base64url') === token ? bytes : undefined
}

/**
 * "This device has signed in to this account before" (OWASP "device cookies"), told without a look-up, so that it can be
 * known before any limit is applied. Bound to the canonical e-mail address by a keyed tag: the token itself holds no personal
 * data. It opens nothing: it only chooses which limits apply. The first key makes tokens, all of them verify.
 */
export const deviceTokens = (
  keys: readonly DeviceTokenKey[],
  random: Random,
  clock: Clock,
): DeviceTokens => {
  const [current] = keys
  if (current === undefined) throw new TypeError('device tokens need at least one key')
  const nowSeconds = () => Math.floor(clock.nowMs() / 1000)

  const issue = (identifier: string, deviceId = newId(random)): string => {
    if (!isId(deviceId)) throw new TypeError('the device id is not an id')
    const bytes = Buffer.alloc(tokenBytes)
    bytes.writeUInt8(version, 0)
    bytes.writeUInt8(current.id, 1)
    tagOf(current.key, identifier).copy(bytes, tagAt)
    idToBytes(deviceId).copy(bytes, deviceAt)
    bytes.writeUInt32BE(nowSeconds(), issuedAt)
    macOf(current.key, bytes.subarray(0, macAt)).copy(bytes, macAt)
    return bytes.toString('base64url')
  }

  const isOurs = (bytes: Buffer, identifier: string): boolean =>
    keys.some(
      ({ id, key }) =>
        id === bytes.readUInt8(1) &&
        timingSafeEqual(macOf(key, bytes.subarray(0, macAt)), bytes.subarray(macAt)) &&
        timingSafeEqual(tagOf(key, identifier), bytes.subarray(tagAt, deviceAt)),
    )

  const read = (token: string, identifier: string): string | undefined => {
    const bytes = decode(token)
    if (bytes === undefined || bytes.readUInt8(0) !== version) return undefined
    if (!isOurs(bytes, identifier)) return undefined
    if (nowSeconds() - bytes.readUInt32BE(issuedAt) > maxAgeSeconds) return undefined
    return idFromBytes(bytes.subarray(deviceAt, issuedAt))
  }
  return { issue, read }
}
