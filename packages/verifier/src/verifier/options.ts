import type { Clock } from '../clock.ts'
import type { Names } from '../known-members.ts'

/**
 * What to do with a valid token while the verifier cannot prove that it knows all revocations. Tokens that are known to be revoked are
 * refused under every policy, and every token is refused before the first snapshot.
 *
 * - `deny`: 503 with `Retry-After`. The default.
 * - `introspect`: ask Cardea about this one token (RFC 7662); 503 when it does not respond in time.
 * - `{ bounded: seconds }`: accept for this long after freshness was lost, then deny. For reads. At most 900.
 * - `accept-until-exp`: accept. Unsafe: an attacker who can cut this process off from Cardea makes revoked tokens valid again.
 */
export type StalePolicy = 'deny' | 'introspect' | { readonly bounded: number } | 'accept-until-exp'

/** For tests, which replace the time and the network. Default: those of the machine. */
export type TestOptions = {
  readonly clock?: Clock
  /** Also for your own dispatcher or proxy. */
  readonly fetch?: typeof globalThis.fetch
  /** A number in [0, 1) for the jitter between requests. */
  readonly fraction?: () => number
}

export type VerifierOptions = TestOptions & {
  /** The `iss` of the tokens, exactly: the `ISSUER` of Cardea. */
  readonly issuer: string
  /** The audience of this service, which a token must have in `aud`. With several, one of them. */
  readonly audience: string | readonly string[]
  /** The service client that may read the feed: create it with `cardea client create`. Required unless `revocations` is `off`. */
  readonly client?: { readonly id: string; readonly secret: string }
  /** The address of Cardea if it differs from the issuer, for a private network. A path is kept, as in `https://inside.example/auth`. */
  readonly endpoint?: string
  /** `off` disables revocation: tokens are then valid until they expire. Default `follow`. */
  readonly revocations?: 'follow' | 'off'
  /** For `verify` without its own policy; default `deny`. */
  readonly policy?: StalePolicy
  /**
   * The number of cached signatures; default 10,000, which take about 10 MB when all are used, and never more than 20. 0 disables the
   * cache.
   */
  readonly maxCachedTokens?: number
  /** How long to wait for Cardea's response with the policy `introspect`, milliseconds; default 2000. */
  readonly introspectionTimeoutMs?: number
  /**
   * For `openSealed` and guards of sealed cookies: the keys that `cardea sealed-key --audience …` prints for this service. Each is a
   * secret.
   */
  readonly sealed?: { readonly keys: readonly string[] }
  /**
   * Allows `http:` to another machine, where the client's secret can be read and keys can be forged in transit. Loopback is always allowed.
   */
  readonly allowInsecureHttp?: boolean
}

export const verifierOptionNames: Names<VerifierOptions> = {
  issuer: true,
  audience: true,
  client: true,
  endpoint: true,
  revocations: true,
  policy: true,
  maxCachedTokens: true,
  introspectionTimeoutMs: true,
  sealed: true,
  allowInsecureHttp: true,
  clock: true,
  fetch: true,
  fraction: true,
}

/** What a route requires of a token in addition to its validity. */
export type VerifyOptions = {
  readonly policy?: StalePolicy
  /** Requires all of these; otherwise 403 `insufficient_role`. */
  readonly roles?: readonly string[]
  /** Requires all of these; otherwise 403 `insufficient_scope`. */
  readonly scopes?: readonly string[]
  /**
   * The maximum time since the user authenticated, whole seconds; otherwise 401 `authentication_too_old` (RFC 9470), and the app asks for a
   * new login. Compared with `auth_time` without leeway, so allow at least a minute.
   */
  readonly maxAuthAgeSeconds?: number
}

export const verifyOptionNames: Names<VerifyOptions> = {
  policy: true,
  roles: true,
  scopes: true,
  maxAuthAgeSeconds: true,
}
