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
 * account or of everyone. No pair is repeated after a restore, because that raises the global epoch.
 */
export type CredentialVersion = { readonly globalEpoch: number; readonly accountEpoch: number }

/** The content of a device token: this device logged in to the account when its credentials had this version. */
export type PresentedDevice = CredentialVersion & {
  readonly deviceId: string
  /** Whether it was this account. The e-mail address may belong to another one by now. */
  readonly isOfAccount: (accountId: string) => boolean
}

/** The account of the login. */
export type DeviceOwner = CredentialVersion & { readonly accountId: string }

export type DeviceTokens = {
  /** Called after a successful login. A device keeps its id; a new one gets an id. */
  readonly issue: (identifier: string, owner: DeviceOwner, deviceId?: string) => string
  /**
   * The content of a token that was made here for this identifier within a year, otherwise undefined. Never throws. The account decides
   * whether it is still valid: see `isKnownDevice`.
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

/** A device that stays away longer is treated as unknown. */
export const deviceTokenSeconds = 365 * 24 * 3600

/**
 * The statement "this device has logged in to this account before" (OWASP "device cookies"). Reading it needs no lookup, so it is known
 * before any limit is applied. Keyed tags bind it to the canonical e-mail address and to the account, so the token contains no personal
 * data. It grants no access; it only selects which limits apply. The first key makes tokens, all keys verify them.
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
