import { createRevocationSet } from '../../packages/verifier/src/replica.ts'
import { acts } from './acts.ts'
import { checkState, checkToken, verifying } from './checks.ts'
import { type Dice, diceOf } from './dice.ts'
import { type Fault, faults, type Weighted } from './faults.ts'
import { endOf } from './oracle.ts'
import { passTimeOn } from './simulated-timers.ts'
import { checkSpellings } from './spellings.ts'
import { timeline as newTimeline } from './timeline.ts'
import type { Truth, TruthOptions } from './truth.ts'
import { isKnownTo } from './verifier-node.ts'
import {
  accessTokenSeconds,
  newWorld,
  populate,
  startMs,
  Violation,
  type World,
  type WorldSize,
} from './world.ts'

export type RunOptions<SomeTruth extends Truth = Truth> = {
  readonly seed: number
  readonly steps: number
  readonly size: WorldSize
  readonly makeTruth: (options: TruthOptions) => SomeTruth
  /** What can happen to the database. */
  readonly databaseFaults?: (truth: SomeTruth) => Weighted<Fault>
}

/** What a step was spent on, of a thousand; the rest goes on with what is due. */
const actPerMille = 100
const faultPerMille = 6

const quietMs = 30_000

const draw = <Thing>(dice: Dice, weighted: Weighted<Thing>): Thing | undefined => {
  let left = dice.next(weighted.reduce((sum, [weight]) => sum + weight, 0))
  for (const [weight, thing] of weighted) {
    if (left < weight) return thing
    left -= weight
  }
  return undefined
}

/** Everything runs that can run at this moment. */
const settle = async (world: World): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve))
  await world.truth.settled()
  if (world.failure !== undefined) throw world.failure
}

const step = (world: World, faults: Weighted<Fault>): void => {
  const kind = world.dice.next(1_000)
  if (kind < actPerMille) {
    draw(
      world.dice,
      acts,
    )?.(world).catch((error: unknown) => {
      world.failure ??= error
    })
  } else if (kind < actPerMille + faultPerMille) {
    draw(world.dice, faults)?.(world)
  } else world.timeline.step()
}

const checkStates = (world: World): void => {
  for (const verifier of verifying(world)) checkState(world, verifier)
}

/** Nothing goes wrong any more and nothing is asked for, until everybody must have come to the same. */
const comeToRest = async (world: World): Promise<void> => {
  world.isAtRest = true
  for (const node of world.nodes) {
    node.link.mood = 'good'
    node.skewMs = 0
  }
  const untilMs = () => Math.max(world.databaseBackAtMs, quietFromMs) + quietMs
  const quietFromMs = world.timeline.nowMs()
  while (world.timeline.nowMs() < untilMs() && world.timeline.step()) {
    await settle(world)
    checkStates(world)
  }
}

const mostLeftSteps = 10_000

/** Ends everything and lets what is under way come to its end, so that no transaction stays open. */
const wrapUp = async (world: World): Promise<void> => {
  for (const { replica } of world.nodes) void replica.close()
  for (const instance of world.instances) instance.stop()
  for (let left = mostLeftSteps; left > 0 && world.timeline.step(); left -= 1) {
    await settle(world).catch(() => undefined)
  }
  passTimeOn(undefined)
}

/** I7: a set that gets the same entries in another order, and some twice, says the same as those who followed the log. */
const checkAtRest = async (world: World): Promise<void> => {
  const [instance] = world.instances
  if (!instance) return
  const { entries } = await world.truth.readLog(instance.clock).snapshot()
  const set = createRevocationSet()
  for (const entry of world.dice.shuffle([...entries, ...entries])) set.add(entry)
  const nowMs = world.timeline.nowMs()
  const alive = [...world.oracle.tokens.values()].filter((token) => nowMs < endOf(token))
  for (const verifier of verifying(world)) {
    if (verifier.state() !== 'FRESH') throw new Violation(`I3: ${verifier.name} does not recover`)
    for (const token of alive) {
      checkToken(world, verifier, token)
      if (isKnownTo(set, token) && !verifier.knows(token)) {
        throw new Violation(`I7: ${verifier.name} does not know what revokes ${token.jti}`)
      }
    }
  }
  await checkSpellings(world, alive)
}

const explain = (world: World, at: number, error: unknown): Error => {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  const lines = [what, `SEED=${world.dice.seed}, step ${at}; what happened last:`]
  return new Error([...lines, ...world.timeline.lastNotes()].join('\n  '), { cause: error })
}

/** One run from one seed. Rejects with the seed, the step and what happened last when an invariant does not hold. */
export const simulate = async <SomeTruth extends Truth>({
  seed,
  steps,
  size,
  makeTruth,
  databaseFaults,
}: RunOptions<SomeTruth>): Promise<ReadonlyMap<string, number>> => {
  const dice = diceOf(seed)
  const timeline = newTimeline(dice, startMs)
  passTimeOn(timeline)
  const isAway = (): boolean => timeline.nowMs() < world.databaseBackAtMs
  const truth = makeTruth({ startMs, accessTokenSeconds, isAway })
  const world: World = newWorld({ dice, timeline, truth, size })
  const allFaults = [...faults, ...(databaseFaults?.(truth) ?? [])]
  await populate(world, size)
  let at = 0
  try {
    for (; at < steps; at += 1) {
      step(world, allFaults)
      await settle(world)
      checkStates(world)
    }
    await comeToRest(world)
    await checkAtRest(world)
  } catch (error) {
    throw explain(world, at, error)
  } finally {
    await wrapUp(world)
  }
  return world.tally
}
