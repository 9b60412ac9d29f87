import { parseEmail } from '../accounts/index.ts'
import type { CheckCookieSession, CookieSession } from '../sessions/index.ts'

/** A live session, and the handle that opened it. */
export type Renewable = { readonly session: CookieSession; readonly handle: string }

/**
 * The session of the browser, if it is that of the person who signs in again. Nothing when it has ended, or when somebody else sits there
 * now: they get a session of their own and none of what the other one kept.
 * @throws invalid_email, store_unavailable, session_contended
 */
export const sessionToRenew =
  (checkCookieSession: CheckCookieSession) =>
  async (handle: string | undefined, email: string): Promise<Renewable | undefined> => {
    const session = handle === undefined ? undefined : await checkCookieSession(handle)
    if (handle === undefined || session === undefined) return undefined
    const isTheirs = parseEmail(session.email).canonical === parseEmail(email).canonical
    return isTheirs ? { session, handle } : undefined
  }
