import type { CookieSession } from '../sessions/index.ts'
import { adminScope, scopeAtSignIn } from '../sessions/index.ts'
import type { AccessTokenClaims, MintedToken, TokenSubject } from '../tokens/index.ts'

/** The scope that every person's token has: nothing that opens operator routes, whatever the roles. */
const plainScope = scopeAtSignIn([], '', '')

/**
 * A fresh access token of a cookie session for the service behind the proxy. It never carries the scope `admin`: that service holds it,
 * and could operate Cardea with it in the person's name.
 */
export const mintForUpstream =
  (mint: (subject: TokenSubject) => MintedToken) =>
  (session: CookieSession, audience: string, factsReadAtMs: number): string => {
    const { accountId: subjectId, sessionId, clientId, roles, authenticatedAtMs } = session
    const { amr, acr, epochs } = session
    const person = { subjectId, sessionId, clientId, roles, authenticatedAtMs, amr, acr, epochs }
    return mint({ ...person, audience, scope: plainScope, factsReadAtMs }).token
  }

/** Whether the client's own token may go on to the service behind the proxy: made for it, and no operator's. */
export const maySeeUpstream = ({ aud, scope }: AccessTokenClaims, audience: string): boolean =>
  [aud].flat().includes(audience) && !scope.split(' ').includes(adminScope)
