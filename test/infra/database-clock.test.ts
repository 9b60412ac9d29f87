import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sql } from '../../src/infra/postgres/database.ts'
import {
  type ClockAgreement,
  type DatabaseClock,
  databaseClock,
} from '../../src/infra/postgres/database-clock.ts'
import { isStoreAway, storeErrors } from '../../src/infra/postgres/store-failure.ts'
import { systemClock } from '../../src/lib/machine.ts'
import { type MigratedDatabase, migratedDatabase } from '../support/servers/migrated-database.ts'

const dayMs = 86_400_000

/** A machine and a Postgres whose clocks the test moves. */
const scripted = () => {
  let databaseMs = 1_700_000_000_000
  let wallMs = databaseMs
  let monotonicMs = 0
  let isAway = false
  let statements = 0
  let roundTripMs = 2
  const changes: [ClockAgreement, number][] = []
  /** Time goes by for everybody. */
  const pass = (ms: number) => {
    databaseMs += ms
    wallMs += ms
    monotonicMs += ms
  }
  const sql: Sql = {
    query: async <Row>() => {
      statements += 1
      await Promise.resolve()
      if (isAway) throw storeErrors.error('store_unavailable', { retryAfterSeconds: 1 })
      pass(roundTripMs / 2)
      const rows = [{ now_ms: databaseMs }]
      pass(roundTripMs / 2)
      return rows as Row[]
    },
  }
  const clock = databaseClock({
    sql,
    local: { nowMs: () => wallMs, monotonicMs: () => monotonicMs },
    onChange: (agreement, aheadMs) => void changes.push([agreement, Math.round(aheadMs / 1000)]),
  })
  return {
    clock,
    changes,
    pass,
    statements: () => statements,
    errorMs: () => Math.abs(clock.nowMs() - databaseMs),
    setWall: (ms: number) => {
      wallMs += ms
    },
    setDatabase: (ms: number) => {
      databaseMs += ms
    },
    /** As after the lid of a laptop was closed: the monotonic clock of Linux stands still. */
    suspend: (ms: number) => {
      databaseMs += ms
      wallMs += ms
    },
    /** As QEMU pauses a machine: nothing in it moves on. */
    freezeMachine: (ms: number) => {
      databaseMs += ms
    },
    away: (value: boolean) => {
      isAway = value
    },
    roundTrip: (ms: number) => {
      roundTripMs = ms
    },
  }
}

const refusal = async (promise: Promise<unknown> | undefined): Promise<boolean> =>
  await Promise.resolve(promise).then(() => false, isStoreAway)

test('before the first measurement there is no time, and so no decision', async () => {
  const { clock } = scripted()
  expect(() => clock.nowMs()).toThrow()
  expect(clock.isSure()).toBe(false)
  await clock.start()
  expect(clock.isSure()).toBe(true)
  expect(clock.settle()).toBeUndefined()
})

test.each([9_000, -40_000, 7_200_000, 40 * dayMs])(
  'R54: a wall clock that is off by %i ms changes nothing of the time that decides',
  async (offMs) => {
    const machine = scripted()
    machine.setWall(offMs)
    await machine.clock.start()
    expect(machine.errorMs()).toBeLessThanOrEqual(1)
    machine.pass(3_000)
    expect(machine.errorMs()).toBeLessThanOrEqual(1)
    expect(machine.clock.aheadMs()).toBeCloseTo(offMs, -1)
  },
)

test('the start goes on until a measurement can be believed: one of 20 s is not', async () => {
  const machine = scripted()
  machine.roundTrip(20_000)
  const starting = machine.clock.start()
  await expect.poll(machine.statements).toBe(1)
  machine.roundTrip(2)
  await starting
  expect(machine.errorMs()).toBeLessThanOrEqual(1)
})

test('a start without Postgres gives up after 30 s and says that Postgres is away', async () => {
  const machine = scripted()
  machine.away(true)
  const starting = machine.clock.start()
  await expect.poll(machine.statements).toBe(1)
  machine.pass(30_000)
  expect(await refusal(starting)).toBe(true)
})

test.each([
  ['was suspended for an hour', 'suspend', 3_600_000],
  ['had its wall clock set two hours ahead', 'setWall', 7_200_000],
  ['had its wall clock set back', 'setWall', -5_000],
] as const)(
  'after the machine %s nothing is decided before one more measurement, which all who wait share',
  async (_what, act, ms) => {
    const machine = scripted()
    await machine.clock.start()
    machine.pass(1_000)
    machine[act](ms)
    expect(machine.clock.isSure()).toBe(false)
    const before = machine.statements()
    await Promise.all([machine.clock.settle(), machine.clock.settle(), machine.clock.settle()])
    expect(machine.statements()).toBe(before + 1)
    expect(machine.clock.isSure()).toBe(true)
    expect(machine.errorMs()).toBeLessThanOrEqual(1)
  },
)

