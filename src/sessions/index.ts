/**
 * Owns the session: one row per sign-in, the handles that keep it going, how it is refreshed and every way it ends. It never checks
 * a password, and never tells a client apart from a thief by anything but the handle.
 */
export { endOwnSession, endOwnSessions, logOut } from './end-own-sessions.ts'
export { endPresentedSession } from './end-presented-session.ts'
export { sessionErrors } from './errors.ts'
export { type HandleCodec, handleCodec } from './handle.ts'
export { issueTokens } from './issue-tokens.ts'
export { openSession } from './open-session.ts'
export { postgresSessionStore } from './postgres-session-store.ts'
export { refreshSession } from './refresh-session.ts'
export { logoutRoutes } from './routes/logout.ts'
export { describeSession, ownSessionRoutes } from './routes/own-sessions.ts'
export { refreshRoutes } from './routes/refresh.ts'
export { tokenAnswer } from './routes/token-answer.ts'
export { sessionListSchema, tokenAnswerSchema } from './schemas.ts'
export { adminScope, operatorRole, scopeAtSignIn } from './scope.ts'
export type { Delivery } from './session.ts'
export type { SessionStore } from './session-store.ts'
export type { InTransaction, SessionStores } from './session-work.ts'
