import { createHmac } from 'node:crypto'
import type { AttemptCounter, AttemptCounters, TakenPoint } from './attempt-counter.ts'
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
  /** Told of points that could not be given back. What is behind a 503 travels as the cause of that error. */
  readonly onError: (error: unknown) => void
}

type Check = {
  readonly limit: LimitName
  readonly counter: AttemptCounter
  readonly key: string
  /** A success ends the run of failures of an account; of a shared limit it takes back its own point only. */
  readonly onSuccess: 'clear' | 'give-back'
}

type Passed = { readonly check: Check; readonly point: TakenPoint }

/** Whole seconds, upwards: one millisecond too few and the client is refused again. */
const toRetrySeconds = (waitMs: number): number => Math.max(1, Math.ceil(waitMs / 1000))

/**
 * The limits for one attempt, in the order they are taken. The widest come first: once they are spent, made-up addresses and
 * identifiers open no further windows, so a flood cannot fill the memory that holds them. Of an account's windows the
 * shortest comes first, so that what it refuses never counts in the longer ones.
 */
const planner = ({ counters, identifierKey, rules }: LoginLimitDependencies) => {
  const windowsOf = (name: string) =>
    rules.account.map((window: AttemptWindow) => counters(`${name}-${window.seconds}s`, window))
  const anyDevice = windowsOf('account')
  const knownDevice = windowsOf('device')
  const source = counters('source', rules.source)
  const network = counters('network', rules.network)
  const global = counters('global', rules.global)

  const keyFor = (...parts: readonly string[]) =>
    createHmac('sha256', identifierKey).update(JSON.stringify(parts)).digest('base64url')

  return ({ identifier, address, deviceId }: LoginAttempt): readonly Check[] => {
    const origin = originOf(address)
    const sourceCheck: Check = {
      limit: 'source',
      counter: source,
      key: origin.source,
      onSuccess: 'give-back',
    }
    const accountChecks = (windows: readonly AttemptCounter[], key: string) =>
      windows.map((counter): Check => ({ limit: 'account', counter, key, onSuccess: 'clear' }))
    // A device that signed in before is let past what others can fill up (the account's windows, the network, the whole
    // service), so nobody can lock its owner out. It has windows of its own: a stolen token is no free pass to guess.
    if (deviceId !== undefined) {
      return [sourceCheck, ...accountChecks(knownDevice, keyFor('device', identifier, deviceId))]
    }
    return [
      { limit: 'global', counter: global, key: 'all', onSuccess: 'give-back' },
      { limit: 'network', counter: network, key: origin.network, onSuccess: 'give-back' },
      sourceCheck,
      ...accountChecks(anyDevice, keyFor('account', identifier)),
    ]
  }
}

/** Milliseconds until a window that has no room for another attempt ends; 0 when it has room. */
const waitFor = async ({ counter, key }: Check): Promise<number> => {
  const state = await counter.look(key)
  return state !== undefined && state.count >= state.budget ? state.endsInMs : 0
}

/** Takes every check in turn; a refusal gives the points before it back, so it counts only where it was refused. */
const takeAll = async (
  checks: readonly Check[],
  passed: Passed[],
): Promise<TooManyAttempts | undefined> => {
  for (const [place, check] of checks.entries()) {
    const point = await check.counter.take(check.key)
    if (point.count > point.budget) {
      // The limits behind this one may be spent as well, and for longer: the wait that is told must hold for all.
      const waitsMs = await Promise.all(checks.slice(place + 1).map(waitFor))
      return new TooManyAttempts({
        limit: check.limit,
        firstInWindow: point.count === point.budget + 1,
        retryAfterSeconds: toRetrySeconds(Math.max(point.endsInMs, ...waitsMs)),
      })
    }
    passed.push({ check, point })
  }
  return undefined
}

/** The limits on log-in attempts over any kind of counter. Wire it once: the counters are made here, not per attempt. */
export const loginLimits = (deps: LoginLimitDependencies): LoginLimits => {
  const plan = planner(deps)

  // A point that stays counted makes a limit stricter until its window ends, which is no reason to fail a request.
  const settle = async (passed: readonly Passed[], undo: (entry: Passed) => Promise<void>) => {
    const outcomes = await Promise.allSettled(passed.map(undo))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure !== undefined) deps.onError(failure.reason)
  }
  const giveBack = ({ point }: Passed) => point.giveBack()
  const forgive = (entry: Passed) =>
    entry.check.onSuccess === 'clear' ? entry.check.counter.clear(entry.check.key) : giveBack(entry)

  const admit = async (attempt: LoginAttempt): Promise<AdmittedAttempt> => {
    const passed: Passed[] = []
    let refusal: TooManyAttempts | undefined
    try {
      refusal = await takeAll(plan(attempt), passed)
    } catch (error) {
      // Whatever went wrong, an attempt that could not be counted is not admitted.
      await settle(passed, giveBack)
      throw loginErrors.error('limits_unavailable', { retryAfterSeconds: 1, cause: error })
    }
    if (refusal !== undefined) {
      await settle(passed, giveBack)
      throw refusal
    }
    return {
      succeeded: () => settle(passed, forgive),
      withdrawn: () => settle(passed, giveBack),
    }
  }
  return { admit }
}
