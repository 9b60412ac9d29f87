import { unlessUnauthorized } from '../lib/app-error.ts'
import type { Clock } from '../lib/clock.ts'
import type { CheckBearer } from '../revocation/index.ts'
import type { CheckCookieSession, CookieSession } from '../sessions/index.ts'
import type { AccessTokenClaims } from '../tokens/index.ts'
import { decide, type Identity, type Rules } from './decide.ts'
import { forwardAuthErrors } from './errors.ts'
import { maySeeUpstream } from './upstream-token.ts'

export type CheckAccessDeps = {
  readonly clock: Pick<Clock, 'nowMs'>
  readonly checkBearer: CheckBearer
  readonly checkCookieSession: CheckCookieSession
  /** Throws `store_unavailable` while Postgres is known to be away. */
  readonly demandPostgres: () => void
  /** Throws `signing_keys_unavailable` before anything is signed. */
  readonly mintForUpstream: (
    session: CookieSession,
    audience: string,
    factsReadAtMs: number,
  ) => Promise<string>
}

/** What a request presents: an `Authorization` header of whatever kind, else a session cookie, else nothing. */
export type Presented =
  /** `token` is undefined when the header holds no bearer token. */
  | { readonly kind: 'bearer'; readonly token: string | undefined }
  | { readonly kind: 'cookie'; readonly handle: string }
  | { readonly kind: 'nothing' }

export type Wanted = Rules & {
  /** Which service the token is for. A bearer token must be made for it. */
  readonly audience: string | undefined
  /** The audience of a token for the service behind the proxy; undefined when none is asked for. */
  readonly tokenAudience: string | undefined
}

export type Verdict =
  | { readonly kind: 'allowed'; readonly identity: Identity; readonly token: string | undefined }
  /** Not good (any more), or nothing at all: to the login page. */
  | { readonly kind: 'signed_out' }
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

const checkToken = async (
  { checkBearer }: CheckAccessDeps,
  token: string,
): Promise<Proof | undefined> => {
  const claims = await unlessUnauthorized(checkBearer(token))
  return claims && { kind: 'bearer', claims, token }
}

/**
 * Only a session that opens is looked up. What is decided without asking anybody holds while Postgres is there: without it strangers
 * would be sent to sign in where nobody can, and tokens would pass for as long as what is known of revocations is fresh.
 */
const prove = async (deps: CheckAccessDeps, presented: Presented): Promise<Proof | undefined> => {
  if (presented.kind === 'cookie') {
    const session = await deps.checkCookieSession(presented.handle)
    if (session) return { kind: 'cookie', session }
  }
  deps.demandPostgres()
  if (presented.kind !== 'bearer' || presented.token === undefined) return undefined
  return checkToken(deps, presented.token)
}

/** A token made for one service must not open another: whoever holds that service could use it here. */
const demandAudience = (proof: Proof, { audience, tokenAudience }: Wanted): void => {
  if (proof.kind === 'cookie') return
  const { claims } = proof
  const isFor = audience === undefined || [claims.aud].flat().includes(audience)
  const mayGoOn = tokenAudience === undefined || maySeeUpstream(claims, tokenAudience)
  if (!isFor || !mayGoOn) throw forwardAuthErrors.error('token_not_for_upstream')
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

/**
 * Whether a request may pass, and as whom. What it presents decides alone: an `Authorization` header that is no good is not made up
 * for by a cookie, so that whoever sends one never acts as somebody else.
 * @throws role_required, token_not_for_upstream; store_unavailable and signing_keys_unavailable when it cannot be known
 */
export const checkAccess =
  (deps: CheckAccessDeps) =>
  async (presented: Presented, wanted: Wanted): Promise<Verdict> => {
    const nowMs = deps.clock.nowMs()
    const proof = await prove(deps, presented)
    if (!proof) return { kind: 'signed_out' }
    demandAudience(proof, wanted)
    const identity = identityOf(proof)
    switch (decide(identity, wanted, nowMs)) {
      case 'lacks_role':
        throw forwardAuthErrors.error('role_required')
      case 'too_old':
        return { kind: 'too_old' }
      case 'allow':
        return {
          kind: 'allowed',
          identity,
          token: await tokenFor(deps, proof, wanted.tokenAudience, nowMs),
        }
    }
  }
