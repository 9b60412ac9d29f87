import { leewaySeconds, longestTokenSeconds, mintSlackSeconds } from '../lib/machine.ts'
import type { SigningAlgorithm, SigningKeyRecord } from './signing-key.ts'

/**
 * The times in the life of a signing key. They depend on each other: every verifier must know a key before it signs, and it must verify for
 * as long as a token of it can be valid.
 */

const minuteMs = 60_000

/** How often every process rereads the keys and checks whether something is due; varied by a fifth. */
export const rereadEveryMs = 30_000

/**
 * A key signs only after it has been published for this long. A verifier that fetched the key set just before keeps it for `max-age` (5
 * min) or as long as its library does (jose: 10 min), and may then not refetch during a cool-down (30 s). Some are slower, proxies add
 * their own caching, processes serve a set some seconds after it was made, and clocks differ. An hour is far more than all of that
 * together.
 */
export const publishedBeforeUseMs = 60 * minuteMs

/**
 * A process that could not reread the keys for this long issues no tokens, because another process may have retired the key it would sign
 * with. `keptAfterRetirementMs` depends on this limit.
 */
export const maxKeySetAgeForSigningMs = 10 * minuteMs

/** Requests that `readyToSign` accepted are still served: a refusal at this point would already have consumed the refresh token. */
export const signsUnreadSlackMs = minuteMs

/**
 * After this time the process stops publishing the keys as well. A key that another process made right after the last read may begin to
 * sign at `publishedBeforeUseMs`, and a verifier would keep the old set until then. This loses nothing: a process that cannot read issues
 * no tokens, and every earlier token has expired.
 */
export const servedUnreadMs = 30 * minuteMs

/**
 * 27 min 10 s, which docs/guides/operate.md states. How long a retired key (state `retiring`) verifies before it is erased (state `gone`):
 * until its last token has expired by every clock, even a token of the process that learns of the rotation last.
 */
export const keptAfterRetirementMs =
  (longestTokenSeconds + leewaySeconds + mintSlackSeconds) * 1000 +
  maxKeySetAgeForSigningMs +
  signsUnreadSlackMs

/** The next change of the keys, one at a time. Times are milliseconds since the Unix epoch. */
export type KeyStep =
  /** There is no next key: add one with `algorithm`. */
  | { readonly kind: 'add'; readonly algorithm: SigningAlgorithm }
  /** Replace the next key `kid` by one with another algorithm, which signs as soon as possible. */
  | { readonly kind: 'replace'; readonly kid: string; readonly algorithm: SigningAlgorithm }
  /** The next key `kid` signs as soon as possible. */
  | { readonly kind: 'rotateEarly'; readonly kid: string }
  /** `kid` stops signing, `successor` starts, and a new next key is added. */
  | {
      readonly kind: 'rotate'
      readonly kid: string
      readonly successor: string
      readonly algorithm: SigningAlgorithm
    }
  /** `kid` has verified for as long as a token of it can be valid. */
  | { readonly kind: 'erase'; readonly kid: string }

export type KeySchedule = {
  /** The age at which the active key is replaced. */
  readonly rotationMs: number
  /** The configured algorithm; see docs/decisions/0016-changing-the-signing-algorithm.md. */
  readonly algorithm: SigningAlgorithm
}

export type KeySituation = KeySchedule & {
  /** Every key that is not erased. */
  readonly keys: readonly SigningKeyRecord[]
  readonly nowMs: number
  /** An operator wants the next key to sign now, or as soon as possible. */
  readonly isAsked: boolean
}

type Pair = { readonly active: SigningKeyRecord; readonly next: SigningKeyRecord }

/** The earliest time at which a next key may sign. */
export const readyAtMs = ({ createdAtMs }: SigningKeyRecord): number =>
  createdAtMs + publishedBeforeUseMs

const eraseStep = ({ keys, nowMs }: KeySituation): KeyStep | undefined => {
  const over = keys.find(
    ({ state, retiredAtMs = nowMs }) =>
      state === 'retiring' && nowMs - retiredAtMs > keptAfterRetirementMs,
  )
  return over && { kind: 'erase', kid: over.kid }
}

const rotationStep = (situation: KeySituation, { active, next }: Pair): KeyStep | undefined => {
  const { nowMs, isAsked, algorithm, rotationMs } = situation
  const isDue = nowMs - (active.activatedAtMs ?? nowMs) >= rotationMs
  // Key sets with two kinds of keys break some verifiers, so a change that has started is finished without waiting.
  const isChanging = next.algorithm !== active.algorithm
  const rotatesEarly = next.rotateEarlyAtMs !== undefined
  // Processes with different settings must not replace each other's keys: the schedule replaces a key only while no change is in progress.
  const mayReplace = isAsked || (isDue && !isChanging)
  if (mayReplace && next.algorithm !== algorithm) {
    return { kind: 'replace', kid: next.kid, algorithm }
  }
  if (!isDue && !isAsked && !isChanging && !rotatesEarly) return undefined
  if (nowMs >= readyAtMs(next)) {
    return {
      kind: 'rotate',
      kid: active.kid,
      successor: next.kid,
      algorithm: next.algorithm,
    }
  }
  return isAsked && !rotatesEarly ? { kind: 'rotateEarly', kid: next.kid } : undefined
}

/**
 * The state machine of the keys: returns the step that is due. Nothing when no step is due, or when there is no active key to continue
 * from.
 */
export const nextStep = (situation: KeySituation): KeyStep | undefined => {
  const { keys, algorithm, isAsked } = situation
  const active = keys.find(({ state }) => state === 'active')
  const next = keys.find(({ state }) => state === 'next')
  if (!active) return undefined
  // Uses the current algorithm unless an operator asks for a change: nothing else ever mixes the two.
  if (!next) return { kind: 'add', algorithm: isAsked ? algorithm : active.algorithm }
  return rotationStep(situation, { active, next }) ?? (isAsked ? undefined : eraseStep(situation))
}

/** The algorithm of the key that a step needs, if any. */
export const newKeyFor = (step: KeyStep): SigningAlgorithm | undefined =>
  'algorithm' in step ? step.algorithm : undefined
