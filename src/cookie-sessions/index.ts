/**
 * Owns sessions that are kept by a cookie and looked up at every use: the lookup with its cache, the data that an application stores with
 * the session, and the new handle after a step-up.
 */

export { type CookieSession, cachedSessionLifetimeMs } from './cookie-session.ts'
export {
  type CookieSessionStore,
  postgresCookieSessionStore,
} from './cookie-session-store.ts'
export {
  checkCookieSession,
  explainRefusedCookie,
  type FindCookieSession,
  findCookieSession,
} from './find-cookie-session.ts'
export {
  confirmRenewedCookie,
  type IssuedCookie,
  issueCookie,
  issueRenewedCookie,
} from './issue-cookie.ts'
export {
  type CookieSessionRouteDeps,
  cookieAuthentication,
  cookieResponse,
  cookieSessionOf,
  cookieSessionRoutes,
} from './routes.ts'
export { type CacheInvalidator, cacheInvalidator, redisSessionCache } from './session-cache.ts'
export { type CookieSessionUpkeep, openCookieSessions, replaceSessionData } from './session-data.ts'
