import { storeErrors } from '../../src/infra/postgres/store-failure.ts'
import type { RevocationTarget } from '../../src/revocation/index.ts'

/**
 * As much of Postgres as the rules of revocation lean on, at READ COMMITTED: row locks and those who wait for them, transactions whose
 * number is taken early and whose commit comes late, snapshots, and what a server loses when it breaks. Time does not pass in it.
 * `log.contract.ts` holds it to the answers of the real one.
 */

export type SessionRow = {
  readonly accountId: string
  readonly secretDigest: string
  readonly kind: 'token' | 'cookie' | 'sealed'
  readonly delivery: 'cookie' | 'body'
  readonly clientId: string
  readonly audience: string
  readonly namedAudiences: readonly string[] | undefined
  readonly scope: string
  readonly persists: boolean
  readonly amr: readonly string[]
  readonly acr: string
  readonly authenticatedAtMs: number
  readonly lastUsedAtMs: number
  readonly idleExpiresAtMs: number
  readonly absoluteExpiresAtMs: number
  readonly generation: number
  /** Of the newest response that was issued in the place of a lost one. */
  readonly lost?: { readonly presented: number; readonly reissued: number }
  readonly globalEpoch: number
  readonly accountEpoch: number
  readonly endReason: string | undefined
}

export type AccountRow = {
  readonly status: 'active' | 'disabled'
  readonly roles: readonly string[]
  readonly epoch: number
  readonly claimsEpoch: number
}

export type InstanceRow = { readonly globalEpoch: number }

export type LogRow = {
  readonly seq: number
  readonly xid: number
  readonly target: RevocationTarget
  readonly notAfterMs: number
}

/** A row: its newest committed version, and the one that a transaction under way has locked and perhaps changed. */
export type Cell<Row> = {
  committed: Row | undefined
  lock: { readonly by: Transaction; value: Row | undefined } | undefined
  readonly waiting: (() => void)[]
}

export type Transaction = {
  /** Taken with the first lock or write, as Postgres does. */
  xid: number | undefined
  isBroken: boolean
  readonly touched: Set<Cell<unknown>>
  readonly appended: LogRow[]
}

type Commit = { readonly by: Transaction; readonly undo: () => void }

export const away = () => storeErrors.error('store_unavailable', { retryAfterSeconds: 1 })

export type MemoryPostgres = ReturnType<typeof memoryPostgres>

const newCell = <Row>(committed: Row | undefined): Cell<Row> => ({
  committed,
  lock: undefined,
  waiting: [],
})

const release = (cell: Cell<unknown>): void => {
  cell.lock = undefined
  for (const wake of cell.waiting.splice(0)) wake()
}

/** What a transaction sees of a row: its own change, else what is committed at this moment. */
export const seenBy = <Row>(transaction: Transaction, cell: Cell<Row>): Row | undefined =>
  cell.lock?.by === transaction ? cell.lock.value : cell.committed

