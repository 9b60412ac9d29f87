import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { AppError, defineErrors } from '../lib/app-error.ts'

export const loginErrors = defineErrors({
  // One code and one text for unknown, wrong and disabled: the answer must not tell which accounts exist.
  invalid_credentials: {
    status: 401,
    title: 'The e-mail address or the password is wrong.',
  },
  too_many_attempts: {
    status: 429,
    title: 'Too many attempts to log in. Wait as long as Retry-After says.',
  },
  too_many_acts: {
    status: 429,
    title: 'This account has done too much in a short time. Wait as long as Retry-After says.',
  },
  unknown_audience: {
    status: 400,
    title: 'This service issues no tokens for that audience.',
  },
  limits_unavailable: {
    status: 503,
    title: 'The limits on login attempts cannot be checked just now. Try again.',
  },
})

type LimitRefusal = {
  readonly limit: LimitName
  readonly firstInWindow: boolean
  readonly retryAfterSeconds: number
}

/** `too_many_attempts`, with what the audit needs to know. The caller of the API is not told which limit it was. */
export class TooManyAttempts extends AppError {
  readonly limit: LimitName
  /** A flood is refused thousands of times; only the first refusal of a window is worth an audit entry. */
  readonly firstInWindow: boolean

  constructor({ limit, firstInWindow, retryAfterSeconds }: LimitRefusal) {
    super('too_many_attempts', loginErrors.definitions.too_many_attempts, { retryAfterSeconds })
    this.limit = limit
    this.firstInWindow = firstInWindow
  }
}

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
 * crash, keeps a place under way for up to two minutes and counts as no failure.
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

/** How full the present window of a key is. */
export type WindowState = {
  /** What was counted, beyond the budget too. */
  readonly count: number
  /** What the window admits: lower than asked for while a local budget stands in for the shared one. */
  readonly budget: number
  /** Milliseconds until the window ends and the count starts again at zero. */
  readonly endsInMs: number
}

export type TakenPoint = WindowState & {
  /** Takes the point out of the count again, in the store that counted it, while that window lasts. */
  readonly giveBack: () => Promise<void>
}

/** Counts by key in windows that begin with the first point and are not made longer by later ones. */
export type AttemptCounter = {
  /** Counts one point and reads the state in one atomic step, so that parallel attempts cannot all see room. */
  readonly take: (key: string) => Promise<TakenPoint>
  /** Undefined: no window is open for the key. */
  readonly look: (key: string) => Promise<WindowState | undefined>
  readonly clear: (key: string) => Promise<void>
}

/** One counter for each limit. The name tells their keys apart. */
export type AttemptCounters = (name: string, window: AttemptWindow) => AttemptCounter

export type ActBudgetDeps = {
  readonly counters: AttemptCounters
  /** Acts in ten minutes of one account or service client; a session may take a quarter of them. */
  readonly loggedActsPerAccount: number
}

/** Who acts. */
export type Spender = {
  /** The account, or the service client. */
  readonly subjectId: string
  /** Undefined: not out of a session, as at a login, or by a service client. */
  readonly sessionId: string | undefined
}

/**
 * To be called before an act that writes to the audit trail or the revocation log, by whoever has proven who they are.
 * @throws too_many_acts, limits_unavailable
 */
export type SpendAct = (spender: Spender) => Promise<void>

const windowSeconds = 600

/** A session that was stolen must not use up what its owner needs to log in. */
const sessionShare = 4

const spend = async (counter: AttemptCounter, key: string): Promise<void> => {
  const point = await counter.take(key).catch((error: unknown) => {
    throw loginErrors.error('limits_unavailable', { retryAfterSeconds: 1, cause: error })
  })
  if (point.count <= point.budget) return
  const retryAfterSeconds = Math.max(1, Math.ceil(point.endsInMs / 1000))
  throw loginErrors.error('too_many_acts', { retryAfterSeconds })
}

/**
 * One account must not fill the logs that all share: every login, step-up and revoked token leaves rows in them. What ends a session costs
 * nothing here. There are only as many sessions as logins, and nobody may be kept from logging out.
 */
export const actBudget = ({
  counters,
  loggedActsPerAccount: attempts,
}: ActBudgetDeps): SpendAct => {
  const bySubject = counters('acts', { attempts, seconds: windowSeconds })
  const bySession = counters('session-acts', {
    attempts: Math.max(1, Math.floor(attempts / sessionShare)),
    seconds: windowSeconds,
  })
  return async function spendAct({ subjectId, sessionId }) {
    // First, so that what a session may not do costs its account nothing.
    if (sessionId !== undefined) await spend(bySession, sessionId)
    await spend(bySubject, subjectId)
  }
}
