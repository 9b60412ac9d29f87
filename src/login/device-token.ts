import { type Clock, isId, newId, type Random } from '../lib/machine.ts'
import {
  idField,
  type MacKey,
  signedBytes,
  tagField,
  uint32Field,
  uint64Field,
} from '../lib/signed-bytes.ts'

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

const layout = {
  version: 3,
  prefix: '\x02',
  fields: {
    isOfIdentifier: tagField('\x01'),
    deviceId: idField,
    issuedAtSeconds: uint32Field,
    accountEpoch: uint32Field,
    globalEpoch: uint64Field,
    isOfAccount: tagField('\x03'),
  },
}

/** A device that stays away longer than this counts as a stranger again. */
export const deviceTokenSeconds = 365 * 24 * 3600

/**
 * "This device has logged in to this account before" (OWASP "device cookies"), told without a look-up, so that it can be
 * known before any limit is applied. Bound to the canonical e-mail address and to the account by keyed tags: the token itself holds no
 * personal data. It opens nothing: it only chooses which limits apply. The first key makes tokens, all of them verify.
 */
export const deviceTokens = (
  keys: readonly MacKey[],
  random: Random,
  clock: Clock,
): DeviceTokens => {
  const tokens = signedBytes(keys, layout)
  const nowSeconds = () => Math.floor(clock.nowMs() / 1000)

  return {
    issue: (identifier, owner, deviceId = newId(random)) => {
      if (!isId(deviceId)) throw new TypeError('the device id is not an id')
      return tokens.write({
        isOfIdentifier: identifier,
        deviceId,
        issuedAtSeconds: nowSeconds(),
        accountEpoch: owner.accountEpoch,
        globalEpoch: owner.globalEpoch,
        isOfAccount: owner.accountId,
      })
    },
    read: (token, identifier) => {
      const device = tokens.read(token)
      if (!device?.isOfIdentifier(identifier)) return undefined
      if (nowSeconds() - device.issuedAtSeconds > deviceTokenSeconds) return undefined
      const { deviceId, accountEpoch, globalEpoch, isOfAccount } = device
      return { deviceId, accountEpoch, globalEpoch, isOfAccount }
    },
  }
}
