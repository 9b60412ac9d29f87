import type { CookieSession } from './cookie-session.ts'
import type { CopyKeeper } from './copy-keeper.ts'
import { sessionErrors } from './errors.ts'
import type { HandleCodec } from './handle.ts'
import { type IssueCookie, type IssuedCookie, issueCookie } from './issue-cookie.ts'
import { readPresentedCookie } from './read-presented-cookie.ts'

export type IssueRenewedDeps = IssueCookie & {
  readonly codec: HandleCodec
  readonly keeper: Pick<CopyKeeper, 'replace'> | undefined
}

/**
 * The new handle of a session that was renewed and committed, made from the one it was renewed by. Its copy is replaced first, so that
 * the old handle is dead everywhere by the time the new one is out; where the cache is away, when the other instances hear of it.
 * @throws invalid_session for a handle that we did not make
 */
export const issueRenewedCookie =
  (deps: IssueRenewedDeps) =>
  async (renewed: CookieSession, handle: string): Promise<IssuedCookie> => {
    const presented = readPresentedCookie(deps.codec, handle)
    if (!presented) throw sessionErrors.error('invalid_session')
    const secretDigest = presented.secretDigest.toString('base64url')
    const copiedAtMs = deps.clock.nowMs()
    await deps.keeper?.replace({ session: renewed, secretDigest, copiedAtMs })
    return issueCookie(deps, renewed, presented.secret)
  }
