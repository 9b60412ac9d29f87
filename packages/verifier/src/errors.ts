/** The codes of a `VerifierError`. They are stable: programs and dashboards may rely on them. */
export type VerifierErrorCode =
  /** 401. No token was sent. Only the adapters use this code. */
  | 'token_missing'
  /** 401. Malformed, from another issuer, for another audience, or with an invalid signature. */
  | 'token_invalid'
  /** 401. The token has expired. */
  | 'token_expired'
  /** 401. Its id, session, account, signing key or epoch has been revoked. */
  | 'token_revoked'
  /** 401. The token is valid, but the user authenticated longer ago than the route allows. Ask them to log in again. */
  | 'authentication_too_old'
  /** 403. The token is valid but lacks a scope that the route needs. */
  | 'insufficient_scope'
  /** 403. The token is valid but its owner lacks a role that the route needs. */
  | 'insufficient_role'
  /** 403. An unsafe request with a cookie came from a page whose origin is not allowed. Only the adapters use this code. */
  | 'forbidden_origin'
  /** 403. The same, from a page whose origin is allowed but belongs to another site. Only the adapters use this code. */
  | 'cross_site_origin'
  /** 503. It is unknown whether the token was revoked, and the policy does not accept that. */
  | 'revocation_state_unknown'
  /** 503. The issuer's keys cannot be fetched, and the last ones are too old or do not contain the needed one. */
  | 'keys_unavailable'
  /** 503. The verifier has no keys or no snapshot of the revocations yet, or is closed. */
  | 'not_ready'

type Definition = {
  readonly status: 401 | 403 | 503
  readonly message: string
  readonly retryAfterSeconds?: number
}

/** A replica that lost its feed retries at least about every second; keys are fetched at most every 30 s. */
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
    message: 'It is currently unknown whether the access token was revoked.',
    retryAfterSeconds: 2,
  },
  keys_unavailable: {
    status: 503,
    message: 'The keys of the issuer are currently unavailable.',
    retryAfterSeconds: 30,
  },
  not_ready: {
    status: 503,
    message: 'Access tokens cannot be checked yet.',
    retryAfterSeconds: 2,
  },
}

/** The optional parts of a `VerifierError`. */
export type VerifierErrorOptions = {
  /** The exact reason, for the log. */
  readonly cause?: unknown
}

/**
 * Why a token was not accepted. The message is fixed for each code, contains nothing of the token, and may be shown to anyone. The
 * exact reason is in `cause` and is for the log.
 *
 * A 503 says nothing about the token. Respond with 503 and `Retry-After`, never with 401, or every client logs its user out.
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
  /** The HTTP status for the response. */
  readonly status: 401 | 403 | 503
  /** For a 503: whole seconds after which a retry makes sense, for `Retry-After`. */
  readonly retryAfterSeconds: number | undefined

  constructor(code: VerifierErrorCode, options: VerifierErrorOptions = {}) {
    const { status, message, retryAfterSeconds } = definitions[code]
    super(message, options)
    this.code = code
    this.status = status
    this.retryAfterSeconds = retryAfterSeconds
  }
}
