/**
 * Owns logging in: the limits on attempts, the same response for every refusal, and the step from a correct password to a session. It
 * never keeps anything of its own but counters, and never issues a token outside a session.
 */

export { deviceTokenSeconds, deviceTokens } from './device-token.ts'
export { type Limits, openLimits } from './limits.ts'
export { firstParty, logIn } from './log-in.ts'
export { loginErrors, type SpendAct } from './login-limits.ts'
export type { LogInInput } from './prove-password.ts'
export { reauthenticate } from './reauthenticate.ts'
export {
  deviceCookie,
  type LoginRouteDeps,
  loginRoutes,
  presentedDeviceToken,
  type ReauthenticateRouteDeps,
  reauthenticateRoutes,
} from './routes.ts'
