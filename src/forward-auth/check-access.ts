import type { RequestFacts } from '../audit/index.ts'
import type { CookieSession, FindCookieSession } from '../cookie-sessions/index.ts'
import { AppError, defineErrors } from '../lib/app-error.ts'
import type { Clock } from '../lib/machine.ts'
import type { CheckBearer } from '../revocation/index.ts'
import { adminScope } from '../sessions/index.ts'
import type { AccessTokenClaims, MintedToken, TokenSubject } from '../tokens/index.ts'

/** What a proxy requires in addition to a login. */
export type Rules = {
  /** One of them is enough. Empty: every logged-in user. */
  readonly roles: readonly string[]
  /** The maximum time since the last authentication. */
  readonly maxAgeSeconds: number | undefined
}

/** The caller, for either kind of credential. */
export type Identity = {
  readonly accountId: string
  readonly sessionId: string
  readonly roles: readonly string[]
  readonly authenticatedAtMs: number
}

export type Decision = 'allow' | 'lacks_role' | 'too_old'

/**
 * Whether this user may pass. The role is checked first: a user without it would otherwise be asked to log in again and again, without
 * success.
 */
const decide = (
  { roles: held, authenticatedAtMs }: Identity,
  { roles, maxAgeSeconds }: Rules,
  nowMs: number,
): Decision => {
  if (roles.length > 0 && !roles.some((role) => held.includes(role))) return 'lacks_role'
  const isTooOld = maxAgeSeconds !== undefined && nowMs - authenticatedAtMs > maxAgeSeconds * 1000
  return isTooOld ? 'too_old' : 'allow'
}

/**
 * A new access token of a cookie session for the upstream service. It has no scope: the upstream service receives it and could otherwise
 * operate Cardea, or end the user's sessions, in the user's name.
 */
export const mintForUpstream =
  (mint: (subject: TokenSubject) => MintedToken) =>
  (session: CookieSession, audience: string, factsReadAtMs: number): string => {
    const { accountId: subjectId, sessionId, clientId, roles, authenticatedAtMs } = session
    const { amr, acr, epochs } = session
    const person = { subjectId, sessionId, clientId, roles, authenticatedAtMs, amr, acr, epochs }
    return mint({ ...person, audience, scope: '', factsReadAtMs }).token
  }

/** Whether the client's own token may be forwarded to the upstream service: it was made for it and has no operator scope. */
const maySeeUpstream = ({ aud, scope }: AccessTokenClaims, audience: string): boolean =>
  [aud].flat().includes(audience) && !scope.split(' ').includes(adminScope)

export type CheckAccessDeps = {
  readonly clock: Pick<Clock, 'nowMs'>
  readonly checkBearer: CheckBearer
  readonly findCookieSession: FindCookieSession
  /** Whether this service issued a session cookie, whatever the state of its session. */
  readonly isOwnHandle: (handle: string) => boolean
  /** Throws `store_unavailable` while Postgres is known to be unreachable. */
  readonly assertDatabaseUp: () => void
  /** Throws `signing_keys_unavailable` before anything is signed. */
  readonly mintForUpstream: (
    session: CookieSession,
    audience: string,
    factsReadAtMs: number,
  ) => Promise<string>
  /** Undefined for a deleted account. Tokens contain no address, so it is read. */
  readonly emailOf: (accountId: string) => Promise<string | undefined>
}

/** The credential of a request: an `Authorization` header of any scheme, otherwise a session cookie, otherwise nothing. */
export type PresentedCredential =
  /** `token` is undefined when the header contains no bearer token. */
  | { readonly kind: 'bearer'; readonly token: string | undefined }
  | { readonly kind: 'cookie'; readonly handle: string; readonly client: RequestFacts }
  | { readonly kind: 'nothing' }

export type Wanted = Rules & {
  /** The audience that a bearer token must have. */
  readonly audience: string | undefined
  /** The audience of a token for the upstream service. Undefined: no token is requested. */
  readonly tokenAudience: string | undefined
  /** Whether the upstream service receives the e-mail address. */
  readonly email: boolean
}

export type AccessVerdict =
  | {
      readonly kind: 'allowed'
      readonly identity: Identity
      readonly token: string | undefined
      readonly email: string | undefined
    }
  /** No valid credential: redirect to the login page. `cause` says what was wrong with the presented one, for the log. */
  | { readonly kind: 'signed_out'; readonly cause: unknown }
  | { readonly kind: 'too_old' }

type Proof =
  | { readonly kind: 'bearer'; readonly claims: AccessTokenClaims; readonly token: string }
  | { readonly kind: 'cookie'; readonly session: CookieSession }

