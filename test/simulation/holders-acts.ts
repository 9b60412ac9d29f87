import { keyLabels, secretRing } from '../../src/keys/index.ts'
import { AppError } from '../../src/lib/app-error.ts'
import { refreshSession } from '../../src/refresh/index.ts'
import { handleCodec, openSession } from '../../src/sessions/index.ts'
import {
  count,
  type Holder,
  type HoldersWorld,
  lineOf,
  type Person,
  type ServiceProcess,
  storesOf,
  unwatched,
  Violation,
} from './holders-world.ts'
import type { OperationStores } from './truth.ts'

const codec = handleCodec(
  secretRing(['a secret of the simulation, long enough']).derive(keyLabels.refreshHandle),
)
const caller = { address: '192.0.2.1', userAgent: 'simulated', requestId: 'none' }

const secondMs = 1_000
const hourMs = 3_600 * secondMs
const dayMs = 24 * hourMs

const graceMs = 10 * secondMs
const rules = { graceMs, lostResponse: 'resume' } as const
const idleSeconds = 14 * 24 * 3600
const absoluteSeconds = 30 * 24 * 3600
const limits = { idleSeconds, absoluteSeconds, browserSeconds: absoluteSeconds, perAccount: 1_000 }
const settings = {
  ...{ issuer: 'a', audiences: ['a'] },
  ...{ sessionAbsoluteSeconds: absoluteSeconds, browserSessionSeconds: absoluteSeconds },
}

/** By how much the time of the service may be off. */
const toleranceMs = 2 * secondMs

const longestClientWaitMs = 10 * secondMs
/** A browser writes its cookies to disk about that often. */
const writesJarMs = 30 * secondMs
/** A process that stood still for as long knows it, and tells its requests (`src/http/server-lifecycle.ts`). */
const noticedStallMs = secondMs

type Outcome =
  | { readonly kind: 'issued'; readonly handle: string }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unavailable' }

type Caller = typeof caller & {
  readonly waitedMs?: () => number
  readonly isCallerConnected?: () => Promise<boolean>
}

/** What the service does with a handle, by the product's own code. */
const serve = async (
  { stores, inTransaction }: OperationStores,
  clock: ServiceProcess['clock'],
  presented: string,
  client: Caller,
): Promise<Outcome> => {
  const mint = () => ({ token: '', tokenId: '', expiresInSeconds: 900 })
  const deps = {
    ...{
      clock,
      codec,
      mint,
      settings,
      rules,
      idleSeconds,
      inTransaction,
      sessions: stores.sessions,
      rotations: stores.rotations,
    },
    isRevoked: () => false,
    mayRecord: async () => true,
  }
  try {
    await clock.settle()
    const result = await refreshSession(deps)({ presented, delivery: 'body', client })
    if (result.kind === 'issued') return { kind: 'issued', handle: result.issued.refreshToken }
    const reason = result.error instanceof AppError ? result.error.reason : undefined
    return { kind: 'refused', reason: reason ?? 'unknown' }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { kind: 'unavailable' }
  }
}

/** I13, and that expiry goes by the true time whatever the clocks of the machines say. */
const checkOutcome = (world: HoldersWorld, person: Person, outcome: Outcome): void => {
  const nowMs = world.timeline.nowMs()
  const idleMs = nowMs - person.lastUsedAtMs
  const ageMs = nowMs - person.openedAtMs
  if (outcome.kind === 'issued') {
    if (ageMs > absoluteSeconds * 1000 + toleranceMs + longestClientWaitMs) {
      throw new Violation(`${person.sessionId} goes on after its absolute expiry`)
    }
    count(world, 'issued')
    return
  }
  if (outcome.kind === 'unavailable') {
    count(world, 'unavailable')
    return
  }
  count(world, `refused: ${outcome.reason}`)
  person.isOver = true
  const isExpired =
    (outcome.reason === 'idle_expired' &&
      (person.hasLostUse || idleMs >= idleSeconds * 1000 - 2 * graceMs)) ||
    (outcome.reason === 'absolute_expired' && ageMs >= absoluteSeconds * 1000 - toleranceMs)
  if (!person.thief && !isExpired) {
    throw new Violation(`I13: ${person.sessionId} of an innocent ends: ${outcome.reason}`)
  }
}

