import type { Sql } from '../../src/infra/postgres/database.ts'
import { type DatabaseClock, databaseClock } from '../../src/infra/postgres/database-clock.ts'
import type { Dice } from './dice.ts'
import type { Line } from './line.ts'
import { away } from './memory-postgres.ts'
import type { Process, Timeline } from './timeline.ts'
import type { OperationStores, Truth } from './truth.ts'

/**
 * The world of invariants I13 and I14: clients that lose responses, come back late or with an older cookie jar, and thieves. Time passes
 * in days here, so nobody follows the log of revocations.
 */

/** Where an invariant does not hold. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/** A cookie jar, or the key store of a phone. */
export type Holder = {
  readonly name: string
  handle: string
  /** What comes back when the client is killed before it has written the newest. */
  onDisk: string
}

export type Person = {
  readonly sessionId: string
  readonly accountId: string
  readonly openedAtMs: number
  readonly owner: Holder
  /** Undefined until somebody has copied the owner's handle. */
  thief: Holder | undefined
  requestsUnderWay: number
  /** True time of the last use that the service may have committed. */
  lastUsedAtMs: number
  /** A fail-over may have lost the commit of a use, so that the session counts as idle for longer. */
  hasLostUse: boolean
  /** Its two holders are being found out, and live on no more by themselves. */
  isReckonedWith: boolean
  /** Nobody uses it any more. */
  isOver: boolean
}

export type ServiceProcess = {
  readonly name: string
  readonly process: Process
  readonly clock: DatabaseClock
  /** By how much the wall clock of its machine is ahead. */
  skewMs: number
}

export type HoldersWorld = {
  readonly dice: Dice
  readonly timeline: Timeline
  readonly truth: Truth
  readonly accounts: readonly string[]
  readonly processes: readonly ServiceProcess[]
  readonly people: Person[]
  /** The first thing that went wrong. */
  failure: unknown
  /** True times until which statements, or those that write, are not executed. */
  database: { frozenUntilMs: number; stalledUntilMs: number; awayUntilMs: number }
  readonly tally: Map<string, number>
}

export const count = ({ tally }: Pick<HoldersWorld, 'tally'>, what: string): void =>
  void tally.set(what, (tally.get(what) ?? 0) + 1)

/** A store answers within this time, or the request goes on without it. The statement may be executed later. */
const patienceMs = 1_300

const writes = /(rotate|resume|recover|commit|add|end)/

type Network = Pick<HoldersWorld, 'dice' | 'timeline' | 'database'>

/** The way from a process to the database. A calm one loses nothing and takes no time. */
export const lineOf = (
  { dice, timeline, database }: Network,
  process: Process | undefined,
): Line => ({
  there: async (what) => {
    if (process) await timeline.pause(dice.between(0, 20), `-> ${what}`, process)
    const untilMs = writes.test(what)
      ? Math.max(database.frozenUntilMs, database.stalledUntilMs)
      : database.frozenUntilMs
    await timeline.pause(untilMs - timeline.nowMs(), `${what} waited for the database`)
    if (database.awayUntilMs > timeline.nowMs()) throw away()
  },
  back: async (what) => {
    if (!process) return
    await timeline.pause(dice.between(0, 20), `<- ${what}`, process)
    if (dice.perMille(15)) throw away()
  },
  cut: () => undefined,
})

const orAway = <T>(
  timeline: Timeline,
  process: Process,
  ms: number,
  work: Promise<T>,
): Promise<T> =>
  new Promise((resolve, reject) => {
    const cancel = timeline.after(
      ms,
      'nobody waits for the database any more',
      () => reject(away()),
      process,
    )
    work.then(resolve, reject).finally(cancel)
  })

export const unwatched = {
  looks: () => undefined,
  looked: () => undefined,
  did: () => undefined,
  committing: () => undefined,
  committed: () => undefined,
}

/** The stores as a request of this process sees them: it gives up, and what it asked for may be done nevertheless. */
export const storesOf = (
  world: HoldersWorld,
  { process, clock }: ServiceProcess,
): OperationStores => {
  const { stores, inTransaction } = world.truth.forOperation(
    lineOf(world, process),
    clock,
    unwatched,
  )
  const { sessions } = stores
  const impatient = new Proxy(sessions, {
    get: (target, method, receiver) => {
      const call: unknown = Reflect.get(target, method, receiver)
      if (typeof call !== 'function') return call
      return (...args: unknown[]) => orAway(world.timeline, process, patienceMs, call(...args))
    },
  })
  return {
    stores: { ...stores, sessions: impatient },
    inTransaction: (work) => orAway(world.timeline, process, 3 * patienceMs, inTransaction(work)),
  }
}

/** The product's own clock, over the wrong wall clock of this process's machine. */
const clockOf = (world: Network, name: string, machine: { skewMs: number; process: Process }) => {
  const { dice, timeline } = world
  const bootedMs = timeline.nowMs() - dice.between(0, 10 ** 9)
  const line = lineOf(world, machine.process)
  const time: Sql = {
    query: async <Row>() => {
      const ask = async () => {
        await line.there('time')
        const row = { now_ms: timeline.nowMs() }
        await line.back('time')
        return [row] as Row[]
      }
      return orAway(timeline, machine.process, patienceMs, ask())
    },
  }
  return databaseClock({
    sql: time,
    onChange: (agreement) => timeline.note(`${name}: the clocks: ${agreement}`),
    local: {
      nowMs: () => timeline.nowMs() + machine.skewMs,
      monotonicMs: () => timeline.nowMs() - bootedMs,
    },
  })
}

export const addProcess = (world: Network, name: string): ServiceProcess => {
  const machine = { skewMs: 0, process: { frozenUntilMs: 0 } }
  const clock = clockOf(world, name, machine)
  return Object.assign(machine, { name, clock })
}
