import type { Clock } from '../clock.ts'
import type { Names } from '../known-members.ts'

/**
 * What to do with a token that is good in itself while the verifier cannot prove that it knows all revocations. Whatever is known to be
 * revoked is refused under every policy, and nothing is accepted before the first snapshot.
 *
 * - `deny`: 503 with `Retry-After`. The default.
 * - `introspect`: ask Cardea about this one token (RFC 7662); 503 when it does not answer in time.
 * - `{ bounded: seconds }`: accept for this long after freshness was lost, then deny. For reads. At most 900.
 * - `accept-until-exp`: accept. Unsafe: whoever can cut this process off from Cardea makes revoked tokens good again.
 */
export type StalePolicy = 'deny' | 'introspect' | { readonly bounded: number } | 'accept-until-exp'

/** For tests, which decide what the time and the network are. Left out, they are those of the machine. */
export type TestOptions = {
  readonly clock?: Clock
  /** Also the place for a dispatcher or a proxy of your own. */
  readonly fetch?: typeof globalThis.fetch
  /** A number from 0 up to and not including 1, for the jitter between requests. */
  readonly fraction?: () => number
}

export type VerifierOptions = TestOptions & {
  /** The `iss` of the tokens, byte for byte: the `ISSUER` of Cardea. */
  readonly issuer: string
  /** Who this service is: a token must name it in `aud`. With several, any one of them. */
  readonly audience: string | readonly string[]
  /** The service client whose credential opens the feed: `cardea client create` makes one. Needed unless `revocations` is `off`. */
  readonly client?: { readonly id: string; readonly secret: string }
  /** Where Cardea is reached, if that is not the issuer: for a private network. A path is kept, as in `https://inside.example/auth`. */
  readonly endpoint?: string
  /** `off` gives up revocation: tokens then live until they expire. Default `follow`. */
  readonly revocations?: 'follow' | 'off'
  /** For `verify` without a policy of its own; default `deny`. */
  readonly policy?: StalePolicy
  /** Verified signatures that are remembered; default 10,000, which take some 10 MB when all are in use, and never more than 20. 0 remembers none. */
  readonly maxCachedTokens?: number
  /** How long Cardea may take to answer under the policy `introspect`, milliseconds; default 2000. */
  readonly introspectionTimeoutMs?: number
  /** For `openSealed` and guards of sealed cookies: the keys that `cardea sealed-key --audience …` prints for this service. Each is a secret. */
  readonly sealed?: { readonly keys: readonly string[] }
  /** Allows `http:` to another machine, where the client's secret can be read and keys be forged on the way. Loopback is always allowed. */
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

/** What one route asks of a token besides being good. */
export type VerifyOptions = {
  readonly policy?: StalePolicy
  /** All of these; else 403 `insufficient_role`. */
  readonly roles?: readonly string[]
  /** All of these; else 403 `insufficient_scope`. */
  readonly scopes?: readonly string[]
  /**
   * How long ago the person may have last proved who they are, whole seconds; else 401 `authentication_too_old` (RFC 9470), and the
   * app asks them again. Compared with `auth_time` without leeway, so allow a minute at least.
   */
  readonly maxAuthAgeSeconds?: number
}

export const verifyOptionNames: Names<VerifyOptions> = {
  policy: true,
  roles: true,
  scopes: true,
  maxAuthAgeSeconds: true,
}
