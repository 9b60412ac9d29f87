import { type AccountRouteDeps, accountRoutes } from './accounts/index.ts'
import {
  type AdminAccountRouteDeps,
  type AdminClientRouteDeps,
  type AdminRevokeRouteDeps,
  adminAccountRoutes,
  adminClientRoutes,
  adminRevokeRoutes,
} from './admin/index.ts'
import { type CookieSessionRouteDeps, cookieSessionRoutes } from './cookie-sessions/index.ts'
import {
  type ForwardAuthRouteDeps,
  forwardAuthRoutes,
  type HomePageDeps,
  homePageRoutes,
  type LoginPageDeps,
  type LogoutPageDeps,
  loginPageRoutes,
  logoutPageRoutes,
} from './forward-auth/index.ts'
import type { HealthDeps } from './health/index.ts'
import { healthRoutes } from './health/index.ts'
import type { Route } from './http/route.ts'
import {
  type LoginRouteDeps,
  loginRoutes,
  type ReauthenticateRouteDeps,
  reauthenticateRoutes,
} from './login/index.ts'
import {
  type IntrospectRouteDeps,
  introspectRoutes,
  type MetadataDeps,
  metadataRoutes,
  type RevokeRouteDeps,
  revokeRoutes,
  type TokenRouteDeps,
  tokenRoutes,
} from './oauth/index.ts'
import { type RefreshRouteDeps, refreshRoutes } from './refresh/index.ts'
import { type RevocationRouteDeps, revocationRoutes } from './revocation/index.ts'
import {
  type LogoutRouteDeps,
  logoutRoutes,
  type OwnSessionRouteDeps,
  ownSessionRoutes,
} from './sessions/index.ts'

/** The dependencies of the routes, by group. `wiring.ts` makes them. */
export type RouteParts = {
  readonly keys: { readonly routes: readonly Route[] }
  readonly metadata: MetadataDeps
  readonly login: LoginRouteDeps
  readonly reauthenticate: ReauthenticateRouteDeps
  readonly refresh: RefreshRouteDeps
  readonly logout: LogoutRouteDeps
  readonly account: AccountRouteDeps
  readonly ownSessions: OwnSessionRouteDeps
  readonly cookieSession: CookieSessionRouteDeps
  readonly token: TokenRouteDeps
  readonly introspect: IntrospectRouteDeps
  readonly revoke: RevokeRouteDeps
  readonly revocations: RevocationRouteDeps
  readonly forwardAuth: ForwardAuthRouteDeps
  readonly loginPage: LoginPageDeps
  readonly logoutPage: LogoutPageDeps
  readonly homePage: HomePageDeps
  readonly adminAccounts: AdminAccountRouteDeps
  readonly adminRevoke: AdminRevokeRouteDeps
  readonly adminClients: AdminClientRouteDeps
  readonly health: HealthDeps
}

/**
 * The table of routes. It lists everything except `/openapi.json`, which is generated from it. `docs/architecture.md` lists each route with
 * its access; a test keeps the two in step.
 */
export const routeTable = (parts: RouteParts): readonly Route[] => [
  // Public documents.
  ...parts.keys.routes,
  ...metadataRoutes(parts.metadata),
  ...healthRoutes(parts.health),
  // Users and their apps.
  ...loginRoutes(parts.login),
  ...reauthenticateRoutes(parts.reauthenticate),
  ...refreshRoutes(parts.refresh),
  ...logoutRoutes(parts.logout),
  ...accountRoutes(parts.account),
  ...ownSessionRoutes(parts.ownSessions),
  ...cookieSessionRoutes(parts.cookieSession),
  // OAuth endpoints for service clients and native apps.
  ...tokenRoutes(parts.token),
  ...introspectRoutes(parts.introspect),
  ...revokeRoutes(parts.revoke),
  // Token verifiers.
  ...revocationRoutes(parts.revocations),
  // Reverse proxies, and the HTML pages.
  ...forwardAuthRoutes(parts.forwardAuth),
  ...loginPageRoutes(parts.loginPage),
  ...logoutPageRoutes(parts.logoutPage),
  ...homePageRoutes(parts.homePage),
  // Operators.
  ...adminAccountRoutes(parts.adminAccounts),
  ...adminRevokeRoutes(parts.adminRevoke),
  ...adminClientRoutes(parts.adminClients),
]
