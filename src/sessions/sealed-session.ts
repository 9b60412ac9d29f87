import { sealedLength } from '../tokens/index.ts'
import { sessionErrors } from './errors.ts'
import type { Issued } from './issue-tokens.ts'
import type { OpenedSession, openSession } from './open-session.ts'

export const sealedCookieName = '__Host-cardea-sealed'

/** A browser drops a cookie whose name and value are longer together, without a word (RFC 6265bis section 5.6). */
const maxNameAndValueBytes = 4096

/** Whether the access token, sealed, fits into its cookie. What makes it long is the account's roles. */
export const fitsSealed = ({ accessToken }: Pick<Issued, 'accessToken'>): boolean =>
  sealedCookieName.length + sealedLength(accessToken.length) <= maxNameAndValueBytes

/** It is refused and not split: two cookies can be of two sign-ins (docs/decisions/0023-sealed-sessions.md). */
export const tooLargeToSeal = () => sessionErrors.error('sealed_session_too_large')

/**
 * Opens sessions as `open` does, and none of kind `sealed` whose token would not fit: still inside the transaction, so that a sign-in
 * which cannot be answered leaves no session behind.
 *
 * @param issue what the sign-in will be answered with; called once more for it, since it changes nothing
 * @throws sealed_session_too_large
 */
export const openOnlySealable =
  (
    open: ReturnType<typeof openSession>,
    issue: (opened: OpenedSession) => Issued,
  ): ReturnType<typeof openSession> =>
  async (stores, signIn) => {
    const opened = await open(stores, signIn)
    if (opened?.facts.kind === 'sealed' && !fitsSealed(issue(opened))) throw tooLargeToSeal()
    return opened
  }
