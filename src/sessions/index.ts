/**
 * Owns the session: one row per sign-in, the handles that keep it going, how it is refreshed and every way it ends. It never checks
 * a password, and never tells a client apart from a thief by anything but the handle.
 */
export { type CheckCookieSession, checkCookieSession } from './check-cookie-session.ts'
export type { CookieSession } from './cookie-session.ts'
export type { CookieSessionStore } from './cookie-session-store.ts'
export { type CopyKeeper, copyKeeper } from './copy-keeper.ts'
export { endOwnSession, endOwnSessions, logOut } from './end-own-sessions.ts'
export { endCookieSession, endPresentedSession } from './end-presented-session.ts'
export { endSession } from './end-session.ts'
export { sessionErrors } from './errors.ts'
export { explainRefusedCookie } from './explain-refused-cookie.ts'
export {
  type HandleCodec,
  handleCodec,
  secretDigest as sessionSecretDigest,
} from './handle.ts'
export { type IssuedCookie, issueCookie } from './issue-cookie.ts'
export { type Issued, issueTokens } from './issue-tokens.ts'
export { type OpenedSession, openSession } from './open-session.ts'
export { postgresCookieSessionStore } from './postgres-cookie-session-store.ts'
export { postgresSessionStore } from './postgres-session-store.ts'
export { redisSessionCopies } from './redis-session-copies.ts'
export { type RefreshDeps, refreshSession } from './refresh-session.ts'
export { confirmRenewedCookie, issueRenewedCookie } from './renewed-cookie.ts'
export { replaceSessionData } from './replace-session-data.ts'
export { cookieAuthentication, cookieSessionOf } from './routes/cookie-callers.ts'
export { cookieSessionRoutes } from './routes/cookie-session.ts'
export { logoutRoutes } from './routes/logout.ts'
export { describeSession, ownSessionRoutes } from './routes/own-sessions.ts'
export { refreshRoutes } from './routes/refresh.ts'
export { type SealedAnswer, sealedAnswer } from './routes/sealed-answer.ts'
export { cookieAnswer, presentedSessionCookie } from './routes/session-cookie.ts'
export { expiredAtSignIn, presentedCookies } from './routes/sign-in-cookies.ts'
export { tokenAnswer } from './routes/token-answer.ts'
export {
  type CookieAnswer,
  cookieAnswerSchema,
  sessionListSchema,
  type TokenAnswer,
  tokenAnswerSchema,
} from './schemas.ts'
export { accountScope, adminScope, operatorRole, scopeAtSignIn } from './scope.ts'
export { openOnlySealable } from './sealed-session.ts'
export type { Delivery, RefreshRules, SessionKind } from './session.ts'
export type { SessionCopies } from './session-copies.ts'
export type { SessionStore } from './session-store.ts'
export { type SessionUses, sessionUses } from './session-uses.ts'
export type { InTransaction, SessionStores } from './session-work.ts'
export {
  noCookies,
  type PresentedCookies,
  supersedeSessions,
} from './supersede-sessions.ts'
