import { leewaySeconds, longestTokenSeconds, mintSlackSeconds } from '../lib/machine.ts'
import type { SigningAlgorithm, SigningKeyRecord } from './signing-key.ts'

/**
 * The times of the life of a signing key. They follow from each other: a key must be known to every verifier before it signs, and must
 * verify for as long as a token of it can be good.
 */

const minuteMs = 60_000

/** How often every instance reads the keys again and looks whether something is due; varied by a fifth. */
export const rereadEveryMs = 30_000

/**
 * A key signs only when it has been published for this long. Whoever fetched the key set just before keeps it for `max-age` (5 min) or
 * as long as their library wants (jose: 10 min), then may not ask again during a cool-down (30 s); some are slower, proxies in between
 * add theirs, instances serve it some seconds after it was made, and clocks differ. An hour is far beyond all of that together.
 */
export const publishedBeforeUseMs = 60 * minuteMs

/**
 * An instance that could not read the keys again for this long issues no tokens: the others may have retired the key it would sign
 * with. Whatever else happens, `keptAfterRetirementMs` counts on it.
 */
export const maxKeySetAgeForSigningMs = 10 * minuteMs

/** Whoever was let in by `signsUnreadMs` is still served: a request that ends in a refusal has consumed its refresh token. */
export const signsUnreadSlackMs = minuteMs

/**
 * Nor does it publish them any more after this long: a key that the others made right after its last reading may begin to sign
 * at `publishedBeforeUseMs`, and a verifier would hold our old set until then. Nothing is lost by it: who cannot read, cannot issue, and every token
 * that was issued before has expired.
 */
export const servedUnreadMs = 30 * minuteMs

/**
 * 27 min 10 s, which docs/guides/operate.md names. How long a retired key (state `retiring`) verifies before it is erased (state `gone`): until the last token of it has expired by anybody's clock, also one of an instance that
 * learned of the rotation as late as it may.
 */
export const keptAfterRetirementMs =
  (longestTokenSeconds + leewaySeconds + mintSlackSeconds) * 1000 +
  maxKeySetAgeForSigningMs +
  signsUnreadSlackMs

/** What is to be done with the keys, one thing at a time. Times are milliseconds since the Unix epoch. */
export type KeyStep =
  /** There is no next key: one of `algorithm` is added. */
  | { readonly kind: 'add'; readonly algorithm: SigningAlgorithm }
  /** The next key `kid` gives way to one of another algorithm, which signs as soon as it may. */
  | { readonly kind: 'replace'; readonly kid: string; readonly algorithm: SigningAlgorithm }
  /** The next key `kid` is to sign as soon as it may. */
  | { readonly kind: 'rotateEarly'; readonly kid: string }
  /** `kid` stops signing, `successor` begins, and a new next key is added. */
  | {
      readonly kind: 'rotate'
      readonly kid: string
      readonly successor: string
      readonly algorithm: SigningAlgorithm
    }
  /** `kid` has verified for as long as a token of it can be good. */
  | { readonly kind: 'erase'; readonly kid: string }

export type KeySchedule = {
  /** The age at which the active key is replaced. */
  readonly rotationMs: number
  /** What an operator wants tokens to be signed with; see docs/decisions/0016-changing-the-signing-algorithm.md. */
  readonly algorithm: SigningAlgorithm
}

export type KeySituation = KeySchedule & {
  /** Every key that is not gone. */
  readonly keys: readonly SigningKeyRecord[]
  readonly nowMs: number
  /** An operator wants the next key to sign now, or as soon as it may. */
  readonly isAsked: boolean
}

type Pair = { readonly active: SigningKeyRecord; readonly next: SigningKeyRecord }

/** When a next key may sign at the earliest. */
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
  // Key sets with two kinds of keys break some verifiers, so a change that has begun is finished without waiting.
  const isChanging = next.algorithm !== active.algorithm
  const isHastened = next.hastenedAtMs !== undefined
  // Instances whose settings differ must not take turns at this: the schedule replaces a key only where no change is under way.
  const mayReplace = isAsked || (isDue && !isChanging)
  if (mayReplace && next.algorithm !== algorithm) {
    return { kind: 'replace', kid: next.kid, algorithm }
  }
  if (!isDue && !isAsked && !isChanging && !isHastened) return undefined
  if (nowMs >= readyAtMs(next)) {
    return {
      kind: 'rotate',
      kid: active.kid,
      successor: next.kid,
      algorithm: next.algorithm,
    }
  }
  return isAsked && !isHastened ? { kind: 'rotateEarly', kid: next.kid } : undefined
}

/** The state machine of the keys: what is due now; nothing when all is well, or when there is no active key to go on from. */
export const nextStep = (situation: KeySituation): KeyStep | undefined => {
  const { keys, algorithm, isAsked } = situation
  const active = keys.find(({ state }) => state === 'active')
  const next = keys.find(({ state }) => state === 'next')
  if (!active) return undefined
  // Of the kind that is in use, unless somebody asks for a change: nothing but a wish ever mixes the two.
  if (!next) return { kind: 'add', algorithm: isAsked ? algorithm : active.algorithm }
  return rotationStep(situation, { active, next }) ?? (isAsked ? undefined : eraseStep(situation))
}

/** The algorithm of the key that a step needs made, if any. */
export const newKeyFor = (step: KeyStep): SigningAlgorithm | undefined =>
  'algorithm' in step ? step.algorithm : undefined
