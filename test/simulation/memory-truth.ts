import { keyEntryLifetimeMs } from '../../src/revocation/revocation.ts'
import { entryOf, logOfMemory } from './log-of-memory.ts'
import { away, memoryPostgres, type Transaction } from './memory-postgres.ts'
import { memoryStores } from './memory-stores.ts'
import {
  calledThrough,
  callOn,
  entryLifetimeOf,
  type OperationStores,
  type SimulatedStores,
  type Truth,
  type TruthOptions,
} from './truth.ts'

export type MemoryTruth = Truth & { readonly postgres: ReturnType<typeof memoryPostgres> }

/** The truth in memory. When it is away, and what it loses, the simulation decides. */
export const memoryTruth = (options: TruthOptions): MemoryTruth => {
  const postgres = memoryPostgres(Math.floor(options.startMs / 1000))
  const lifetimeMs = (kind: string) =>
    kind === 'kid' ? keyEntryLifetimeMs : entryLifetimeOf(options.accessTokenSeconds)

  const forOperation: Truth['forOperation'] = (line, clock, watcher): OperationStores => {
    const within = (transaction: Transaction) =>
      memoryStores({ postgres, transaction, clock, lifetimeMs })
    const commit = (transaction: Transaction) => {
      watcher.committing()
      postgres.commit(transaction)
      if (transaction.xid === undefined) return
      watcher.committed(transaction, transaction.appended.map(entryOf))
    }
    /** One statement on its way to the database and back. */
    const statementsOf = (run: (work: (stores: SimulatedStores) => Promise<unknown>) => unknown) =>
      calledThrough(async (store, method, args) => {
        const name = `${store}.${method}`
        await line.there(name)
        watcher.looks()
        const result = await run((stores) => callOn(stores, store, method, args))
        watcher.looked()
        watcher.did(name, args, result)
        await line.back(name)
        return result
      })
    const inOne = async <T>(work: (transaction: Transaction) => Promise<T>): Promise<T> => {
      const transaction = postgres.begin()
      try {
        return await work(transaction)
      } finally {
        // Does nothing after a commit.
        postgres.rollBack(transaction)
      }
    }
    return {
      stores: statementsOf((work) =>
        inOne(async (transaction) => {
          const result = await work(within(transaction))
          commit(transaction)
          return result
        }),
      ),
      inTransaction: (work) =>
        inOne(async (transaction) => {
          const stores = statementsOf((run) => {
            if (transaction.isBroken) throw away()
            return run(within(transaction))
          })
          const result = await work(stores)
          await line.there('commit')
          commit(transaction)
          await line.back('commit')
          return result
        }),
    }
  }
  return {
    postgres,
    forOperation,
    readLog: (clock) => logOfMemory(postgres, clock, options.isAway),
    dropEnded: async (clock) => postgres.dropLogBefore(clock.nowMs()),
    addAccount: async (accountId) => {
      postgres.account(accountId).committed = {
        status: 'active',
        roles: [],
        epoch: 0,
        claimsEpoch: 0,
      }
    },
    writeElsewhere: async () => {
      const transaction = postgres.begin()
      postgres.take(transaction)
      return async () => postgres.rollBack(transaction)
    },
    settled: async () => undefined,
  }
}
