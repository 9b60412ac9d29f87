import type { Clock } from '../lib/machine.ts'
import { keyedHash } from '../lib/signed-bytes.ts'
import {
  type AdmittedAttempt,
  type AttemptCounter,
  type AttemptCounters,
  type AttemptWindow,
  type LimitName,
  type LoginAttempt,
  type LoginLimitRules,
  type LoginLimits,
  loginErrors,
  originOf,
  type TakenPoint,
  TooManyAttempts,
  type WindowState,
} from './login-limits.ts'

/** Longer than any attempt: it waits 10 s for a hash and some seconds for Postgres. */
const slotSeconds = 60

/** Counts admitted attempts that have no outcome yet. */
export type UnderWay = Pick<AttemptCounter, 'take'>

/**
 * For limits that many users share. The window starts with its first attempt. When it ends, running attempts are no longer counted, so for
 * a moment there may be twice as many. The slot of a killed process is free after 60 s.
 */
const roughlyUnderWay = (
  counters: AttemptCounters,
  name: string,
  window: AttemptWindow,
): UnderWay => counters(`${name}-under-way`, { ...window, seconds: slotSeconds })

/**
 * For one account, where parallel attempts must not exceed its budget of guesses. Each minute has a separate count, kept for two minutes,
 * and the previous one is read in the same round trip. So every attempt is counted for at least a minute. The slot of a killed process is
 * free after at most two minutes.
 */
const exactlyUnderWay = (
  counters: AttemptCounters,
  name: string,
  window: AttemptWindow,
  clock: Pick<Clock, 'nowMs'>,
): UnderWay => {
  const counter = counters(`${name}-under-way`, { ...window, seconds: 2 * slotSeconds })
  return {
    take: async (key) => {
      const slot = Math.floor(clock.nowMs() / 1000 / slotSeconds)
      const [place, before] = await Promise.all([
        counter.take(`${key}:${slot}`),
        counter.look(`${key}:${slot - 1}`),
      ])
      return { ...place, count: place.count + (before?.count ?? 0) }
    },
  }
}

export type LoginLimitDependencies = {
  readonly counters: AttemptCounters
  /** Turns e-mail addresses into keys, so that the counting store holds no addresses. All replicas use the same key. */
  readonly identifierKey: Buffer
  readonly rules: LoginLimitRules
  readonly clock: Pick<Clock, 'nowMs'>
  /** Reports counts that could not be written or undone. The reason for a 503 is the cause of that error. */
  readonly onError: (error: unknown) => void
}

/** The counters of one limit. */
type Counters = {
  readonly failures: AttemptCounter
  readonly underWay: UnderWay
  /** Distinguishes the first refusal of a window from the others. */
  readonly refusals: AttemptCounter
}

type Check = Counters & { readonly limit: LimitName; readonly key: string }

type Passed = { readonly check: Check; readonly place: TakenPoint }

/** An attempt takes a fraction of a second, so a client that waits this long finds room. */
const retryWhenCrowdedSeconds = 1

/** Whole seconds, rounded up: one millisecond too early and the client is refused again. */
const toRetrySeconds = (waitMs: number): number => Math.max(1, Math.ceil(waitMs / 1000))

/**
 * The limits for one attempt, in the order they are taken. The widest come first: once they are used up, random addresses and identifiers
 * open no further windows, so a flood cannot fill the memory. Of an account's windows the shortest comes first, so that attempts it refuses
 * never count in the longer ones.
 */
const planner = ({ counters, identifierKey, rules, clock }: LoginLimitDependencies) => {
  const countersOf = (name: string, window: AttemptWindow, underWay: UnderWay): Counters => ({
    failures: counters(name, window),
    underWay,
    refusals: counters(`${name}-refused`, window),
  })
  const sharedOf = (name: string, window: AttemptWindow): Counters =>
    countersOf(name, window, roughlyUnderWay(counters, name, window))
  const windowsOf = (prefix: string) =>
    rules.account.map((window: AttemptWindow) => {
      const name = `${prefix}-${window.seconds}s`
      return countersOf(name, window, exactlyUnderWay(counters, name, window, clock))
    })
  const anyDevice = windowsOf('account')
  const knownDevice = windowsOf('device')
  const source = sharedOf('source', rules.source)
  const network = sharedOf('network', rules.network)
  const global = sharedOf('global', rules.global)

  const hashOf = keyedHash(identifierKey, 32)
  const keyFor = (...parts: readonly string[]) => hashOf(JSON.stringify(parts))

  return function checksFor({ identifier, address, deviceId }: LoginAttempt): readonly Check[] {
    const origin = originOf(address)
    const accountChecks = (windows: readonly Counters[], key: string) =>
      windows.map((window): Check => ({ ...window, limit: 'account', key }))
    // A device that logged in before bypasses every limit that others can use up: the account's windows, the whole service, the network and
    // the address. So nobody can lock its owner out. It has separate windows, so a stolen token does not allow unlimited guesses.
    if (deviceId !== undefined) {
      return accountChecks(knownDevice, keyFor('device', identifier, deviceId))
    }
    return [
      { ...global, limit: 'global', key: 'all' },
      { ...network, limit: 'network', key: origin.network },
      { ...source, limit: 'source', key: origin.source },
      ...accountChecks(anyDevice, keyFor('account', identifier)),
    ]
  }
}

/** Milliseconds until a full window ends; 0 when it has room for another failure. */
const waitIn = (state: WindowState | undefined): number =>
  state !== undefined && state.count >= state.budget ? state.endsInMs : 0

/**
 * How many attempts may run at once. For one account never more than may still fail, so that parallel guesses get exactly its budget.
 * Shared limits allow as many as their budget, because correct passwords in parallel are unrelated to failures.
 */
const roomIn = (limit: LimitName, failed: number, budget: number): number =>
  limit === 'account' ? budget - failed : budget

const refusedBySpent = async (
  { limit, key, refusals }: Check,
  waitMs: number,
  later: readonly Check[],
): Promise<TooManyAttempts> => {
  const { count } = await refusals.take(key)
  // The following limits may be used up as well, and for longer. The reported wait must be enough for all.
  const states = await Promise.all(later.map((check) => check.failures.look(check.key)))
  return new TooManyAttempts({
    limit,
    firstInWindow: count === 1,
    retryAfterSeconds: toRetrySeconds(Math.max(waitMs, ...states.map(waitIn))),
  })
}

/**
 * Takes a slot at every check in turn, then reads its failures. In this order each of several parallel attempts is visible to the later
 * ones, as running or as failed.
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

/** The limits on login attempts, on any kind of counter. Call it once: the counters are made here, not per attempt. */
export const loginLimits = (deps: LoginLimitDependencies): LoginLimits => {
  const plan = planner(deps)

  // A slot that stays taken makes a limit stricter for a minute or two. That is no reason to fail a request.
  const settle = async (passed: readonly Passed[], undo: (entry: Passed) => Promise<void>) => {
    const outcomes = await Promise.allSettled(passed.map(undo))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure !== undefined) deps.onError(failure.reason)
  }
  const leave = ({ place }: Passed) => place.giveBack()
  /** A success ends the run of failures of an account. Shared limits keep the failures of others. */
  const forgive = async (entry: Passed) => {
    const { limit, failures, key } = entry.check
    if (limit === 'account') await failures.clear(key)
    await leave(entry)
  }
  // The failure is counted before the slot is released: in between, other attempts would not see it.
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
      // An attempt that could not be counted is not admitted, whatever the cause.
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