test('a measurement that was under way when the machine was suspended is not believed, and the next one is', async () => {
  const machine = scripted()
  await machine.clock.start()
  const underWay = machine.clock.measure()
  machine.suspend(3_600_000)
  const settled = machine.clock.settle()
  expect(await refusal(underWay)).toBe(true)
  await settled
  expect(machine.errorMs()).toBeLessThanOrEqual(1)
})

test('a machine that was paused without a trace is right again at the next regular measurement', async () => {
  const machine = scripted()
  await machine.clock.start()
  machine.freezeMachine(600_000)
  expect(machine.clock.isSure()).toBe(true)
  expect(machine.errorMs()).toBeGreaterThan(599_000)
  await machine.clock.measure()
  expect(machine.errorMs()).toBeLessThanOrEqual(1)
})

test('while Postgres is away the time goes on, and after ten minutes it decides nothing until Postgres was asked', async () => {
  const machine = scripted()
  await machine.clock.start()
  machine.away(true)
  machine.pass(599_000)
  expect(await refusal(machine.clock.measure())).toBe(true)
  expect(machine.clock.isSure()).toBe(true)
  expect(machine.errorMs()).toBeLessThanOrEqual(1)
  machine.pass(2_000)
  expect(machine.clock.isSure()).toBe(false)
  expect(await refusal(machine.clock.settle())).toBe(true)
  machine.pass(dayMs)
  machine.away(false)
  await machine.clock.settle()
  expect(machine.clock.isSure()).toBe(true)
  expect(machine.errorMs()).toBeLessThanOrEqual(1)
})

test('a small correction backwards makes the clock stand still until it is right, so no reader sees it go back', async () => {
  const machine = scripted()
  machine.roundTrip(1_000)
  await machine.clock.start()
  machine.setDatabase(-2_000)
  const before = machine.clock.nowMs()
  machine.roundTrip(2)
  await machine.clock.measure()
  for (let step = 0; step < 50; step += 1) {
    expect(machine.clock.nowMs()).toBeGreaterThanOrEqual(before)
    machine.pass(100)
  }
  expect(machine.errorMs()).toBeLessThanOrEqual(1)
})

test('when Postgres itself is set back by hours the clock follows it at once: all processes must agree', async () => {
  const machine = scripted()
  await machine.clock.start()
  machine.setDatabase(-7_200_000)
  await machine.clock.measure()
  expect(machine.errorMs()).toBeLessThanOrEqual(1)
})

test('a difference is told when it begins and when it ends, not at each measurement and not for ever at the limit', async () => {
  const machine = scripted()
  await machine.clock.start()
  const measured = async (setMs: number): Promise<ClockAgreement> => {
    machine.setWall(setMs)
    for (let turn = 0; turn < 3; turn += 1) {
      machine.pass(3_000)
      await machine.clock.measure()
    }
    return machine.clock.agreement()
  }
  expect(machine.changes).toEqual([])
  expect(await measured(4_900)).toBe('agrees')
  expect(await measured(200)).toBe('differs')
  // 4.9 s again: at the limit it changes nothing.
  expect(await measured(-200)).toBe('differs')
  expect(await measured(26_000)).toBe('too_far')
  expect(await measured(-1_500)).toBe('too_far')
  expect(await measured(-1_000)).toBe('differs')
  expect(await measured(-28_400)).toBe('agrees')
  expect(await measured(-40_000)).toBe('too_far')
  expect(machine.changes).toEqual([
    ['differs', 5],
    ['too_far', 31],
    ['differs', 28],
    ['agrees', 0],
    ['too_far', -40],
  ])
})

describe('with a real Postgres', () => {
  let real: MigratedDatabase

  beforeAll(async () => {
    real = await migratedDatabase()
  })
  afterAll(() => real.drop())

  const askPostgres = async (): Promise<number> => {
    const text = 'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms'
    const [row] = await real.database.query<{ ms: number }>({ name: 'test_clock', text })
    return row?.ms ?? 0
  }

  const started = async (offMs: number): Promise<DatabaseClock> => {
    const local = { ...systemClock, nowMs: () => systemClock.nowMs() + offMs }
    const clock = databaseClock({ sql: real.database, local, onChange: () => undefined })
    await clock.start()
    return clock
  }

  test('clocks of machines that are days apart agree with Postgres and with each other to a round trip', async () => {
    const clocks = await Promise.all([0, 9_000, -40_000, 40 * dayMs].map(started))
    for (let turn = 0; turn < 10; turn += 1) {
      // One that took too long is not used.
      await Promise.allSettled(clocks.map((clock) => clock.measure()))
      for (const clock of clocks) {
        const before = clock.nowMs()
        const databaseMs = await askPostgres()
        const after = clock.nowMs()
        // Each estimate is off by a second at most, and by less than that on any machine that is not at its limit.
        expect(databaseMs).toBeGreaterThan(before - 1_000)
        expect(databaseMs).toBeLessThan(after + 1_000)
      }
      const times = clocks.map((clock) => clock.nowMs())
      expect(Math.max(...times) - Math.min(...times)).toBeLessThan(2_000)
    }
  })
})
