import type { Replica } from '../../packages/verifier/src/replica.ts'
import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { RevocationMirror } from './revocation-mirror.ts'
import type { RevocationNotices } from './revocation-notices.ts'

export type SpreadDeps = {
  readonly replica: Pick<Replica, 'apply'>
  /** Wakes the followers that wait at this instance. */
  readonly wake: () => void
  readonly notices: Pick<RevocationNotices, 'announce'>
  readonly mirror: RevocationMirror | undefined
  readonly report: (error: unknown, what: string) => void
}

/**
 * Makes known what a transaction revoked, after its commit, so that nobody is ever told more than the truth. When it resolves this
 * instance refuses what was revoked. Nothing else is waited for but the cache, and nothing that fails here is lost: followers look by
 * themselves, and a cache that was away is filled later.
 */
export const spreadRevocations =
  ({ replica, wake, notices, mirror, report }: SpreadDeps) =>
  async (entries: readonly RevocationEntry[]): Promise<void> => {
    if (entries.length === 0) return
    replica.apply(entries)
    wake()
    notices.announce()
    if (!mirror?.isReady()) return
    await mirror
      .write(entries)
      .catch((error: unknown) => report(error, 'revocations were not spread'))
  }
