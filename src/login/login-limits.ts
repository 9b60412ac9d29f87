import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** One attempt to log in, as it is known before anything is looked up or hashed. */
export type LoginAttempt = {
  /** The canonical e-mail address, whether or not an account has it: both are counted alike. */
  readonly identifier: string
  /** The client's address, as the trusted proxies report it. */
  readonly address: string
  /** From a valid device token for this identifier; undefined for a device that never logged in to it. */
  readonly deviceId: string | undefined
}

/**
 * An attempt that is under way. Exactly one of these is called when it has an outcome; none of them throws. One that is never called, by a
 * crash, keeps a place under way for a minute and counts as no failure.
 */
export type AdmittedAttempt = {
  /** Ends the run of failures of this account. */
  readonly succeeded: () => Promise<void>
  /** Counts a failure at every limit. */
  readonly failed: () => Promise<void>
  /** Counts nothing, for a password that was never judged, or a right one whose owner could not be served. */
  readonly withdrawn: () => Promise<void>
}

export type LoginLimits = {
  /**
   * Takes a place among the attempts under way, before any hashing. Throws `TooManyAttempts` (429) with a true `retryAfterSeconds`: an
   * attempt after that time is admitted, if nobody else used the room up. That is the end of a window when failures have spent a limit, and
   * a second when only too many attempts are under way. Throws `limits_unavailable` (503) when it cannot count.
   */
  readonly admit: (attempt: LoginAttempt) => Promise<AdmittedAttempt>
}

export type LimitName = 'account' | 'source' | 'network' | 'global'

/** So many failures in a window that begins with the first of them; as many attempts may be under way. */
export type AttemptWindow = { readonly attempts: number; readonly seconds: number }

export type LoginLimitRules = {
  /** Shortest first: once a short window is spent a longer one takes over, so the delays grow. */
  readonly account: readonly AttemptWindow[]
  /** One IPv4 address or one IPv6 /64: what a single customer of a provider holds. */
  readonly source: AttemptWindow
  /** One IPv4 /24 or one IPv6 /48. */
  readonly network: AttemptWindow
  readonly global: AttemptWindow
}

/**
 * Four failures are free, the fifth waits up to a minute, the eighth up to ten, the eleventh up to an hour: ten guesses an
 * hour at most (NIST SP 800-63B-4 section 3.2.2 asks for a limit that grows).
 */
const accountWindows: readonly AttemptWindow[] = [
  { attempts: 4, seconds: 60 },
  { attempts: 7, seconds: 600 },
  { attempts: 10, seconds: 3600 },
]

const sharedWindowSeconds = 600

/** Numbers of failures in ten minutes. A household or an office shares a source; a campus or a small provider a network. */
export const loginLimitRules = ({
  perSource = 50,
  perNetwork = 500,
  global = 5000,
}: {
  readonly perSource?: number
  readonly perNetwork?: number
  readonly global?: number
} = {}): LoginLimitRules => ({
  account: accountWindows,
  source: { attempts: perSource, seconds: sharedWindowSeconds },
  network: { attempts: perNetwork, seconds: sharedWindowSeconds },
  global: { attempts: global, seconds: sharedWindowSeconds },
})

/**
 * What one client can hold, and the neighbourhood it can spread over. An IPv6 client owns a whole /64, so counting single
 * addresses would count nothing; an IPv4 address written as `::ffff:192.0.2.1` is the IPv4 address.
 * Throws a RangeError when the text is no address.
 */
export const originOf = (
  address: string,
): { readonly source: string; readonly network: string } => {
  // ipaddr.js alone would also read `127.1` and `0x7f000001`, which no proxy should ever report.
  if (isIP(address) === 0) throw new RangeError('the address of an attempt is no IP address')
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') {
    const source = parsed.toString()
    return { source, network: `${ipaddr.IPv4.networkAddressFromCIDR(`${source}/24`)}/24` }
  }
  // A zone (`fe80::1%eth0`) names an interface of this machine and is no part of the address.
  const [plain] = parsed.toNormalizedString().split('%', 1)
  return {
    source: `${ipaddr.IPv6.networkAddressFromCIDR(`${plain}/64`)}/64`,
    network: `${ipaddr.IPv6.networkAddressFromCIDR(`${plain}/48`)}/48`,
  }
}
