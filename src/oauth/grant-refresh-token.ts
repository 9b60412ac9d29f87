import type { RequestFacts } from '../audit/index.ts'
import { accountScope, adminScope, type Issued, type refreshSession } from '../sessions/index.ts'
import { oauthErrors } from './errors.ts'
import { parseScope } from './scopes.ts'

export type GrantRefreshTokenDeps = { readonly refresh: ReturnType<typeof refreshSession> }

export type RefreshTokenInput = {
  readonly refreshToken: string
  /** As it was sent. */
  readonly scope: string | undefined
  readonly client: RequestFacts
}

const ofPeople: readonly string[] = [accountScope, adminScope]

/**
 * The refresh token of a native client for its successor, exactly as `POST /refresh` does it: one session, one rotation, whichever of
 * the two is asked.
 * @throws invalid_scope before anything is consumed; invalid_grant; store_unavailable, session_contended
 */
export const grantRefreshToken =
  ({ refresh }: GrantRefreshTokenDeps) =>
  async ({ refreshToken, scope, client }: RefreshTokenInput): Promise<Issued> => {
    // RFC 6749 section 6: nothing beyond what was granted. What was granted is given again, also when less is asked for (section 3.3);
    // the answer says so.
    if (scope !== undefined && !parseScope(scope)?.every((one) => ofPeople.includes(one))) {
      throw oauthErrors.error('invalid_scope')
    }
    const result = await refresh({ presented: refreshToken, delivery: 'body', client })
    if (result.kind === 'refused') throw oauthErrors.error('invalid_grant', { cause: result.error })
    return result.issued
  }
