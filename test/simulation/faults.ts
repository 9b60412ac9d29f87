import { revokeEveryone } from './acts.ts'
import type { MemoryTruth } from './memory-truth.ts'
import { addInstance, addNode, count, type World } from './world.ts'

/** What goes wrong with processes, clocks and the network. */
export type Fault = (world: World) => void

const restartNode: Fault = (world) => {
  const { dice, nodes, timeline } = world
  const place = dice.next(nodes.length)
  const old = nodes[place]
  if (!old) return
  void old.replica.close()
  timeline.note(`${old.name} starts again`)
  const node = addNode(world, old.name)
  node.skewMs = old.skewMs
  nodes[place] = node
}

const minuteMs = 60_000

/** Mostly some minutes wrong, and at times right again. */
const setNodeClock: Fault = ({ dice, nodes, timeline }) => {
  const node = dice.pick(nodes)
  if (!node) return
  node.skewMs = dice.perMille(400) ? 0 : dice.between(-10 * minuteMs, 10 * minuteMs)
  timeline.note(`the clock of ${node.name} is ${node.skewMs} ms off`)
}

const changeMood: Fault = ({ dice, nodes, timeline }) => {
  const node = dice.pick(nodes)
  if (!node) return
  node.link.mood = dice.pick(['good', 'good', 'slow', 'bad', 'cut'] as const) ?? 'good'
  timeline.note(`the network of ${node.name} is ${node.link.mood}`)
  timeline.after(dice.between(1_000, 20_000), `the network of ${node.name} is good`, () => {
    node.link.mood = 'good'
  })
}

const freeze: Fault = ({ dice, nodes, instances, timeline }) => {
  const frozen = dice.perMille(500) ? dice.pick(nodes) : dice.pick(instances)
  if (!frozen) return
  const forMs = dice.between(100, 9_000)
  frozen.process.frozenUntilMs = timeline.nowMs() + forMs
  timeline.note(`${frozen.name} is frozen for ${forMs} ms`)
}

const restartInstance: Fault = (world) => {
  const { dice, instances, timeline } = world
  const place = dice.next(instances.length)
  const old = instances[place]
  if (!old) return
  timeline.note(`${old.name} is killed and starts again`)
  old.stop()
  instances[place] = addInstance(world, old.name)
}

const purge: Fault = (world) => {
  const { dice, instances, timeline, truth, oracle } = world
  const instance = dice.pick(instances)
  if (!instance) return
  timeline.note(`${instance.name} drops what has ended`)
  oracle.forgetEnded(timeline.nowMs())
  truth.dropEnded(instance.clock).catch((error: unknown) => {
    world.failure ??= error
  })
}

/** Such as a back-up, a migration of somebody else's application, or a session that somebody forgot. */
const writeElsewhere: Fault = (world) => {
  const { dice, timeline, truth } = world
  const forMs = dice.between(1_000, 120_000)
  timeline.note(`a transaction in another database is open for ${forMs} ms`)
  const fail = (error: unknown) => {
    world.failure ??= error
  }
  truth.writeElsewhere().then((leave) => {
    timeline.after(
      forMs,
      'the transaction in another database ends',
      () => void leave().catch(fail),
    )
  }, fail)
}

export type Weighted<Thing> = readonly (readonly [weight: number, thing: Thing])[]

export const faults: Weighted<Fault> = [
  [10, restartNode],
  [16, setNodeClock],
  [20, changeMood],
  [12, freeze],
  [5, restartInstance],
  [20, purge],
  [6, writeElsewhere],
]

/** Longer than any entry is held, by a clock that is ten minutes behind. */
const hauntingMs = 12 * minuteMs

/** What was lost is undone in the record, too. */
const undo = (
  { deeds, timeline, oracle }: World,
  lost: readonly object[],
  isNoticed: boolean,
): void => {
  const lostAtMs = timeline.nowMs()
  const hauntsUntilMs = isNoticed ? 0 : lostAtMs + hauntingMs
  for (const mark of lost) {
    const { act, session } = deeds.get(mark) ?? {}
    if (act) oracle.lost(act, lostAtMs, hauntsUntilMs)
    if (session) session.isLost = true
  }
}

/** Nobody is let in before the operator has done what `docs/guides/operate.md` says: everything issued until then is dead. */
const comeBack = (world: World): void => {
  const { dice, timeline } = world
  world.databaseBackAtMs = Number.POSITIVE_INFINITY
  const commandLine = addInstance(world, 'the command line')
  const revokeAll = async (): Promise<void> => {
    // On the command line, or by a request to an instance that has been running all the time.
    const instance = (dice.perMille(500) && dice.pick(world.instances)) || commandLine
    const isDone = await revokeEveryone(world, { instance, ignoresOutage: true })
    if (isDone) {
      world.databaseBackAtMs = timeline.nowMs()
      commandLine.stop()
    } else timeline.after(1_000, 'the operator tries again', () => void revokeAll())
  }
  const delayMs = dice.between(5_000, 40_000)
  timeline.after(delayMs, 'the operator revokes everyone', () => void revokeAll())
}

const isAway = ({ databaseBackAtMs, timeline }: World): boolean =>
  databaseBackAtMs > timeline.nowMs()

/** What can happen to a database, as long as the simulation has it in its hands. */
export const databaseFaults = ({ postgres }: MemoryTruth): Weighted<Fault> => {
  const crash: Fault = (world) => {
    if (isAway(world)) return
    count(world, 'crash')
    world.timeline.note('postgres breaks and comes back')
    postgres.crash()
    world.databaseBackAtMs = world.timeline.nowMs() + world.dice.between(100, 8_000)
  }
  const failOver: Fault = (world) => {
    if (isAway(world)) return
    const { dice, timeline } = world
    const lostCount = dice.perMille(300) ? 0 : Math.min(postgres.commitCount(), dice.between(1, 6))
    const isNoticed = dice.perMille(600)
    count(world, 'fail-over')
    timeline.note(`a standby takes over; ${lostCount} commits are lost`)
    undo(world, postgres.failOver(lostCount), isNoticed)
    if (lostCount > 0 && isNoticed) comeBack(world)
    else world.databaseBackAtMs = timeline.nowMs() + dice.between(1_500, 10_000)
  }
  const backUp: Fault = ({ timeline }) => {
    timeline.note('a back-up')
    postgres.backUp()
  }
  const restore: Fault = (world) => {
    if (isAway(world)) return
    count(world, 'restore')
    world.timeline.note(`restored; ${postgres.commitCount()} commits are lost`)
    undo(world, postgres.restore(), true)
    comeBack(world)
  }
  return [
    [2, crash],
    [2, failOver],
    [3, backUp],
    [1, restore],
  ]
}
