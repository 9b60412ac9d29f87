import { newId } from '../../src/lib/machine.ts'
import { diceOf } from './dice.ts'
import { begin, strike } from './holders-acts.ts'
import { addProcess, count, type HoldersWorld } from './holders-world.ts'
import type { MemoryTruth } from './memory-truth.ts'
import { passTimeOn } from './simulated-timers.ts'
import { timeline as newTimeline } from './timeline.ts'
import type { Truth, TruthOptions } from './truth.ts'
import { startMs } from './world.ts'

export type HoldersRunOptions = {
  readonly seed: number
  readonly steps: number
  readonly makeTruth: (options: TruthOptions) => Truth
}

const processCount = 3
const accountCount = 3
const peopleAtOnce = 8

/** Of a thousand steps. */
const strikesPerMille = 25
const failOversPerMille = 1

const settle = async (world: HoldersWorld): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve))
  await world.truth.settled()
  if (world.failure !== undefined) throw world.failure
}

const isInMemory = (truth: Truth): truth is MemoryTruth => 'postgres' in truth

/** A standby takes over that lacks the newest commits. Whoever logged in with one of them is no longer known. */
const failOver = (world: HoldersWorld): void => {
  const { dice, timeline, truth, database } = world
  if (!isInMemory(truth)) return
  const { postgres } = truth
  count(world, 'fault: fail-over')
  timeline.note('a standby takes over')
  postgres.failOver(Math.min(postgres.commitCount(), dice.between(1, 4)))
  database.awayUntilMs = timeline.nowMs() + dice.between(500, 8_000)
  for (const person of world.people) {
    person.hasLostUse = true
    if (postgres.session(person.sessionId).committed === undefined) person.isOver = true
  }
}

const step = (world: HoldersWorld): void => {
  const kind = world.dice.next(1_000)
  if (kind < strikesPerMille) strike(world)
  else if (kind < strikesPerMille + failOversPerMille) failOver(world)
  else world.timeline.step()
}

/** One run from one seed. Rejects with the seed, the step and what happened last when an invariant does not hold. */
export const simulateHolders = async ({
  seed,
  steps,
  makeTruth,
}: HoldersRunOptions): Promise<ReadonlyMap<string, number>> => {
  const dice = diceOf(seed)
  const timeline = newTimeline(dice, startMs)
  passTimeOn(timeline)
  const database = { frozenUntilMs: 0, stalledUntilMs: 0, awayUntilMs: 0 }
  const network = { dice, timeline, database }
  const world: HoldersWorld = {
    ...network,
    truth: makeTruth({ startMs, accessTokenSeconds: 900, isAway: () => false }),
    accounts: Array.from({ length: accountCount }, () => newId(dice.bytes)),
    processes: Array.from({ length: processCount }, (_, at) =>
      addProcess(network, `process ${at}`),
    ),
    people: [],
    failure: undefined,
    tally: new Map(),
  }
  const calm = addProcess(network, 'the calm one')
  for (const accountId of world.accounts) await world.truth.addAccount(accountId)
  let at = 0
  try {
    for (; at < steps; at += 1) {
      world.people.splice(0, world.people.length, ...world.people.filter(({ isOver }) => !isOver))
      for (let more = world.people.length; more < peopleAtOnce; more += 1) void begin(world, calm)
      step(world)
      await settle(world)
    }
  } catch (error) {
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    const lines = [what, `SEED=${seed}, step ${at}; what happened last:`, ...timeline.lastNotes()]
    throw new Error(lines.join('\n  '), { cause: error })
  } finally {
    for (const person of world.people) person.isOver = true
    for (let left = 20_000; left > 0 && timeline.step(); left -= 1) {
      await settle(world).catch(() => undefined)
    }
    passTimeOn(undefined)
  }
  return world.tally
}
