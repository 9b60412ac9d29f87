/**
 * A real PostgreSQL for whoever has installed nothing: development and tests, on loopback only, refused in production by
 * `src/config`. Owns the folder it is given (`<DATA_DIR>/postgres`), the passwords in it and the processes on it. Knows nothing
 * of tables: the schema is the migrations' business, and everyone connects by URL as to any other Postgres.
 *
 * One holder per folder: take the lock of `data-dir-lock.ts` first.
 */

export type { Launcher } from './launcher.ts'
export { launcherFor } from './launcher.ts'
export {
  endLeftOverPostgres,
  findRunningEmbeddedPostgres,
  processesOn,
  type RunningPostgres,
} from './running.ts'
export {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from './start.ts'
