import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { Clock } from '../../src/lib/machine.ts'
import { cursorOfSnapshot, cursorText, hasSeen } from '../../src/revocation/feed-cursor.ts'
import type { ReadLog } from '../../src/revocation/revocation-log.ts'
import { away, type LogRow, type MemoryPostgres } from './memory-postgres.ts'

export const entryOf = ({ target, notAfterMs }: LogRow): RevocationEntry => ({
  kind: target.kind,
  key: target.key,
  minEpoch: 'minEpoch' in target ? target.minEpoch : undefined,
  notAfter: Math.ceil(notAfterMs / 1000),
})

/** The log of the model, read as the statements of the product read the real one: `log.contract.ts` compares them. */
export const logOfMemory = (
  postgres: MemoryPostgres,
  clock: Clock,
  isAway: () => boolean,
): ReadLog => {
  const standing = (): readonly LogRow[] => {
    if (isAway()) throw away()
    return postgres.committedLog().filter(({ notAfterMs }) => notAfterMs > clock.nowMs())
  }
  const feedId = () => postgres.feedId()
  return {
    changes: async (from) => ({
      rows: standing()
        .filter(({ xid }) => !hasSeen(from, BigInt(xid)))
        .map((row) => ({ xid: BigInt(row.xid), entry: entryOf(row) })),
      feedId: feedId(),
      cursor: cursorOfSnapshot(postgres.snapshot()),
    }),
    snapshot: async () => ({
      entries: standing().map(entryOf),
      feedId: feedId(),
      cursor: cursorText(cursorOfSnapshot(postgres.snapshot())),
    }),
  }
}
