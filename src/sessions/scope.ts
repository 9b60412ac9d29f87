import { type AudienceSettings, accountScope, adminScope, operatorRole } from './credentials.ts'

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
