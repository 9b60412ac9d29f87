import type { ReplicaState } from '../replica.ts'
import type { AccessTokenClaims } from '../tokens/access-token-claims.ts'
import type { VerifyOptions } from './options.ts'

/**
 * `LOADING`: no keys or no snapshot yet, nothing is accepted. `FRESH`: complete as of less than five seconds ago. `STALE`: it
 * cannot prove that any more, and the policy decides. `OFF`: revocations are not followed, by `revocations: 'off'`.
 */
export type VerifierState = ReplicaState | 'OFF'

/** What a verifier tells, and with what. A listener that throws becomes a warning of the process and stops nothing. */
export type VerifierEvents = {
  /** The state is another one now. It is computed when asked for; the event may come a moment later. */
  readonly state: VerifierState
  /** A snapshot of the revocations was taken in: the first, or one after a gap in the log or a fail-over of the issuer. */
  readonly snapshot: {
    readonly entries: number
    readonly reason: 'first' | 'gap' | 'feed_changed'
  }
  /** The keys changed; these are trusted now. */
  readonly keys: { readonly kids: readonly string[] }
  /**
   * Something in the background failed and will be tried again: worth an alert when it lasts. Or the clock of this machine and that
   * of the feed differ by more than 25 seconds: told once, until they agree again.
   */
  readonly error: unknown
}

/** Numbers for a metrics page, as of now. */
export type VerifierStats = {
  readonly state: VerifierState
  /** Milliseconds since the revocations ceased to be fresh; 0 while FRESH, undefined while LOADING or OFF. */
  readonly staleForMs: number | undefined
  /** Entries of the last complete snapshot; undefined before the first. */
  readonly snapshotEntries: number | undefined
  readonly keys: number
  /** Milliseconds since the issuer last confirmed the keys; undefined before it first did. */
  readonly keysAgeMs: number | undefined
  /** Verified signatures that are remembered, and how often that saved the work. */
  readonly cachedTokens: number
  readonly cacheHits: number
  readonly cacheMisses: number
}

/** Made by `createVerifier`; one is enough for a process. */
export type Verifier = {
  /**
   * Resolves with the claims of an access token that is good and, as far as is known, not revoked. Makes no network call while the
   * state is FRESH, other than for a signing key that it has not seen before, at most one in 30 s.
   *
   * @throws {VerifierError} every refusal, with a code and a status; nothing else is expected to be thrown
   */
  readonly verify: (token: string, options?: VerifyOptions) => Promise<AccessTokenClaims>
  /**
   * As `verify`, for the value of the cookie `__Host-cardea-sealed`: opens it with the key that it names and verifies the token in it.
   * In a handler of your own, take a value only when there is exactly one cookie of that name, and let nothing be changed by a page of
   * another site; the guards do both.
   *
   * ```ts
   * const claims = await verifier.openSealed(cookies['__Host-cardea-sealed'] ?? '')
   * ```
   *
   * @throws {VerifierError} every refusal: `token_invalid` for a cookie that does not open, else as `verify`
   * @throws {TypeError} when the verifier was made without `sealed`
   */
  readonly openSealed: (sealed: string, options?: VerifyOptions) => Promise<AccessTokenClaims>
  /** Whether it was made with `sealed`. */
  readonly opensSealed: boolean
  /**
   * Resolves once the keys are loaded and the revocations are FRESH. Tries for as long as it takes; bound it with a signal, e.g.
   * `AbortSignal.timeout(10_000)`. Rejects when the signal aborts or the verifier is closed.
   */
  readonly ready: (signal?: AbortSignal) => Promise<void>
  /** As of this moment: no timer can be late with it. For a readiness probe: ready while it is not LOADING. */
  readonly state: () => VerifierState
  /** For a metrics page; reading it changes nothing. */
  readonly stats: () => VerifierStats
  /** Calls the listener for every event of this name from now on. */
  readonly on: <Name extends keyof VerifierEvents>(
    name: Name,
    listener: (event: VerifierEvents[Name]) => void,
  ) => void
  /** Ends what `on` began with the same listener. */
  readonly off: <Name extends keyof VerifierEvents>(
    name: Name,
    listener: (event: VerifierEvents[Name]) => void,
  ) => void
  /** Ends the work in the background and resolves when none is left. Nothing is accepted afterwards. */
  readonly close: () => Promise<void>
}
