/**
 * What a deployment needs that names no stores: a real PostgreSQL, and secrets, in one folder (`DATA_DIR`). For development and tests. A
 * production process never loads this package: its settings name a database and hold the secrets.
 *
 * Owns everything in that folder: the lock that keeps it to one service, the cluster, its passwords and its processes, the secrets. Knows
 * neither the settings nor the tables of the service, and imports nothing of it. Everyone connects by URL, as to any other Postgres.
 *
 * Errors carry a `code` where a program has to tell them apart: `data_dir_in_use`, `data_dir_forbidden`, `unsafe_file`. The message of each
 * is for the operator.
 */

export { findHolder, type Holder } from './data-dir-lock.ts'
export { ensureLocalSecret, type LocalSecretName, readLocalSecret } from './local-secrets.ts'
export {
  hasEmbeddedPostgres,
  type OpenOptions,
  type OpenPostgres,
  openEmbeddedPostgres,
} from './open-postgres.ts'

// One server alone, without the lock and the other files of a DATA_DIR: for tests and measurements.
export { endLeftOverPostgres, findRunningEmbeddedPostgres, processesOn } from './running.ts'
export { type EmbeddedPostgres, startEmbeddedPostgres } from './start.ts'
