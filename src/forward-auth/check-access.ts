import type { RequestFacts } from '../audit/index.ts'
import type { CookieSession, FindCookieSession } from '../cookie-sessions/index.ts'
import { AppError, defineErrors } from '../lib/app-error.ts'
import type { Clock } from '../lib/machine.ts'
import type { CheckBearer } from '../revocation/index.ts'
import { adminScope } from '../sessions/index.ts'
import type { AccessTokenClaims, MintedToken, TokenSubject } from '../tokens/index.ts'

/** What a proxy asks about, beyond somebody being logged in. */
export type Rules = {
  /** Any one of them is enough; none: everybody who is logged in. */
  readonly roles: readonly string[]
  /** How long ago the person may have proved who they are. */
  readonly maxAgeSeconds: number | undefined
}

/** Who asks, whatever the credential was. */
export type Identity = {
  readonly accountId: string
  readonly sessionId: string
  readonly roles: readonly string[]
  readonly authenticatedAtMs: number
}

export type Decision = 'allow' | 'lacks_role' | 'too_old'

/**
 * Whether this person may pass. The role comes first: logging in again would not help who lacks it, and would be asked for again and
 * again.
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
 * A fresh access token of a cookie session for the service behind the proxy. It has no scope: that service holds it, and could operate
 * Cardea, or end the person's sessions, in the person's name.
 */
export const mintForUpstream =
  (mint: (subject: TokenSubject) => MintedToken) =>
  (session: CookieSession, audience: string, factsReadAtMs: number): string => {
    const { accountId: subjectId, sessionId, clientId, roles, authenticatedAtMs } = session
    const { amr, acr, epochs } = session
    const person = { subjectId, sessionId, clientId, roles, authenticatedAtMs, amr, acr, epochs }
    return mint({ ...person, audience, scope: '', factsReadAtMs }).token
  }

/** Whether the client's own token may go on to the service behind the proxy: made for it, and no operator's. */
const maySeeUpstream = ({ aud, scope }: AccessTokenClaims, audience: string): boolean =>
  [aud].flat().includes(audience) && !scope.split(' ').includes(adminScope)

export type CheckAccessDeps = {
  readonly clock: Pick<Clock, 'nowMs'>
  readonly checkBearer: CheckBearer
  readonly findCookieSession: FindCookieSession
  /** Whether a session cookie was made here, whatever has become of its session. */
  readonly isOwnHandle: (handle: string) => boolean
  /** Throws `store_unavailable` while Postgres is known to be away. */
  readonly assertDatabaseUp: () => void
  /** Throws `signing_keys_unavailable` before anything is signed. */
  readonly mintForUpstream: (
    session: CookieSession,
    audience: string,
    factsReadAtMs: number,
  ) => Promise<string>
  /** Nothing for an account that is gone. A token says nothing of its owner's address, so it is read. */
  readonly emailOf: (accountId: string) => Promise<string | undefined>
}

/** What a request presents: an `Authorization` header of whatever kind, else a session cookie, else nothing. */
export type PresentedCredential =
  /** `token` is undefined when the header holds no bearer token. */
  | { readonly kind: 'bearer'; readonly token: string | undefined }
  | { readonly kind: 'cookie'; readonly handle: string; readonly client: RequestFacts }
  | { readonly kind: 'nothing' }

export type Wanted = Rules & {
  /** Which service the token is for. A bearer token must be made for it. */
  readonly audience: string | undefined
  /** The audience of a token for the service behind the proxy; undefined when none is asked for. */
  readonly tokenAudience: string | undefined
  /** Whether the service behind the proxy is told the e-mail address. */
  readonly email: boolean
}

export type AccessVerdict =
  | {
      readonly kind: 'allowed'
      readonly identity: Identity
      readonly token: string | undefined
      readonly email: string | undefined
    }
  /** Not good (any more), or nothing at all: to the login page. `cause` says what is wrong with what was presented, for the log. */
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
 * Only a session that opens is looked up. What is decided without asking anybody holds while Postgres is there: without it strangers
 * would be sent to log in where nobody can, and tokens would pass for as long as what is known of revocations is fresh.
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

/** Who it was, for the log. */
const ofAccount = (accountId: string): Error => new Error(`account ${accountId}`)

/** A token made for one service must not open another: whoever holds that service could use it here. */
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
 * Whether a request may pass, and as whom. What it presents decides alone: an `Authorization` header that is no good is not made up
 * for by a cookie, so that whoever sends one never acts as somebody else.
 * @throws role_required, token_not_for_upstream; store_unavailable and signing_keys_unavailable when it cannot be known
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
  sign_in_required: { status: 401, title: 'Nobody is logged in; log in first.' },
  sign_in_too_old: { status: 401, title: 'The login is too long ago; log in again.' },
  role_required: { status: 403, title: 'The account has none of the roles that are asked for.' },
  token_not_for_upstream: {
    status: 403,
    title: 'The access token was not made for the service behind the proxy.',
  },
  form_expired: {
    status: 403,
    title: 'This form was not made for this browser, or is too old. Please try again.',
  },
})
