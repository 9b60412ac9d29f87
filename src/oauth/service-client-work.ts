import type { AccountStore } from '../accounts/index.ts'
import type { AuditTrail } from '../audit/index.ts'
import type { RevocationLog } from '../revocation/index.ts'
import type { ServiceClientStore } from './service-client-store.ts'

/** What an act on service clients reads and writes together, in one transaction. */
export type ServiceClientStores = {
  readonly clients: ServiceClientStore
  readonly accounts: Pick<AccountStore, 'lock'>
  readonly revocations: RevocationLog
  readonly audit: AuditTrail
}
