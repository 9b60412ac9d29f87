import { createHmac } from 'node:crypto'
import type { AttemptCounter, AttemptCounters, TakenPoint, WindowState } from './attempt-counter.ts'
import { loginErrors, TooManyAttempts } from './errors.ts'
import {
  type AdmittedAttempt,
  type AttemptWindow,
  type LimitName,
  type LoginAttempt,
  type LoginLimitRules,
  type LoginLimits,
  originOf,
} from './login-limits.ts'

export type LoginLimitDependencies = {
  readonly counters: AttemptCounters
  /** Turns e-mail addresses into keys, so that the counting store holds none. The same on every instance. */
  readonly identifierKey: Buffer
  readonly rules: LoginLimitRules
  /** Told of what could not be counted or given back. What is behind a 503 travels as the cause of that error. */
  readonly onError: (error: unknown) => void
}

/** What is counted for one limit. */
type Counters = {
  readonly failures: AttemptCounter
  /** Attempts that were admitted and have no outcome yet. */
  readonly underWay: AttemptCounter
  /** Tells the first refusal of a window from the others. */
  readonly refusals: AttemptCounter
}

type Check = Counters & { readonly limit: LimitName; readonly key: string }

type Passed = { readonly check: Check; readonly place: TakenPoint }

/** A place that a killed process never gave back is free again after this time. An attempt is over long before. */
const underWaySeconds = 60

/** An attempt takes a fraction of a second: whoever waits this long finds room. */
const retryWhenCrowdedSeconds = 1

/** Whole seconds, upwards: one millisecond too few and the client is refused again. */
const toRetrySeconds = (waitMs: number): number => Math.max(1, Math.ceil(waitMs / 1000))

/**
 * The limits for one attempt, in the order they are taken. The widest come first: once they are spent, made-up addresses and
 * identifiers open no further windows, so a flood cannot fill the memory that holds them. Of an account's windows the
 * shortest comes first, so that what it refuses never counts in the longer ones.
 */
const planner = ({ counters, identifierKey, rules }: LoginLimitDependencies) => {
  const countersOf = (name: string, window: AttemptWindow): Counters => ({
    failures: counters(name, window),
    underWay: counters(`${name}-under-way`, { ...window, seconds: underWaySeconds }),
    refusals: counters(`${name}-refused`, window),
  })
  const windowsOf = (name: string) =>
    rules.account.map((window: AttemptWindow) => countersOf(`${name}-${window.seconds}s`, window))
  const anyDevice = windowsOf('account')
  const knownDevice = windowsOf('device')
  const source = countersOf('source', rules.source)
  const network = countersOf('network', rules.network)
  const global = countersOf('global', rules.global)

  const keyFor = (...parts: readonly string[]) =>
    createHmac('sha256', identifierKey).update(JSON.stringify(parts)).digest('base64url')

  return ({ identifier, address, deviceId }: LoginAttempt): readonly Check[] => {
    const origin = originOf(address)
    const sourceCheck: Check = { ...source, limit: 'source', key: origin.source }
    const accountChecks = (windows: readonly Counters[], key: string) =>
      windows.map((window): Check => ({ ...window, limit: 'account', key }))
    // A device that signed in before is let past what others can fill up (the account's windows, the network, the whole
    // service), so nobody can lock its owner out. It has windows of its own: a stolen token is no free pass to guess.
    if (deviceId !== undefined) {
      return [sourceCheck, ...accountChecks(knownDevice, keyFor('device', identifier, deviceId))]
    }
    return [
      { ...global, limit: 'global', key: 'all' },
      { ...network, limit: 'network', key: origin.network },
      sourceCheck,
      ...accountChecks(anyDevice, keyFor('account', identifier)),
    ]
  }
}

/** Milliseconds until a window that has no room for another failure ends; 0 when it has room. */
const waitIn = (state: WindowState | undefined): number =>
  state !== undefined && state.count >= state.budget ? state.endsInMs : 0

/**
 * How many attempts may be under way. On one account never more than may still fail, so that parallel guesses get exactly its budget. What
 * many people share has a bound of its own, as large as its budget: right passwords beside each other have nothing to do with failures.
 */
const roomIn = (limit: LimitName, failed: number, budget: number): number =>
  limit === 'account' ? budget - failed : budget

const refusedBySpent = async (
  { limit, key, refusals }: Check,
  waitMs: number,
  later: readonly Check[],
): Promise<TooManyAttempts> => {
  const { count } = await refusals.take(key)
  // The limits behind this one may be spent as well, and for longer: the wait that is told must hold for all.
  const states = await Promise.all(later.map((check) => check.failures.look(check.key)))
  return new TooManyAttempts({
    limit,
    firstInWindow: count === 1,
    retryAfterSeconds: toRetrySeconds(Math.max(waitMs, ...states.map(waitIn))),
  })
}

/**
 * Takes a place under way at every check in turn, then looks at its failures: in this order, so that of attempts at once each is seen by
 * those after it, as under way or as failed.
 */
const takeAll = async (
  checks: readonly Check[],
  passed: Passed[],
): Promise<TooManyAttempts | undefined> => {
  for (const [at, check] of checks.entries()) {
    const { limit, key } = check
    const [place, failures] = await Promise.all([
      check.underWay.take(key),
      check.failures.look(key),
    ])
    passed.push({ check, place })
    const waitMs = waitIn(failures)
    if (waitMs > 0) return refusedBySpent(check, waitMs, checks.slice(at + 1))
    if (place.count > roomIn(limit, failures?.count ?? 0, place.budget)) {
      const retryAfterSeconds = retryWhenCrowdedSeconds
      return new TooManyAttempts({ limit, firstInWindow: false, retryAfterSeconds })
    }
  }
  return undefined
}

/** The limits on log-in attempts over any kind of counter. Wire it once: the counters are made here, not per attempt. */
export const loginLimits = (deps: LoginLimitDependencies): LoginLimits => {
  const plan = planner(deps)

  // A place that stays taken makes a limit stricter for a minute, which is no reason to fail a request.
  const settle = async (passed: readonly Passed[], undo: (entry: Passed) => Promise<void>) => {
    const outcomes = await Promise.allSettled(passed.map(undo))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure !== undefined) deps.onError(failure.reason)
  }
  const leave = ({ place }: Passed) => place.giveBack()
  /** A success ends the run of failures of an account; what others did counts on where they share a limit. */
  const forgive = async (entry: Passed) => {
    const { limit, failures, key } = entry.check
    if (limit === 'account') await failures.clear(key)
    await leave(entry)
  }
  // Counted before the place is free: in between nobody could see it.
  const count = async (entry: Passed) => {
    await entry.check.failures.take(entry.check.key)
    await leave(entry)
  }

  const admit = async (attempt: LoginAttempt): Promise<AdmittedAttempt> => {
    const passed: Passed[] = []
    let refusal: TooManyAttempts | undefined
    try {
      refusal = await takeAll(plan(attempt), passed)
    } catch (error) {
      // Whatever went wrong, an attempt that could not be counted is not admitted.
      await settle(passed, leave)
      throw loginErrors.error('limits_unavailable', { retryAfterSeconds: 1, cause: error })
    }
    if (refusal !== undefined) {
      await settle(passed, leave)
      throw refusal
    }
    return {
      succeeded: () => settle(passed, forgive),
      failed: () => settle(passed, count),
      withdrawn: () => settle(passed, leave),
    }
  }
  return { admit }
}
