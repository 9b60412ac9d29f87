/**
 * Owns what a reverse proxy needs to protect software without sessions: the check whether a request may pass and as which user, the login
 * and logout pages, and the signed address that leads back. It stores nothing, logs nobody in by itself, and trusts nothing from a client
 * except its credential.
 */
export { checkAccess, forwardAuthErrors, mintForUpstream } from './check-access.ts'
export { formTokens } from './form-token.ts'
export { type LoginPageDeps, loginPageRoutes } from './login-page.ts'
export {
  type HomePageDeps,
  homePageRoutes,
  type LogoutPageDeps,
  logoutPageRoutes,
} from './logout-page.ts'
export { type ReturnRules, returnTokens } from './return-address.ts'
export { type ForwardAuthRouteDeps, forwardAuthRoutes } from './routes.ts'
