import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { AppError, defineErrors } from '../lib/app-error.ts'

export const loginErrors = defineErrors({
  // One code and one text for unknown, wrong and disabled: the response must not reveal which accounts exist.
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
    title:
      'This account has sent too many requests in a short time. Wait as long as Retry-After says.',
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

/** `too_many_attempts`, with the limit for the audit trail. The API caller does not learn which limit it was. */
export class TooManyAttempts extends AppError {
  readonly limit: LimitName
  /** A flood is refused thousands of times. Only the first refusal of a window gets an audit entry. */
  readonly firstInWindow: boolean

  constructor({ limit, firstInWindow, retryAfterSeconds }: LimitRefusal) {
    super('too_many_attempts', loginErrors.definitions.too_many_attempts, { retryAfterSeconds })
    this.limit = limit
    this.firstInWindow = firstInWindow
  }
}

/** One login attempt, before anything is looked up or hashed. */
export type LoginAttempt = {
  /** The canonical e-mail address. It is counted whether or not an account has it. */
  readonly identifier: string
  /** The client's address, as reported by the trusted proxies. */
  readonly address: string
  /** From a valid device token for this identifier. Undefined for a device that never logged in to it. */
  readonly deviceId: string | undefined
}

/**
 * A running attempt. Exactly one of these is called when it has an outcome; none of them throws. If a crash prevents the call, the attempt
 * keeps its slot for up to two minutes and counts as no failure.
 */
export type AdmittedAttempt = {
  /** Ends the account's run of failures. */
  readonly succeeded: () => Promise<void>
  /** Counts a failure at every limit. */
  readonly failed: () => Promise<void>
  /** Counts nothing: the password was never checked, or it was correct but the request could not be served. */
  readonly withdrawn: () => Promise<void>
}

export type LoginLimits = {
  /**
   * Takes a slot among the running attempts, before any hashing. Throws `TooManyAttempts` (429) with a reliable `retryAfterSeconds`: an
   * attempt after that time is admitted if nobody else used the room. That is the end of a window when failures have used up a limit, or
   * one second when only too many attempts run at once. Throws `limits_unavailable` (503) when it cannot count.
   */
  readonly admit: (attempt: LoginAttempt) => Promise<AdmittedAttempt>
}

export type LimitName = 'account' | 'source' | 'network' | 'global'

/** The number of failures in a window, which starts with the first of them. As many attempts may run at once. */
export type AttemptWindow = { readonly attempts: number; readonly seconds: number }

export type LoginLimitRules = {
  /** Shortest first. Once a short window is used up a longer one takes over, so the delays grow. */
  readonly account: readonly AttemptWindow[]
  /** One IPv4 address or one IPv6 /64, which is what a provider gives to a single customer. */
  readonly source: AttemptWindow
  /** One IPv4 /24 or one IPv6 /48. */
  readonly network: AttemptWindow
  readonly global: AttemptWindow
}

/**
 * Four failures are free, the fifth waits up to a minute, the eighth up to ten, the eleventh up to an hour. That is at most ten guesses an
 * hour (NIST SP 800-63B-4 section 3.2.2 requires a limit that grows).
 */
const accountWindows: readonly AttemptWindow[] = [
  { attempts: 4, seconds: 60 },
  { attempts: 7, seconds: 600 },
  { attempts: 10, seconds: 3600 },
]

const sharedWindowSeconds = 600

/** Failures in ten minutes. A household or an office shares a source; a campus or a small provider shares a network. */
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
 * The addresses that one client can hold, and the network around them. An IPv6 client owns a whole /64, so single addresses are not worth
 * counting. An IPv4 address written as `::ffff:192.0.2.1` is the IPv4 address. Throws a RangeError when the text is no address.
 */
export const originOf = (
  address: string,
): { readonly source: string; readonly network: string } => {
  // ipaddr.js alone would also accept `127.1` and `0x7f000001`, which no proxy should report.
  if (isIP(address) === 0) throw new RangeError('the address of an attempt is no IP address')
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') {
    const source = parsed.toString()
    return { source, network: `${ipaddr.IPv4.networkAddressFromCIDR(`${source}/24`)}/24` }
  }
  // A zone (`fe80::1%eth0`) names an interface of this machine and is not part of the address.
  const [plain] = parsed.toNormalizedString().split('%', 1)
  return {
    source: `${ipaddr.IPv6.networkAddressFromCIDR(`${plain}/64`)}/64`,
    network: `${ipaddr.IPv6.networkAddressFromCIDR(`${plain}/48`)}/48`,
  }
}

/** The current window of a key. */
export type WindowState = {
  /** The count, which may exceed the budget. */
  readonly count: number
  /** What the window admits. Lower than configured while a local budget replaces the shared one. */
  readonly budget: number
  /** Milliseconds until the window ends and the count restarts at zero. */
  readonly endsInMs: number
}

export type TakenPoint = WindowState & {
  /** Removes the point from the store that counted it, while that window lasts. */
  readonly giveBack: () => Promise<void>
}

/** Counts by key in windows that start with the first point. Later points do not extend them. */
export type AttemptCounter = {
  /** Counts one point and reads the state in one atomic step, so that parallel attempts cannot all see room. */
  readonly take: (key: string) => Promise<TakenPoint>
  /** Undefined: no window is open for the key. */
  readonly look: (key: string) => Promise<WindowState | undefined>
  readonly clear: (key: string) => Promise<void>
}

/** One counter for each limit. The name separates their keys. */
export type AttemptCounters = (name: string, window: AttemptWindow) => AttemptCounter

export type ActBudgetDeps = {
  readonly counters: AttemptCounters
  /** Operations of one account or service client in ten minutes. A single session may use a quarter of them. */
  readonly loggedActsPerAccount: number
}

/** The account or service client that acts. */
export type Spender = {
  /** The id of the account or the service client. */
  readonly subjectId: string
  /** Undefined without a session, as at a login or for a service client. */
  readonly sessionId: string | undefined
}

/**
 * Call it before an operation of an authenticated caller that writes to the audit trail or the revocation log.
 * @throws too_many_acts, limits_unavailable
 */
export type SpendAct = (spender: Spender) => Promise<void>

const windowSeconds = 600

/** A stolen session must not use up what its owner needs to log in. */
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
 * One account must not fill the logs that all accounts share: every login, step-up and revoked token adds rows to them. Ending a session is
 * free, because there are only as many sessions as logins, and logging out must always work.
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
    // First, so that what the session may not do costs its account nothing.
    if (sessionId !== undefined) await spend(bySession, sessionId)
    await spend(bySubject, subjectId)
  }
}
