/**
 * Owns signing in: the limits on attempts, the one answer for every refusal, and the step from a right password to a session. It
 * never keeps anything of its own but counters, and never issues a token outside a session.
 */

export { actBudget, type SpendAct } from './act-budget.ts'
export { loginLimits } from './admit-attempt.ts'
export type { LogInInput } from './attempt.ts'
export { deviceTokens } from './device-token.ts'
export { loginErrors } from './errors.ts'
export { firstParty, logIn } from './log-in.ts'
export { type LoginLimits, loginLimitRules } from './login-limits.ts'
export { reauthenticate } from './reauthenticate.ts'
export { memoryCounters, redisCounters } from './redis-counters.ts'
export {
  deviceCookie,
  type LoginRouteDeps,
  loginRoutes,
  presentedDeviceToken,
} from './routes/login.ts'
export { type ReauthenticateRouteDeps, reauthenticateRoutes } from './routes/reauthenticate.ts'
