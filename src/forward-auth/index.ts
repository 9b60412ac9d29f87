/**
 * Owns what stands between a reverse proxy and software that knows nothing of sessions: the answer to "may this request pass, and as
 * whom", the pages for logging in and out that people are sent to, and the signed address that brings them back. It keeps nothing of
 * its own, signs nobody in by itself, and believes nothing that a client says of the request but its credential.
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
