import { keyLabels } from '../keys/index.ts'
import {
  checkCookieSession,
  confirmRenewedCookie,
  cookieAuthentication,
  cookieSessionRoutes,
  endCookieSession,
  explainRefusedCookie,
  handleCodec,
  issueCookie,
  issueRenewedCookie,
  type OpenedSession,
  replaceSessionData,
} from '../sessions/index.ts'
import type { Core } from './core.ts'

/** What looks a session cookie up, and the routes that only one opens. */
export const composeCookieSessions = (core: Core) => {
  const { machine, ring, revocations, stores, inTransaction, cookieSessions } = core
  const { clock, report } = machine
  const { store, copies, keeper, uses } = cookieSessions
  // Its own MAC key: a refresh token can never be passed off as a session cookie, nor the other way round.
  const codec = handleCodec(ring.derive(keyLabels.sessionHandle))
  const check = checkCookieSession({
    clock,
    codec,
    replica: revocations.replica,
    isStoreThere: revocations.isLogReadable,
    sessions: store,
    copies,
    confirm: confirmRenewedCookie({ clock, inTransaction, keeper }),
    onUse: uses.note,
    onError: (error) => report(error, 'a session was not copied'),
  })
  const explainRefused = explainRefusedCookie({
    clock,
    codec,
    inTransaction,
    sessions: stores.sessions,
    onError: (error) => report(error, 'why a session ended was not read'),
  })
  const acts = { clock, codec, inTransaction }
  return {
    codec,
    check,
    authenticate: cookieAuthentication(check, explainRefused),
    issueCookie: ({ facts, absoluteExpiresAtMs, secret }: OpenedSession) =>
      issueCookie(acts, { ...facts, absoluteExpiresAtMs }, secret),
    /** After a step-up. */
    issueRenewed: issueRenewedCookie(acts),
    logOut: endCookieSession(acts),
    routes: [
      cookieSessionRoutes({
        codec,
        replaceData: replaceSessionData({ clock, sessions: store, keeper }),
      }),
    ],
  }
}
