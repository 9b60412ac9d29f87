/**
 * Owns the session: one row per login, the handles that keep it alive, and every way it ends. It never checks a password.
 *
 * Its statements also read `accounts` and `instance`: whether the account is active, its roles and its epochs. One statement reads all of
 * it, so the values belong to the same moment.
 */

export {
  accountScope,
  adminScope,
  audienceToday,
  defaultAudience,
  type HandleCodec,
  handleCodec,
  handleId,
  type Issued,
  type IssueTokens,
  isServed,
  issueTokens,
  type LifetimeSettings,
  latestExpiryMs,
  operatorRole,
  type SessionSettings,
  scopeAtRefresh,
  secretDigest as sessionSecretDigest,
} from './credentials.ts'
export {
  type EndReplacedSessions,
  endCookieSession,
  endOwnSession,
  endOwnSessions,
  endPresentedSession,
  endReplacedSessions,
  endSession,
  logOut,
  noCookies,
  type PresentedCookies,
} from './end-session.ts'
export {
  type OpenedSession,
  type OpenSession,
  openOnlySealable,
  openSession,
} from './open-session.ts'
export {
  type CookieResponse,
  cookieResponseSchema,
  expiredAtLogin,
  expiredRefreshCookie,
  expiredSealedCookies,
  presentedCookies,
  presentedHandle,
  presentedSessionCookie,
  presentedTokenSchema,
  type SealedResponse,
  sealedResponse,
  sessionCookie,
  type TokenResponse,
  tokenResponse,
  tokenResponseSchema,
} from './responses.ts'
export {
  describeSession,
  type EndBrowserSessions,
  endBrowserSessions,
  type LogoutRouteDeps,
  logoutRoutes,
  type OwnSessionRouteDeps,
  ownSessionRoutes,
  sessionListSchema,
} from './routes.ts'
export { isScopeToken, operatorRightAt, ownerRightAt, parseScope, scopeAtLogin } from './scope.ts'
export {
  type Delivery,
  type EndReason,
  type SessionFacts,
  type SessionKind,
  type SessionState,
  sessionErrors,
  whyDead,
} from './session.ts'
export {
  type FactsRow,
  idText,
  inMs,
  jsonFacts,
  postgresSessionStore,
  type SessionStore,
  type SessionStores,
  sessionFacts,
} from './session-store.ts'
