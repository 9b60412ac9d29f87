/** The role of people who may use the admin API. */
export const operatorRole = 'operator'

/** What every sign-in may do: read and end its own sessions, see its own account. */
export const accountScope = 'account'

/** The one scope that opens operator routes. No other kind of token ever carries it. */
export const adminScope = 'admin'

/**
 * The scope of a new session, space-separated (RFC 6749 section 3.3). Operators get `admin` only in tokens meant for the issuer
 * itself: a service that is sent an operator's token could otherwise use it here.
 */
export const scopeAtSignIn = (
  roles: readonly string[],
  audience: string,
  issuer: string,
): string =>
  roles.includes(operatorRole) && audience === issuer
    ? `${accountScope} ${adminScope}`
    : accountScope

/** The scope of the next token of a session: never wider than at sign-in, and narrower once the role is gone. */
export const scopeAtRefresh = (scope: string, roles: readonly string[]): string =>
  roles.includes(operatorRole) ? scope : accountScope
