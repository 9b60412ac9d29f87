import type { SessionFacts } from './session.ts'

/**
 * What a session is held against at every use. Its row says what was right at its login, and settings may have changed since
 * (docs/decisions/0039-stored-facts.md).
 */
export type SessionSettings = {
  readonly issuer: string
  /** What tokens are issued for, the default first, never empty. The issuer is an audience too, whether or not it is among them. */
  readonly audiences: readonly string[]
  readonly sessionAbsoluteSeconds: number
  /** Of a session that ends with the browser. */
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
 * The audience of the tokens of a session that are asked for without one. A session whose login named none has the default of today, as a
 * login of today would; one whose login named some keeps to those. Undefined: the settings took away every audience that it may have
 * tokens for.
 */
export const audienceToday = (
  { audience, namedAudiences }: Pick<SessionFacts, 'audience' | 'namedAudiences'>,
  settings: AudienceSettings,
): string | undefined => {
  if (namedAudiences?.length === 0) return defaultAudience(settings)
  return [audience, ...(namedAudiences ?? [])].find((named) => isServed(named, settings))
}

/** When a session that was opened then must be over, in milliseconds. What its row says counts only if it is earlier. */
export const latestExpiryMs = (
  openedAtMs: number,
  persists: boolean,
  { sessionAbsoluteSeconds, browserSessionSeconds }: LifetimeSettings,
): number => openedAtMs + (persists ? sessionAbsoluteSeconds : browserSessionSeconds) * 1000

/** The role of people who may use the admin API. */
export const operatorRole = 'operator'

/**
 * What every login may do: read and end its own sessions, see its own account. Services take it for "a person", so it is in tokens for every
 * audience; here it counts only in those that were made for the issuer or for the first of `AUDIENCE`.
 */
export const accountScope = 'account'

/** The one scope that opens operator routes. No other kind of token ever carries it. */
export const adminScope = 'admin'

/** RFC 6749 section 3.3: printable ASCII without space, quote and backslash. The length is ours: a token must fit into a header. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/

export const isScopeToken = (text: string): boolean => scopeToken.test(text)

/** The tokens of a `scope` parameter, each once; nothing when it is not written as RFC 6749 says. */
export const parseScope = (text: string): readonly string[] | undefined => {
  const tokens = text.split(' ')
  return tokens.every(isScopeToken) ? [...new Set(tokens)] : undefined
}

/**
 * The scope of a new session, space-separated (RFC 6749 section 3.3): the widest that a token for any of these audiences may have.
 * Operators get `admin` only in tokens meant for the issuer itself: a service that is sent an operator's token could otherwise use it here.
 */
export const scopeAtLogin = (
  roles: readonly string[],
  audiences: readonly string[],
  issuer: string,
): string =>
  roles.includes(operatorRole) && audiences.includes(issuer)
    ? `${accountScope} ${adminScope}`
    : accountScope

/** What the roles of today leave of a granted scope. A name that means nothing to this version is left out. */
export const scopeAtRefresh = (granted: string, roles: readonly string[]): string =>
  granted
    .split(' ')
    .filter(
      (scope) => scope === accountScope || (scope === adminScope && roles.includes(operatorRole)),
    )
    .join(' ')

/** What of it a token for this audience has, and no more than was requested, if anything was. */
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

/** Who calls, as far as a token or a session cookie proves it. */
type ProvenCaller = {
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly audience: readonly string[]
}

/** What the access token of a caller must hold, as the edge asks for it (`Right` in http/access.ts). */
type CallerRight = {
  readonly scope: string
  readonly lackedBy: (caller: ProvenCaller) => readonly string[]
}

const lacks = (what: string, isThere: boolean): readonly string[] => (isThere ? [] : [what])

/** Not with a token meant for another service: that service could have kept it. */
export const operatorRightAt = (issuer: string): CallerRight => ({
  scope: adminScope,
  lackedBy: ({ roles, scopes, audience }) => [
    ...lacks(`the role ${operatorRole}`, roles.includes(operatorRole)),
    ...lacks(`the scope ${adminScope}`, scopes.includes(adminScope)),
    ...lacks(`the audience ${issuer}`, audience.includes(issuer)),
  ],
})

/**
 * Not with a token that was made for another service by name: that service could have kept it. Nor with one that forward-auth handed to an
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
