import type { Revocation } from './revocation.ts'

/** A copy of the log for services that ask a cache directly. It is never the truth: it may be lost at any moment. */
export type RevocationMirror = {
  /** Writes entries, in any order and as often as one likes. Throws when the cache is away; nothing is lost by that. */
  readonly write: (entries: readonly Revocation[]) => Promise<void>
  /** Whether the cache still holds what was written, as far as it can tell: false after a flush or a restart. */
  readonly isIntact: () => Promise<boolean>
  /** Called once everything has been written. */
  readonly markIntact: () => Promise<void>
}