/** One request of one tab, to its end at the service. Says whether its response arrived. */
const present = async (
  world: HoldersWorld,
  person: Person,
  holder: Holder,
  presented: string,
  hasGivenUp: () => boolean,
): Promise<boolean> => {
  const { dice, timeline } = world
  const at = dice.pick(world.processes)
  if (!at) throw new Error('no process')
  const travelMs = dice.between(1, 200)
  const dueMs = timeline.nowMs() + travelMs
  await timeline.pause(travelMs, `${holder.name} reaches ${at.name}`, at.process)
  const stalledMs = timeline.nowMs() - dueMs
  if (stalledMs >= noticedStallMs && hasGivenUp()) {
    count(world, 'not begun: the caller has gone')
    return false
  }
  const isCallerConnected = async () => {
    await timeline.pause(20, 'is the caller there', at.process)
    return !hasGivenUp()
  }
  const waitedSinceMs = stalledMs >= noticedStallMs ? dueMs : timeline.nowMs()
  const waitedMs = () => timeline.nowMs() - waitedSinceMs
  const client = { ...caller, isCallerConnected, waitedMs }
  const outcome = await serve(storesOf(world, at), at.clock, presented, client)
  checkOutcome(world, person, outcome)
  if (outcome.kind === 'issued') person.lastUsedAtMs = timeline.nowMs()
  if (dice.perMille(150)) {
    count(world, 'response lost')
    return false
  }
  await timeline.pause(dice.between(1, 200), `${holder.name} gets a response`)
  if (hasGivenUp() || outcome.kind !== 'issued') return false
  holder.handle = outcome.handle
  timeline.after(writesJarMs, `${holder.name} writes its jar`, () => {
    if (holder.handle === outcome.handle) holder.onDisk = outcome.handle
  })
  return true
}

/** Waits for the response as long as a client does. What the service does with the request goes on without it. */
const presentAndWait = (
  world: HoldersWorld,
  person: Person,
  holder: Holder,
  presented: string,
): Promise<boolean> =>
  new Promise((resolve) => {
    let hasGivenUp = false
    const waitMs = world.dice.between(longestClientWaitMs / 2, longestClientWaitMs)
    const stop = world.timeline.after(waitMs, `${holder.name} gives up`, () => {
      hasGivenUp = true
      resolve(false)
    })
    person.requestsUnderWay += 1
    present(world, person, holder, presented, () => hasGivenUp)
      .then((hasArrived) => {
        // A response that was lost is waited for.
        if (!hasArrived) return
        stop()
        resolve(true)
      })
      .catch((error: unknown) => {
        world.failure ??= error
      })
      .finally(() => {
        person.requestsUnderWay -= 1
      })
  })

/** Several tabs at once with the same cookie, mostly one. Says whether some response arrived. */
const presentInTabs = async (
  world: HoldersWorld,
  person: Person,
  holder: Holder,
): Promise<boolean> => {
  const { dice, timeline } = world
  const presented = holder.handle
  const tabs = dice.perMille(500) ? dice.between(2, 4) : 1
  const arrived = await Promise.all(
    Array.from({ length: tabs }, async () => {
      await timeline.pause(dice.between(0, 4_000), `a tab of ${holder.name}`)
      return person.isOver ? false : presentAndWait(world, person, holder, presented)
    }),
  )
  return arrived.includes(true)
}

const pauses = {
  afterFailure: [1, 1, 1, 2, 3, 4, 5, 8, 12, 30, 60, 3_600, 24 * 3_600, 13 * 24 * 3_600],
  // Longer than a browser takes to write its cookies: one that is killed is one refresh behind at most.
  afterSuccess: [60, 840, 840, 840, 24 * 3_600, 12 * 24 * 3_600],
} as const

/** Uses the session until it is over, from now and then an older jar. */
const live = async (world: HoldersWorld, person: Person, holder: Holder): Promise<void> => {
  const { dice, timeline } = world
  while (!person.isOver && !person.isReckonedWith) {
    if (dice.perMille(80)) {
      count(world, 'killed before the jar was written')
      holder.handle = holder.onDisk
    }
    const isSuccess = await presentInTabs(world, person, holder)
    const seconds = dice.pick(isSuccess ? pauses.afterSuccess : pauses.afterFailure) ?? 1
    await timeline.pause(seconds * secondMs + dice.between(0, 500), `${holder.name} comes again`)
  }
}

/** For what must not fail: no faults on the way, and time enough. */
const calmStores = (world: HoldersWorld, { clock }: ServiceProcess): OperationStores =>
  world.truth.forOperation(lineOf(world, undefined), clock, unwatched)

/** Says whether the session has ended. */
const presentCalmly = async (
  world: HoldersWorld,
  person: Person,
  holder: Holder,
  calm: ServiceProcess,
): Promise<boolean> => {
  await world.timeline.pause(graceMs + 1_500, 'the grace passes')
  if (person.isOver) return true
  const outcome = await serve(calmStores(world, calm), calm.clock, holder.handle, caller)
  checkOutcome(world, person, outcome)
  if (outcome.kind === 'issued') holder.handle = outcome.handle
  return outcome.kind !== 'issued'
}

