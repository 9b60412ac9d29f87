import { VerifierError, type VerifierErrorCode } from '../errors.ts'

/** The codes of the adapters: those of `VerifierError`, and `internal_error` for unexpected errors. */
export type RefusalCode = VerifierErrorCode | 'internal_error'

/** The body of an error response: RFC 9457. Branch on `code` only. */
export type Problem = {
  /** `urn:cardea:problem:` and the code. */
  readonly type: string
  /** One sentence, always the same for this code. */
  readonly title: string
  readonly status: number
  readonly code: RefusalCode
  /** Finds the log lines. Only where the framework gives requests an id. */
  readonly request_id?: string
}

/** Why and how a request is refused. */
export type Refusal = {
  readonly status: 401 | 403 | 500 | 503
  readonly code: RefusalCode
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly problem: Problem
  /** The error, for the log only: a `VerifierError` with its exact reason in `cause`, or any value with `internal_error`. */
  readonly error: unknown
}

/** The content of a route's challenge (RFC 6750 section 3). */
export type ChallengeOptions = {
  readonly realm: string
  /** The scopes that the route needs, listed in the 403. */
  readonly scopes: readonly string[]
  /** The maximum age of a login for the route, stated in the 401 of RFC 9470. */
  readonly maxAuthAgeSeconds?: number | undefined
  /** False where the credential is a cookie; default true. */
  readonly challenges?: boolean
}

const challengeErrors: Readonly<Record<VerifierErrorCode, string | undefined>> = {
  // Section 3.1: the challenge has no error code when the request carried no token.
  token_missing: '',
  token_invalid: ', error="invalid_token"',
  token_expired: ', error="invalid_token"',
  token_revoked: ', error="invalid_token"',
  // RFC 9470 section 3: the client asks the user to log in again and returns with a newer token.
  authentication_too_old: ', error="insufficient_user_authentication"',
  insufficient_scope: ', error="insufficient_scope"',
  // OAuth has no code for roles. This one means the same: a new token of the same kind will not help.
  insufficient_role: ', error="insufficient_scope"',
  // The same page would send the same request again.
  forbidden_origin: undefined,
  cross_site_origin: undefined,
  // The token was not judged, so there is no challenge: a client that sees one discards its token.
  revocation_state_unknown: undefined,
  keys_unavailable: undefined,
  not_ready: undefined,
}

const isCode = (code: unknown): code is VerifierErrorCode =>
  typeof code === 'string' && Object.hasOwn(challengeErrors, code)

/**
 * Compares the name and not the class: a program may load both the ESM and the CommonJS build of this package, and their classes differ.
 * Makes a new error, so that its status and text are defined here.
 */
const asVerifierError = (error: unknown): VerifierError | undefined => {
  if (error instanceof VerifierError) return error
  if (!(error instanceof Error) || error.name !== 'VerifierError') return undefined
  const { code, cause }: { code?: unknown; cause?: unknown } = error
  return isCode(code) ? new VerifierError(code, { cause }) : undefined
}

/** The scopes or the maximum age that the challenge states. */
const wantedBy = (
  code: VerifierErrorCode,
  { scopes, maxAuthAgeSeconds }: ChallengeOptions,
): string => {
  if (code === 'insufficient_scope' && scopes.length > 0) return `, scope="${scopes.join(' ')}"`
  if (code === 'authentication_too_old' && maxAuthAgeSeconds !== undefined) {
    return `, max_age="${maxAuthAgeSeconds}"`
  }
  return ''
}

const headersOf = (
  { code, retryAfterSeconds }: VerifierError,
  options: ChallengeOptions,
): Record<string, string> => {
  const challenge = options.challenges === false ? undefined : challengeErrors[code]
  return {
    ...(challenge !== undefined && {
      'www-authenticate': `Bearer realm="${options.realm}"${challenge}${wantedBy(code, options)}`,
    }),
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
  }
}

const problemHeaders = {
  // A cached refusal would outlive its reason, and a cached 401 would log out other users.
  'cache-control': 'no-store',
  'content-type': 'application/problem+json',
}

const problemOf = (code: RefusalCode, status: number, title: string): Problem => ({
  type: `urn:cardea:problem:${code}`,
  title,
  status,
  code,
})

/** Turns anything that a check threw into a response. Other errors than `VerifierError` become a 500 without details. */
export const refusalOf = (error: unknown, challenge: ChallengeOptions): Refusal => {
  const known = asVerifierError(error)
  if (known === undefined) {
    const title = 'Something went wrong while the access token was checked.'
    const problem = problemOf('internal_error', 500, title)
    return { status: 500, code: 'internal_error', headers: problemHeaders, problem, error }
  }
  const { code, status, message } = known
  const headers = { ...headersOf(known, challenge), ...problemHeaders }
  return { status, code, headers, problem: problemOf(code, status, message), error }
}

/** The body of an error response, with the request's id if it has one. */
export const problemText = ({ problem }: Refusal, requestId?: string): string =>
  JSON.stringify(requestId === undefined ? problem : { ...problem, request_id: requestId })
