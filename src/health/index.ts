/** Owns the answers to "does it run" and "can it serve": for orchestrators, so without credentials and without details. */
export { healthRoutes } from './routes.ts'
