/**
 * Owns signing in: the limits on attempts, the one answer for every refusal, and the step from a right password to a session. It
 * never keeps anything of its own but counters, and never issues a token outside a session.
 */
export { deviceTokens } from './device-token.ts'
export { loginErrors } from './errors.ts'
export { logIn } from './log-in.ts'
export { loginLimitRules } from './login-limits.ts'
export { memoryLoginLimits, redisLoginLimits } from './redis-login-limits.ts'
export { loginRoutes } from './routes.ts'
