import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Clock, idFromBytes, idToBytes, isId, newId, type Random } from '../lib/machine.ts'

/** One key of the ring derived for the label "cardea device". Two keys may share an id. */
export type DeviceTokenKey = { readonly id: number; readonly key: Buffer }

/**
 * The version of an account's credentials: the epochs. One of them rises with every change of the password and with every revocation of the
 * account or of everyone. No pair comes again after a restore, because that raises the global one.
 */
export type CredentialVersion = { readonly globalEpoch: number; readonly accountEpoch: number }

/** What a device token says: this device logged in to the account when its credentials had that version. */
export type PresentedDevice = CredentialVersion & {
  readonly deviceId: string
  /** Whether it was that account. Its address may belong to another one by now. */
  readonly isOfAccount: (accountId: string) => boolean
}

/** Of the account that was logged in to. */
export type DeviceOwner = CredentialVersion & { readonly accountId: string }

export type DeviceTokens = {
  /** After a login that succeeded. A device that had an id keeps it; any other gets a new one. */
  readonly issue: (identifier: string, owner: DeviceOwner, deviceId?: string) => string
  /**
   * What the token says when it was made here for this identifier within a year, else undefined. Never throws. Whether it still counts
   * depends on the account: see `isKnownDevice`.
   */
  readonly read: (token: string, identifier: string) => PresentedDevice | undefined
}

// base64url( version 1 B | key id 1 B | identifier tag 16 B | device id 16 B | issued at, seconds, 4 B | account epoch 4 B |
//            global epoch 8 B | account tag 16 B | mac 32 B )
const version = 3
const tagAt = 2
const deviceAt = 18
const issuedAt = 34
const accountEpochAt = 38
const globalEpochAt = 42
const accountTagAt = 50
const macAt = 66
const tokenBytes = 98

/** A device that stays away longer than this counts as a stranger again. */
export const deviceTokenSeconds = 365 * 24 * 3600

const tokenShape = /^[A-Za-z0-9_-]{131}$/

// The first byte keeps the uses of one key apart: a tag can never stand in for a MAC, nor one of an address for one of an account.
const tagOf = (key: Buffer, identifier: string): Buffer =>
  createHmac('sha256', key).update('\x01').update(identifier).digest().subarray(0, 16)

const accountTagOf = (key: Buffer, accountId: string): Buffer =>
  createHmac('sha256', key).update('\x03').update(accountId).digest().subarray(0, 16)

const macOf = (key: Buffer, body: Uint8Array): Buffer =>
  createHmac('sha256', key).update('\x02').update(body).digest()

const decode = (token: string): Buffer | undefined => {
  if (!tokenShape.test(token)) return undefined
  const bytes = Buffer.from(token, 'base64url')
  // The last character has bits to spare: only one spelling of each token is taken.
  return bytes.toString('base64url') === token ? bytes : undefined
}

/**
 * "This device has logged in to this account before" (OWASP "device cookies"), told without a look-up, so that it can be
 * known before any limit is applied. Bound to the canonical e-mail address and to the account by keyed tags: the token itself holds no
 * personal data. It opens nothing: it only chooses which limits apply. The first key makes tokens, all of them verify.
 */
export const deviceTokens = (
  keys: readonly DeviceTokenKey[],
  random: Random,
  clock: Clock,
): DeviceTokens => {
  const [current] = keys
  if (current === undefined) throw new TypeError('device tokens need at least one key')
  const nowSeconds = () => Math.floor(clock.nowMs() / 1000)

  const issue: DeviceTokens['issue'] = (identifier, owner, deviceId = newId(random)) => {
    if (!isId(deviceId)) throw new TypeError('the device id is not an id')
    const bytes = Buffer.alloc(tokenBytes)
    bytes.writeUInt8(version, 0)
    bytes.writeUInt8(current.id, 1)
    tagOf(current.key, identifier).copy(bytes, tagAt)
    idToBytes(deviceId).copy(bytes, deviceAt)
    bytes.writeUInt32BE(nowSeconds(), issuedAt)
    bytes.writeUInt32BE(owner.accountEpoch, accountEpochAt)
    bytes.writeBigUInt64BE(BigInt(owner.globalEpoch), globalEpochAt)
    accountTagOf(current.key, owner.accountId).copy(bytes, accountTagAt)
    macOf(current.key, bytes.subarray(0, macAt)).copy(bytes, macAt)
    return bytes.toString('base64url')
  }

  /** The key that made the token for this identifier. */
  const keyOf = (bytes: Buffer, identifier: string): DeviceTokenKey | undefined =>
    keys.find(
      ({ id, key }) =>
        id === bytes.readUInt8(1) &&
        timingSafeEqual(macOf(key, bytes.subarray(0, macAt)), bytes.subarray(macAt)) &&
        timingSafeEqual(tagOf(key, identifier), bytes.subarray(tagAt, deviceAt)),
    )

  const read: DeviceTokens['read'] = (token, identifier) => {
    const bytes = decode(token)
    if (bytes === undefined || bytes.readUInt8(0) !== version) return undefined
    const key = keyOf(bytes, identifier)?.key
    if (key === undefined) return undefined
    if (nowSeconds() - bytes.readUInt32BE(issuedAt) > deviceTokenSeconds) return undefined
    return {
      deviceId: idFromBytes(bytes.subarray(deviceAt, issuedAt)),
      accountEpoch: bytes.readUInt32BE(accountEpochAt),
      globalEpoch: Number(bytes.readBigUInt64BE(globalEpochAt)),
      isOfAccount: (accountId) =>
        timingSafeEqual(accountTagOf(key, accountId), bytes.subarray(accountTagAt, macAt)),
    }
  }
  return { issue, read }
}