/** I14: both present what they hold, each outside the grace of the one before, and the session has ended. */
const reckon = async (world: HoldersWorld, person: Person, calm: ServiceProcess): Promise<void> => {
  const { owner, thief } = person
  if (!thief) return
  const order = world.dice.shuffle([owner, thief])
  const wereApart = owner.handle !== thief.handle
  // Holding the same handle they first have to come apart.
  const enough = wereApart ? 2 : 4
  for (const [turn, holder] of [...order, ...order, ...order].entries()) {
    // A fail-over that lost commits may bring them together once more.
    if (turn >= enough && !person.hasLostUse) break
    if (await presentCalmly(world, person, holder, calm)) {
      count(world, wereApart ? 'ended: apart' : 'ended: alike')
      return
    }
  }
  throw new Violation(`I14: two holders of ${person.sessionId} are not found out`)
}

/** Somebody copies the handle, lives on it for a while beside the owner, and is found out. */
const stealAndReckon = async (
  world: HoldersWorld,
  person: Person,
  calm: ServiceProcess,
): Promise<void> => {
  const { dice, timeline } = world
  await timeline.pause(dice.between(0, 3 * hourMs), 'a thief comes by')
  if (person.isOver) return
  const { handle } = person.owner
  const thief = { name: `thief of ${person.sessionId}`, handle, onDisk: handle }
  person.thief = thief
  count(world, 'stolen')
  for (let turn = dice.between(0, 2); turn > 0 && !person.isOver; turn -= 1) {
    await presentInTabs(world, person, thief)
    await timeline.pause(dice.between(0, hourMs), 'the thief waits')
  }
  // Nobody else is at it meanwhile.
  person.isReckonedWith = true
  while (person.requestsUnderWay > 0) await timeline.pause(secondMs, 'until nobody is at it')
  await reckon(world, person, calm)
  person.isOver = true
}

/** A new session and the life of its owner; some are robbed. Never rejects. */
export const begin = async (world: HoldersWorld, calm: ServiceProcess): Promise<void> => {
  const { dice, timeline } = world
  const accountId = dice.pick(world.accounts) ?? ''
  try {
    const open = openSession(dice.bytes, limits)
    const opened = await calmStores(world, calm).inTransaction(async (stores) => {
      await stores.accounts.lock(accountId)
      return open(stores, {
        ...{ accountId, client: caller, clientId: 'first-party', audience: 'a', scope: 'account' },
        ...{ kind: 'token', delivery: 'body', amr: ['pwd'], acr: 'aal1' },
        ...{ persists: true, namedAudiences: [] },
        nowMs: timeline.nowMs(),
      })
    })
    if (!opened) throw new Error('the account is not active')
    const { sessionId, generation } = opened.facts
    const handle = codec.write({ sessionId, generation, secret: opened.secret })
    const nowMs = timeline.nowMs()
    const person: Person = {
      ...{ sessionId, accountId, openedAtMs: nowMs, lastUsedAtMs: nowMs },
      owner: { name: `owner of ${sessionId}`, handle, onDisk: handle },
      ...{ thief: undefined, requestsUnderWay: 0, hasLostUse: false },
      ...{ isReckonedWith: false, isOver: false },
    }
    world.people.push(person)
    const lives = [live(world, person, person.owner)]
    if (dice.perMille(300)) lives.push(stealAndReckon(world, person, calm))
    await Promise.all(lives)
  } catch (error) {
    if (!(error instanceof AppError)) world.failure ??= error
  }
}

/** What goes wrong. Faults come in the middle of requests, because nothing else happens in between. */
export const strike = (world: HoldersWorld): void => {
  const { dice, timeline, database } = world
  const nowMs = timeline.nowMs()
  const at = dice.pick(world.processes)
  if (!at) return
  const kind = dice.pick(['process', 'process', 'database', 'commits', 'clock'] as const)
  count(world, `fault: ${kind}`)
  const forMs = dice.between(100, dice.perMille(700) ? 12_000 : 40_000)
  if (kind === 'process') at.process.frozenUntilMs = nowMs + forMs
  if (kind === 'database') database.frozenUntilMs = nowMs + forMs
  if (kind === 'commits') database.stalledUntilMs = nowMs + dice.between(100, 20_000)
  if (kind === 'clock') {
    const apartMs = [0, 9 * secondMs, 40 * secondMs, 2 * hourMs, 40 * dayMs]
    at.skewMs = (dice.pick(apartMs) ?? 0) * (dice.perMille(500) ? 1 : -1)
  }
  timeline.note(`fault: ${kind} at ${at.name}`)
}
