import type { AuditTrail } from '../audit/index.ts'
import type { RevocationLog } from '../revocation/index.ts'
import type { SessionStore } from './session-store.ts'

/** What an act on sessions reads and writes together. */
export type SessionStores = {
  readonly sessions: SessionStore
  readonly revocations: RevocationLog
  readonly audit: AuditTrail
}

/** One unit of work, one transaction: all of it is committed when the call resolves, none of it when it throws. */
export type InTransaction<Stores> = <T>(work: (stores: Stores) => Promise<T>) => Promise<T>
