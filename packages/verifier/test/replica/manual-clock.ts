import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../src/clock.ts'

export type ManualClock = Clock & {
  /** Lets time pass: whoever sleeps is woken at its moment, in order, and acts before the next one is. */
  readonly advance: (ms: number) => Promise<void>
  /** Sets the wall clock forward or back; the monotonic one does not notice. */
  readonly setWallBy: (ms: number) => void
  /** Time stops for this process only: both clocks move on, nobody was woken in between. */
  readonly suspend: (ms: number) => void
  /** How many are asleep. */
  readonly sleeping: () => number
}

type Sleeper = { readonly dueMs: number; readonly wake: () => void }

/** Lets promises settle, and those who wait for a turn of the event loop. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 3; turn++) await nextTurn()
}

export const manualClock = (): ManualClock => {
  let elapsedMs = 0
  let wallStartMs = 1_767_225_600_000
  const sleepers = new Set<Sleeper>()

  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    if (signal?.aborted) return
    if (ms <= 0) return await nextTurn()
    await new Promise<void>((resolve) => {
      const wake = () => {
        sleepers.delete(sleeper)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      // Whole milliseconds, as real timers have, so that times can be compared exactly.
      const sleeper = { dueMs: elapsedMs + Math.ceil(ms), wake }
      sleepers.add(sleeper)
      signal?.addEventListener('abort', wake)
    })
  }

  const nextDue = (untilMs: number): Sleeper | undefined =>
    [...sleepers].filter(({ dueMs }) => dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0]

  return {
    nowMs: () => wallStartMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    sleep,
    advance: async (ms) => {
      const untilMs = elapsedMs + ms
      await settle()
      for (let due = nextDue(untilMs); due; due = nextDue(untilMs)) {
        elapsedMs = Math.max(elapsedMs, due.dueMs)
        due.wake()
        await settle()
      }
      elapsedMs = untilMs
    },
    setWallBy: (ms) => {
      wallStartMs += ms
    },
    suspend: (ms) => {
      elapsedMs += ms
    },
    sleeping: () => sleepers.size,
  }
}