const identityOf = (proof: Proof): Identity =>
  proof.kind === 'cookie'
    ? proof.session
    : {
        accountId: proof.claims.sub,
        sessionId: proof.claims.sid,
        roles: proof.claims.roles,
        authenticatedAtMs: proof.claims.auth_time * 1000,
      }

/** Without a cause nothing was presented, or a session that has ended. */
type NoProof = { readonly kind: 'none'; readonly cause: unknown }

const checkToken = async (
  { checkBearer }: CheckAccessDeps,
  token: string,
): Promise<Proof | NoProof> => {
  try {
    return { kind: 'bearer', claims: await checkBearer(token), token }
  } catch (cause) {
    if (cause instanceof AppError && cause.status === 401) return { kind: 'none', cause }
    throw cause
  }
}

/**
 * Finds the caller. Only a valid session is looked up. Decisions from memory require that Postgres is reachable: during an outage, users
 * would be sent to a login that cannot work, and tokens would be accepted while the known revocations are fresh.
 */
const prove = async (
  deps: CheckAccessDeps,
  presented: PresentedCredential,
): Promise<Proof | NoProof> => {
  const session =
    presented.kind === 'cookie'
      ? await deps.findCookieSession(presented.handle, presented.client)
      : undefined
  if (session) return { kind: 'cookie', session }
  deps.assertDatabaseUp()
  if (presented.kind === 'cookie' && !deps.isOwnHandle(presented.handle)) {
    return { kind: 'none', cause: new Error('the session cookie was not made here') }
  }
  if (presented.kind !== 'bearer' || presented.token === undefined) {
    return { kind: 'none', cause: undefined }
  }
  return checkToken(deps, presented.token)
}

/** The account, for the log. */
const ofAccount = (accountId: string): Error => new Error(`account ${accountId}`)

/** A token made for one service must not be accepted for another: the first service could use it there. */
const assertAudience = (proof: Proof, { audience, tokenAudience }: Wanted): void => {
  if (proof.kind === 'cookie') return
  const { claims } = proof
  const isFor = audience === undefined || [claims.aud].flat().includes(audience)
  const mayGoOn = tokenAudience === undefined || maySeeUpstream(claims, tokenAudience)
  if (isFor && mayGoOn) return
  throw forwardAuthErrors.error('token_not_for_upstream', { cause: ofAccount(claims.sub) })
}

const tokenFor = async (
  deps: CheckAccessDeps,
  proof: Proof,
  tokenAudience: string | undefined,
  provedAfterMs: number,
): Promise<string | undefined> => {
  if (tokenAudience === undefined) return undefined
  if (proof.kind === 'bearer') return proof.token
  return deps.mintForUpstream(proof.session, tokenAudience, provedAfterMs)
}

const emailFor = async (
  { emailOf }: CheckAccessDeps,
  proof: Proof,
  isWanted: boolean,
): Promise<string | undefined> => {
  if (!isWanted) return undefined
  return proof.kind === 'cookie' ? proof.session.email : await emailOf(proof.claims.sub)
}

/**
 * Whether a request may pass, and as which user. Only one credential decides: an invalid `Authorization` header is not replaced by a
 * cookie, so that its sender never acts as another user.
 * @throws role_required, token_not_for_upstream; store_unavailable and signing_keys_unavailable when it cannot decide
 */
export const checkAccess =
  (deps: CheckAccessDeps) =>
  async (presented: PresentedCredential, wanted: Wanted): Promise<AccessVerdict> => {
    const nowMs = deps.clock.nowMs()
    const proof = await prove(deps, presented)
    if (proof.kind === 'none') return { kind: 'signed_out', cause: proof.cause }
    assertAudience(proof, wanted)
    const identity = identityOf(proof)
    switch (decide(identity, wanted, nowMs)) {
      case 'lacks_role':
        throw forwardAuthErrors.error('role_required', { cause: ofAccount(identity.accountId) })
      case 'too_old':
        return { kind: 'too_old' }
      case 'allow':
        return {
          kind: 'allowed',
          identity,
          token: await tokenFor(deps, proof, wanted.tokenAudience, nowMs),
          email: await emailFor(deps, proof, wanted.email),
        }
    }
  }

export type CheckAccess = ReturnType<typeof checkAccess>

export const forwardAuthErrors = defineErrors({
  sign_in_required: { status: 401, title: 'No user is logged in; log in first.' },
  sign_in_too_old: { status: 401, title: 'The login is too long ago; log in again.' },
  role_required: { status: 403, title: 'The account has none of the required roles.' },
  token_not_for_upstream: {
    status: 403,
    title: 'The access token was not made for the service behind the proxy.',
  },
  form_expired: {
    status: 403,
    title: 'This form was not made for this browser, or is too old. Please try again.',
  },
})
