import { VerifierError, type VerifierErrorCode } from '../errors.ts'

/** The codes with which an adapter refuses: those of `VerifierError`, and `internal_error` for what nobody expected. */
export type RefusalCode = VerifierErrorCode | 'internal_error'

/** The body of a refusal: RFC 9457, with `code` as the one member to branch on. */
export type Problem = {
  /** `urn:cardea:problem:` and the code. */
  readonly type: string
  /** One sentence, always the same for this code. */
  readonly title: string
  readonly status: number
  readonly code: RefusalCode
  /** Leads to the log; only where the framework numbers its requests. */
  readonly request_id?: string
}

/** Why and how a request is refused. */
export type Refusal = {
  readonly status: 401 | 403 | 500 | 503
  readonly code: RefusalCode
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly problem: Problem
  /** What was thrown, for the log only: a `VerifierError` with its exact reason in `cause`; anything at all with `internal_error`. */
  readonly error: unknown
}

/** What the challenge of a route says (RFC 6750 section 3). */
export type ChallengeOptions = {
  readonly realm: string
  /** The scopes that the route needs, named in the 403. */
  readonly scopes: readonly string[]
  /** How recent a login the route needs, named in the 401 of RFC 9470. */
  readonly maxAuthAgeSeconds?: number | undefined
  /** False where the credential is a cookie; default true. */
  readonly challenges?: boolean
}

const challengeErrors: Readonly<Record<VerifierErrorCode, string | undefined>> = {
  // Section 3.1: a request without any token is told no error, only what to bring.
  token_missing: '',
  token_invalid: ', error="invalid_token"',
  token_expired: ', error="invalid_token"',
  token_revoked: ', error="invalid_token"',
  // RFC 9470 section 3: the client takes the person through a login and comes back with a newer token.
  authentication_too_old: ', error="insufficient_user_authentication"',
  insufficient_scope: ', error="insufficient_scope"',
  // OAuth knows no code for roles. This one says the same: a fresh token of the same kind will not help.
  insufficient_role: ', error="insufficient_scope"',
  // The same page would send the same request again.
  forbidden_origin: undefined,
  cross_site_origin: undefined,
  // No verdict on the token, so no challenge: a client that sees one throws its token away.
  revocation_state_unknown: undefined,
  keys_unavailable: undefined,
  not_ready: undefined,
}

const isCode = (code: unknown): code is VerifierErrorCode =>
  typeof code === 'string' && Object.hasOwn(challengeErrors, code)

/**
 * Finds out by the name and not by the class: a program may have both the ESM and the CommonJS copy of this package in memory, and
 * their classes differ. Built anew, so that the status and the text are ours whatever was thrown.
 */
const asVerifierError = (error: unknown): VerifierError | undefined => {
  if (error instanceof VerifierError) return error
  if (!(error instanceof Error) || error.name !== 'VerifierError') return undefined
  const { code, cause }: { code?: unknown; cause?: unknown } = error
  return isCode(code) ? new VerifierError(code, { cause }) : undefined
}

/** What would have been enough. */
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
  // A stored refusal would outlive its reason, a stored 401 log out whoever asks next.
  'cache-control': 'no-store',
  'content-type': 'application/problem+json',
}

const problemOf = (code: RefusalCode, status: number, title: string): Problem => ({
  type: `urn:cardea:problem:${code}`,
  title,
  status,
  code,
})

/** Turns whatever a check threw into an answer. What is no `VerifierError` becomes a 500 that says nothing of it. */
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

/** The body of a refusal, with the request's id if it has one. */
export const problemText = ({ problem }: Refusal, requestId?: string): string =>
  JSON.stringify(requestId === undefined ? problem : { ...problem, request_id: requestId })
