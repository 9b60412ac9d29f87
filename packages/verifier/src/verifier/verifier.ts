import type { ReplicaState } from '../replica.ts'
import type { AccessTokenClaims } from '../tokens/access-token-claims.ts'
import type { VerifyOptions } from './options.ts'

/**
 * `LOADING`: no keys or no snapshot yet; every token is refused. `FRESH`: complete as of less than five seconds ago. `STALE`: it cannot
 * prove that any more, and the policy decides. `OFF`: revocations are not followed, because of `revocations: 'off'`.
 */
export type VerifierState = ReplicaState | 'OFF'

/** The events of a verifier with their arguments. An error in a listener becomes a warning of the process and stops nothing. */
export type VerifierEvents = {
  /** The state has changed. It is computed when it is read; the event may come a moment later. */
  readonly state: VerifierState
  /** A snapshot of the revocations was loaded: the first one, or one after a gap in the log or a fail-over of the issuer. */
  readonly snapshot: {
    readonly entries: number
    readonly reason: 'first' | 'gap' | 'feed_changed'
  }
  /** The keys changed; these are trusted now. */
  readonly keys: { readonly kids: readonly string[] }
  /**
   * A background request failed and will be retried; alert when it persists. Or the clocks of this machine and of the feed differ by more
   * than 25 seconds: reported once, until they agree again.
   */
  readonly error: unknown
}

/** Current numbers for a metrics page. */
export type VerifierStats = {
  readonly state: VerifierState
  /** Milliseconds since the revocations were last fresh; 0 while FRESH, undefined while LOADING or OFF. */
  readonly staleForMs: number | undefined
  /** Entries of the last complete snapshot; undefined before the first. */
  readonly snapshotEntries: number | undefined
  readonly keys: number
  /** Milliseconds since the issuer last confirmed the keys. Undefined before the first time. */
  readonly keysAgeMs: number | undefined
  /** The number of cached signatures, and how often they were used. */
  readonly cachedTokens: number
  readonly cacheHits: number
  readonly cacheMisses: number
}

/** Made by `createVerifier`. One is enough for a process. */
export type Verifier = {
  /**
   * Resolves with the claims of an access token that is valid and not known to be revoked. Makes no network call while the state is FRESH,
   * except for an unknown signing key, at most once in 30 s.
   *
   * @throws {VerifierError} every refusal, with a code and a status; other errors are not expected
   */
  readonly verify: (token: string, options?: VerifyOptions) => Promise<AccessTokenClaims>
  /**
   * Like `verify`, for the value of the cookie `__Host-cardea-sealed`: decrypts it with the key that it names and verifies its token.
   * In your own handler, accept a value only when there is exactly one cookie with that name, and refuse unsafe requests from pages of
   * other sites. The guards do both.
   *
   * ```ts
   * const claims = await verifier.openSealed(cookies['__Host-cardea-sealed'] ?? '')
   * ```
   *
   * @throws {VerifierError} every refusal: `token_invalid` for a cookie that cannot be decrypted, otherwise like `verify`
   * @throws {TypeError} when the verifier was made without `sealed`
   */
  readonly openSealed: (sealed: string, options?: VerifyOptions) => Promise<AccessTokenClaims>
  /** Whether it was made with `sealed`. */
  readonly opensSealed: boolean
  /**
   * Resolves once the keys are loaded and the revocations are FRESH. Retries without a limit; set one with a signal, e.g.
   * `AbortSignal.timeout(10_000)`. Rejects when the signal aborts or the verifier is closed.
   */
  readonly ready: (signal?: AbortSignal) => Promise<void>
  /** The state at this moment, without the delay of a timer. For a readiness probe: ready unless it is LOADING. */
  readonly state: () => VerifierState
  /** For a metrics page. Reading it changes nothing. */
  readonly stats: () => VerifierStats
  /** Calls the listener for every event of this name from now on. */
  readonly on: <Name extends keyof VerifierEvents>(
    name: Name,
    listener: (event: VerifierEvents[Name]) => void,
  ) => void
  /** Removes the listener. */
  readonly off: <Name extends keyof VerifierEvents>(
    name: Name,
    listener: (event: VerifierEvents[Name]) => void,
  ) => void
  /** Ends the background work and resolves when none is left. Every token is refused afterwards. */
  readonly close: () => Promise<void>
}
