/** Owns whether this process can serve requests, and what is not ready. It checks the stores itself and never changes anything. */
export type { HealthDeps } from './readiness.ts'
export { healthRoutes } from './routes.ts'
