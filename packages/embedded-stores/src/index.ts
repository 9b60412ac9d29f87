/**
 * Provides what a deployment without configured stores needs: a real PostgreSQL and secrets, in one folder (`DATA_DIR`). For development
 * and tests. A production process never loads this package, because its settings name a database and contain the secrets.
 *
 * Owns everything in that folder: the lock for a single service, the cluster, its passwords and processes, and the secrets. It knows
 * neither the settings nor the tables of the service, and imports none of its code. All connections use URLs, as with any other Postgres.
 *
 * Errors have a `code` where a program must distinguish them: `data_dir_in_use`, `data_dir_forbidden`, `unsafe_file`. Their messages are
 * for the operator.
 */

export { findHolder, type Holder } from './data-dir-lock.ts'
export { ensureLocalSecret, type LocalSecretName, readLocalSecret } from './local-secrets.ts'
export {
  hasEmbeddedPostgres,
  type OpenOptions,
  type OpenPostgres,
  openEmbeddedPostgres,
} from './open-postgres.ts'

// A single server without the lock and the other files of a DATA_DIR, for tests and measurements.
export { endLeftOverPostgres, findRunningEmbeddedPostgres, processesOn } from './running.ts'
export { type EmbeddedPostgres, startEmbeddedPostgres } from './start.ts'
