import type { SessionFacts } from './session.ts'

/**
 * The settings that every use of a session is checked against. The row holds the values at login, and settings may have changed since
 * (docs/decisions/0039-stored-facts.md).
 */
export type SessionSettings = {
  readonly issuer: string
  /** The audiences that tokens are issued for, the default first, never empty. The issuer is always an audience too. */
  readonly audiences: readonly string[]
  readonly sessionAbsoluteSeconds: number
  /** For a session that ends with the browser. */
  readonly browserSessionSeconds: number
}

export type AudienceSettings = Pick<SessionSettings, 'issuer' | 'audiences'>

export type LifetimeSettings = Pick<
  SessionSettings,
  'sessionAbsoluteSeconds' | 'browserSessionSeconds'
>

export const defaultAudience = ({ audiences, issuer }: AudienceSettings): string =>
  audiences[0] ?? issuer

export const isServed = (audience: string, { audiences, issuer }: AudienceSettings): boolean =>
  audience === issuer || audiences.includes(audience)

/**
 * The audience of a token requested without one. A session whose login named no audience has the current default, like a new login. A
 * session whose login named some keeps to those. Undefined: the current settings contain none of its audiences.
 */
export const audienceToday = (
  { audience, namedAudiences }: Pick<SessionFacts, 'audience' | 'namedAudiences'>,
  settings: AudienceSettings,
): string | undefined => {
  if (namedAudiences?.length === 0) return defaultAudience(settings)
  return [audience, ...(namedAudiences ?? [])].find((named) => isServed(named, settings))
}

/** The latest expiry, in milliseconds, of a session opened at that time. The expiry in its row applies only if it is earlier. */
export const latestExpiryMs = (
  openedAtMs: number,
  persists: boolean,
  { sessionAbsoluteSeconds, browserSessionSeconds }: LifetimeSettings,
): number => openedAtMs + (persists ? sessionAbsoluteSeconds : browserSessionSeconds) * 1000

/** The role of users who may use the admin API. */
export const operatorRole = 'operator'

/**
 * The scope of every login: read and end the own sessions, read the own account. Other services read it as "a user", so tokens for every
 * audience have it. In this service it is valid only in tokens made for the issuer or for the first of `AUDIENCE`.
 */
export const accountScope = 'account'

/** The only scope that opens operator routes. No other kind of token carries it. */
export const adminScope = 'admin'

/**
 * RFC 6749 section 3.3: printable ASCII without space, quote and backslash. The length limit is Cardea's: a token must fit into a header.
 */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/

export const isScopeToken = (text: string): boolean => scopeToken.test(text)

/** The distinct tokens of a `scope` parameter. Undefined when it is malformed (RFC 6749). */
export const parseScope = (text: string): readonly string[] | undefined => {
  const tokens = text.split(' ')
  return tokens.every(isScopeToken) ? [...new Set(tokens)] : undefined
}

/**
 * The scope of a new session, space-separated (RFC 6749 section 3.3): the widest one that a token for any of these audiences may have.
 * Operators get `admin` only in tokens for the issuer itself. Otherwise a service that receives an operator's token could use it here.
 */
export const scopeAtLogin = (
  roles: readonly string[],
  audiences: readonly string[],
  issuer: string,
): string =>
  roles.includes(operatorRole) && audiences.includes(issuer)
    ? `${accountScope} ${adminScope}`
    : accountScope

/** The part of a granted scope that the current roles still allow. Names unknown to this version are dropped. */
export const scopeAtRefresh = (granted: string, roles: readonly string[]): string =>
  granted
    .split(' ')
    .filter(
      (scope) => scope === accountScope || (scope === adminScope && roles.includes(operatorRole)),
    )
    .join(' ')

/** The part of the scope for a token with this audience, limited to the requested one if any. */
export const tokenScope = (
  scope: string,
  isForIssuer: boolean,
  requested: readonly string[] | undefined,
): string =>
  scope
    .split(' ')
    .filter((one) => isForIssuer || one !== adminScope)
    .filter((one) => requested?.includes(one) ?? true)
    .join(' ')

/** The caller, as proven by a token or a session cookie. */
type ProvenCaller = {
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly audience: readonly string[]
}

/** What the access token of a caller must contain, in the form of `Right` in http/access.ts. */
type CallerRight = {
  readonly scope: string
  readonly lackedBy: (caller: ProvenCaller) => readonly string[]
}

const lacks = (what: string, isThere: boolean): readonly string[] => (isThere ? [] : [what])

/** Not with a token for another service, which could have kept it. */
export const operatorRightAt = (issuer: string): CallerRight => ({
  scope: adminScope,
  lackedBy: ({ roles, scopes, audience }) => [
    ...lacks(`the role ${operatorRole}`, roles.includes(operatorRole)),
    ...lacks(`the scope ${adminScope}`, scopes.includes(adminScope)),
    ...lacks(`the audience ${issuer}`, audience.includes(issuer)),
  ],
})

/**
 * Not with a token that was made for another service by name, which could have kept it. Nor with a token that forward-auth passed to an
 * app, which has no scope (docs/decisions/0040-tokens-that-open-the-account.md).
 */
export const ownerRightAt = ({ issuer, audiences }: AudienceSettings): CallerRight => {
  const ours = [...new Set([audiences[0] ?? issuer, issuer])]
  return {
    scope: accountScope,
    lackedBy: ({ scopes, audience }) => [
      ...lacks(`the scope ${accountScope}`, scopes.includes(accountScope)),
      ...lacks(
        `the audience ${ours.join(' or ')}`,
        audience.some((one) => ours.includes(one)),
      ),
    ],
  }
}
