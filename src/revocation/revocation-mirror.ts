import type { RevocationEntries } from '../../packages/verifier/src/wire.ts'

/** A copy of the log for services that ask a cache directly. It is never the truth: it may be lost at any moment. */
export type RevocationMirror = {
  /** Whether it can be reached at this moment. */
  readonly isReady: () => boolean
  /** Writes entries, in any order and as often as one likes. Throws when the cache is away; nothing is lost by that. */
  readonly write: (entries: RevocationEntries) => Promise<void>
  /** Whether the cache still holds what was written, as far as it can tell: false after a flush or a restart. */
  readonly isIntact: () => Promise<boolean>
  /** Called before the log is read, when everything is to be written again. */
  readonly beginRewrite: () => Promise<void>
  /** Called once everything has been written. Changes nothing when the cache has lost what it held since `beginRewrite`. */
  readonly markIntact: () => Promise<void>
}
