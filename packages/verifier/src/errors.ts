/** What a `VerifierError` says; stable: programs and dashboards may rely on it. */
export type VerifierErrorCode =
  /** 401. No token was sent: only the adapters say this. */
  | 'token_missing'
  /** 401. Malformed, foreign, for another audience, or with a signature that does not verify. */
  | 'token_invalid'
  /** 401. Was good, and its time has passed. */
  | 'token_expired'
  /** 401. Its id, session, account, signing key or epoch has been revoked. */
  | 'token_revoked'
  /** 401. The token is good, and the person proved who they are longer ago than the route allows: ask them again. */
  | 'authentication_too_old'
  /** 403. The token is good and lacks a scope that the route needs. */
  | 'insufficient_scope'
  /** 403. The token is good and its owner lacks a role that the route needs. */
  | 'insufficient_role'
  /** 403. A request that changes something brought a cookie, and came from a page whose origin is not allowed: only the adapters say this. */
  | 'forbidden_origin'
  /** 403. The same, from a page whose origin is allowed, but which is of another site: only the adapters say this. */
  | 'cross_site_origin'
  /** 503. Whether the token was revoked cannot be known now, and the policy does not accept it unknown. */
  | 'revocation_state_unknown'
  /** 503. The issuer's keys cannot be fetched, and the last ones are too old or do not hold the one that is needed. */
  | 'keys_unavailable'
  /** 503. The verifier has no keys or no snapshot of the revocations yet, or is closed. */
  | 'not_ready'

type Definition = {
  readonly status: 401 | 403 | 503
  readonly message: string
  readonly retryAfterSeconds?: number
}

/** A replica that lost its feed asks again at least every second or so; keys are asked for at most every 30 s. */
const definitions: Readonly<Record<VerifierErrorCode, Definition>> = {
  token_missing: { status: 401, message: 'An access token is needed.' },
  token_invalid: { status: 401, message: 'The access token is not valid.' },
  token_expired: { status: 401, message: 'The access token has expired.' },
  token_revoked: { status: 401, message: 'The access token has been revoked.' },
  authentication_too_old: { status: 401, message: 'A more recent login is needed.' },
  insufficient_scope: { status: 403, message: 'The access token lacks a scope.' },
  insufficient_role: { status: 403, message: 'The account lacks a role.' },
  forbidden_origin: { status: 403, message: 'Requests from this origin are not accepted.' },
  cross_site_origin: {
    status: 403,
    message: 'A page of another site cannot use the cookies of this service.',
  },
  revocation_state_unknown: {
    status: 503,
    message: 'Whether the access token was revoked cannot be known at the moment.',
    retryAfterSeconds: 2,
  },
  keys_unavailable: {
    status: 503,
    message: 'The keys of the issuer cannot be had at the moment.',
    retryAfterSeconds: 30,
  },
  not_ready: {
    status: 503,
    message: 'Access tokens cannot be checked yet.',
    retryAfterSeconds: 2,
  },
}

/** What may be added to a `VerifierError`. */
export type VerifierErrorOptions = {
  /** The exact reason, for the log. */
  readonly cause?: unknown
}

/**
 * Why a token was not accepted. The message is the same for every token that is refused for the same code, holds nothing of
 * the token, and may be shown to anyone; the exact reason is in `cause` and is for the log.
 *
 * A 503 is no verdict on the token: answer 503 with `Retry-After`, never 401, or every client signs its user out.
 *
 * ```ts
 * try {
 *   const claims = await verifier.verify(token)
 * } catch (error) {
 *   if (error instanceof VerifierError) console.log(error.code, error.status, error.cause)
 *   else throw error
 * }
 * ```
 */
export class VerifierError extends Error {
  override readonly name = 'VerifierError'
  readonly code: VerifierErrorCode
  /** The HTTP status to answer with. */
  readonly status: 401 | 403 | 503
  /** With a 503: whole seconds after which it makes sense to try again, for `Retry-After`. */
  readonly retryAfterSeconds: number | undefined

  constructor(code: VerifierErrorCode, options: VerifierErrorOptions = {}) {
    const { status, message, retryAfterSeconds } = definitions[code]
    super(message, options)
    this.code = code
    this.status = status
    this.retryAfterSeconds = retryAfterSeconds
  }
}