export const memoryPostgres = (globalEpoch: number) => {
  const instance = newCell<InstanceRow>({ globalEpoch })
  const accounts = new Map<string, Cell<AccountRow>>()
  const sessions = new Map<string, Cell<SessionRow>>()
  let log: LogRow[] = []
  const running = new Set<Transaction>()
  /** Since the last back-up, in the order in which they became visible. */
  let commits: Commit[] = []
  let nextXid = 700
  let nextSeq = 1
  let keptXid = nextXid
  let cluster = 1
  let timeline = 1
  let crashes = 0

  const begin = (): Transaction => {
    const transaction = { xid: undefined, isBroken: false, touched: new Set<never>(), appended: [] }
    running.add(transaction)
    return transaction
  }
  const xidOf = (transaction: Transaction): number => {
    transaction.xid ??= nextXid++
    return transaction.xid
  }
  /** `SELECT ... FOR UPDATE`: afterwards the newest version is there to be read and nobody else changes it. */
  const lock = async <Row>(transaction: Transaction, cell: Cell<Row>) => {
    xidOf(transaction)
    while (cell.lock && cell.lock.by !== transaction) {
      await new Promise<void>((resolve) => cell.waiting.push(resolve))
      if (transaction.isBroken) throw away()
    }
    cell.lock ??= { by: transaction, value: cell.committed }
    transaction.touched.add(cell)
    return cell.lock
  }
  const append = (transaction: Transaction, target: RevocationTarget, notAfterMs: number) => {
    const row = { seq: nextSeq++, xid: xidOf(transaction), target, notAfterMs }
    transaction.appended.push(row)
    return row.seq
  }
  const rollBack = (transaction: Transaction): void => {
    if (!running.delete(transaction)) return
    for (const cell of transaction.touched) release(cell)
  }
  const commit = (transaction: Transaction): void => {
    if (transaction.isBroken) throw away()
    running.delete(transaction)
    const changed = [...transaction.touched].filter((cell) => cell.lock?.value !== cell.committed)
    const before = changed.map((cell) => cell.committed)
    for (const cell of changed) cell.committed = cell.lock?.value
    for (const cell of transaction.touched) release(cell)
    const { appended, xid } = transaction
    log.push(...appended)
    if (xid === undefined) return
    const undo = () => {
      for (const [place, cell] of changed.entries()) cell.committed = before[place]
      log = log.filter((row) => !appended.includes(row))
    }
    commits.push({ by: transaction, undo })
  }
  /**
   * The last `count` commits and every transaction under way are gone, and whoever waited for a row is told so. Numbers that were given
   * out and are not on disk are given out again.
   */
  const lose = (count: number): readonly Transaction[] => {
    for (const transaction of running) transaction.isBroken = true
    for (const transaction of [...running]) rollBack(transaction)
    const lost = commits.splice(commits.length - count).reverse()
    for (const { undo } of lost) undo()
    nextXid = 1 + Math.max(keptXid, ...commits.map(({ by }) => by.xid ?? 0))
    nextSeq = 1 + Math.max(0, ...log.map(({ seq }) => seq))
    return lost.map(({ by }) => by)
  }
  const cellIn =
    <Row>(table: Map<string, Cell<Row>>) =>
    (id: string): Cell<Row> => {
      const found = table.get(id) ?? newCell<Row>(undefined)
      table.set(id, found)
      return found
    }
  return {
    instance,
    account: cellIn(accounts),
    session: cellIn(sessions),
    sessionsOf: (accountId: string) =>
      [...sessions].filter(([, cell]) => cell.committed?.accountId === accountId),
    begin,
    lock,
    append,
    commit,
    rollBack,
    /** `pg_current_snapshot()` as text. */
    snapshot: (): string => {
      const open = [...running].flatMap(({ xid }) => xid ?? []).sort((a, b) => a - b)
      return `${open[0] ?? nextXid}:${nextXid}:${open}`
    },
    /** `SELECT pg_current_xact_id()` in some database of the cluster. */
    take: (transaction: Transaction): void => void xidOf(transaction),
    committedLog: (): readonly LogRow[] => log,
    dropLogBefore: (ms: number) => {
      log = log.filter(({ notAfterMs }) => notAfterMs >= ms)
    },
    feedId: (): string => `70000000000000000${cluster}-${timeline}-${crashes}`,
    commitCount: (): number => commits.length,
    backUp: () => {
      commits = []
      keptXid = nextXid
    },
    /** The server breaks and comes back with all that was committed. */
    crash: () => {
      crashes += 1
      return lose(0)
    },
    /** A standby takes over that had not received the last `count` commits. Returns what was lost, newest first. */
    failOver: (count: number) => {
      timeline += 1
      return lose(count)
    },
    /** Everything since the last back-up is gone; what runs now is another cluster. */
    restore: () => {
      cluster += 1
      timeline = 1
      return lose(commits.length)
    },
  }
}
