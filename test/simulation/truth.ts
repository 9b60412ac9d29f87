import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { AccountStores, OwnedClients } from '../../src/accounts/index.ts'
import type { InTransaction } from '../../src/lib/in-transaction.ts'
import { type Clock, longestTokenSeconds } from '../../src/lib/machine.ts'
import type { RotationStore } from '../../src/refresh/index.ts'
import { entryLifetimeMs } from '../../src/revocation/revocation.ts'
import type { ReadLog } from '../../src/revocation/revocation-log.ts'

import type { Line } from './line.ts'

/** What the acts of the simulation read and write together. */
export type SimulatedStores = AccountStores & { readonly rotations: RotationStore }

/** What the simulation is told of an operation, at the moment at which it happens in the database. */
export type Watcher = {
  /** Before a statement looks at anything. */
  readonly looks: () => void
  /** After it has. */
  readonly looked: () => void
  /** A call of a store has its answer. */
  readonly did: (method: string, args: readonly unknown[], result: unknown) => void
  /** A transaction is about to be committed. */
  readonly committing: () => void
  /** A transaction that wrote something is committed. `mark` names it; the entries are those that it added to the log. */
  readonly committed: (mark: object, entries: readonly RevocationEntry[]) => void
}

/** The stores of one operation, as `core.ts` would hand them to a use case. */
export type OperationStores = {
  /** Each call a transaction of its own. */
  readonly stores: SimulatedStores
  readonly inTransaction: InTransaction<SimulatedStores>
}

export type TruthOptions = {
  /** True time at which the run begins. */
  readonly startMs: number
  readonly accessTokenSeconds: number
  readonly isAway: () => boolean
}

/** How long an entry is kept where no token lives longer than that: less than in the service by as much as its tokens live longer. */
export const entryLifetimeOf = (accessTokenSeconds: number): number =>
  entryLifetimeMs - (longestTokenSeconds - accessTokenSeconds) * 1000

/** The database: the model, or Postgres. */
export type Truth = {
  readonly forOperation: (line: Line, clock: Clock, watcher: Watcher) => OperationStores
  readonly readLog: (clock: Clock) => ReadLog
  readonly dropEnded: (clock: Clock) => Promise<void>
  readonly addAccount: (accountId: string) => Promise<void>
  /** Begins a transaction that writes in another database of the cluster; the result ends it. */
  readonly writeElsewhere: () => Promise<() => Promise<void>>
  /** Resolves once everything that is asked of it is answered, or waits for a row. */
  readonly settled: () => Promise<void>
}

type Call = (
  store: keyof SimulatedStores,
  method: string,
  args: readonly unknown[],
) => Promise<unknown>

/** Nobody has one in the simulation. */
export const noOwnedClients: OwnedClients = { disableOwned: async () => [] }

/** Stores whose every call is handed to `call`. */
export const calledThrough = (call: Call): SimulatedStores => {
  const store = <Name extends keyof SimulatedStores>(name: Name) =>
    new Proxy({} as SimulatedStores[Name], {
      get:
        (_target, method) =>
        (...args: unknown[]) =>
          call(name, String(method), args),
    })
  return {
    accounts: store('accounts'),
    clients: noOwnedClients,
    sessions: store('sessions'),
    rotations: store('rotations'),
    revocations: store('revocations'),
    audit: store('audit'),
  }
}

/** Calls the method of that name. */
export const callOn = (
  stores: SimulatedStores,
  store: keyof SimulatedStores,
  method: string,
  args: readonly unknown[],
): Promise<unknown> => {
  const found: unknown = Reflect.get(stores[store], method)
  if (typeof found !== 'function') throw new Error(`no ${store}.${method}`)
  return found(...args)
}
