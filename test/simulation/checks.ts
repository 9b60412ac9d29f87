import { leewaySeconds } from '../../src/lib/machine.ts'
import type { ServiceInstance } from './instance.ts'
import { type Act, boundMs, endOf, type Meaning, type TokenRecord } from './oracle.ts'
import { entryLifetimeOf } from './truth.ts'
import { isInTime, isKnownTo, type VerifierNode } from './verifier-node.ts'
import { accessTokenSeconds, count, Violation, type World } from './world.ts'

/** Whoever decides about tokens: a verifier, or an instance of the service by its own replica. */
type Verifying = Pick<VerifierNode, 'name' | 'process' | 'state' | 'knows' | 'accepts'> & {
  readonly completeAsOfMs: () => number | undefined
  /** Questions that it has sent to anybody. */
  readonly questions: () => number
}

const ofNode = (node: VerifierNode): Verifying => ({
  ...node,
  completeAsOfMs: node.link.completeAsOfMs,
  questions: node.link.questions,
})

const ofInstance = ({ name, process, own, clock, completeAsOfMs }: ServiceInstance): Verifying => {
  const knows = (token: TokenRecord) => isKnownTo(own, token)
  return {
    name,
    process,
    state: own.state,
    knows,
    accepts: (token) => own.state() === 'FRESH' && isInTime(token, clock.nowMs()) && !knows(token),
    completeAsOfMs,
    questions: () => 0,
  }
}

/** All that are running; one that is frozen decides nothing. */
export const verifying = ({ nodes, instances, timeline }: World): readonly Verifying[] =>
  [...nodes.map(ofNode), ...instances.map(ofInstance)].filter(
    ({ process }) => process.frozenUntilMs <= timeline.nowMs(),
  )

const told = (what: unknown): string => JSON.stringify(what)

const facts = ({ text: _text, ...rest }: TokenRecord): string => told(rest)

/** I3, I4: what a verifier says of itself is so, whatever its clock on the wall shows. */
export const checkState = (world: World, verifier: Verifying): void => {
  const asOfMs = verifier.completeAsOfMs()
  const state = verifier.state()
  const nowMs = world.timeline.nowMs()
  if (asOfMs === undefined && state !== 'LOADING') {
    throw new Violation(`I4: ${verifier.name} is ${state} before its first snapshot`)
  }
  if (state === 'FRESH' && (asOfMs ?? 0) + boundMs <= nowMs) {
    const ageMs = nowMs - (asOfMs ?? 0)
    throw new Violation(`I3: ${verifier.name} calls itself FRESH, complete as of ${ageMs} ms ago`)
  }
}

/** Which of the invariants says that what was done so must be refused. */
const invariantOf = ({ kind }: Meaning, token: TokenRecord, act: Act): string => {
  if (token.roles.from > act.committed) return 'I2'
  return kind === 'token' || kind === 'key' ? 'I2, I8' : 'I2, I5, I8, I12'
}

/** I2, I5, I6, I8, I11, I12 for one token at one verifier, at this moment. */
export const checkToken = (world: World, verifier: Verifying, token: TokenRecord): void => {
  const nowMs = world.timeline.nowMs()
  const asked = verifier.questions()
  const accepts = verifier.accepts(token)
  if (verifier.questions() !== asked) {
    throw new Violation(`I11: ${verifier.name} asked somebody to decide about a token`)
  }
  if (accepts && verifier.completeAsOfMs() === undefined) {
    throw new Violation(`I4: ${verifier.name} accepts before its first snapshot`)
  }
  // By the right time; one whose clock is slow takes what is expired, revoked or not.
  if (nowMs >= endOf(token)) return
  const act = world.oracle.mustBeRefused(token, nowMs)
  if (accepts && act) {
    const invariant = invariantOf(act.meaning, token, act)
    throw new Violation(`${invariant}: ${verifier.name} accepts ${facts(token)} after ${told(act)}`)
  }
  const isFresh = verifier.state() === 'FRESH'
  if (act && isFresh) count(world, 'refused: dead')
  if (act || !isFresh || world.oracle.mayBeRefused(token, nowMs)) return
  count(world, 'accepted: alive')
  if (verifier.knows(token)) {
    throw new Violation(`I6: ${verifier.name} refuses ${facts(token)}, which nothing revoked`)
  }
}

export const checkTokens = (world: World, tokens: readonly TokenRecord[]): void => {
  for (const verifier of verifying(world)) {
    for (const token of tokens) checkToken(world, verifier, token)
  }
}

/**
 * I2 to the end: a token that was signed so late that it was revoked before is over, by the clock of a verifier that is as late as it
 * may be, before the entry that revokes it is forgotten.
 */
export const checkLate = (world: World, token: TokenRecord): void => {
  const act = world.oracle.mustBeRefused(token, world.timeline.nowMs())
  if (!act) return
  count(world, 'signed late')
  const forgottenMs = act.committedMs + entryLifetimeOf(accessTokenSeconds)
  if (token.expiresAtMs + leewaySeconds * 1000 > forgottenMs) {
    throw new Violation(`I2: ${facts(token)} outlives the entry of ${told(act)}`)
  }
}

/** The bound is over: at this very moment all that are fresh must refuse. And once more at the last moment of each token's life. */
export const checkAct = (world: World, act: Act): void => {
  const revoked = world.oracle.condemnedBy(act)
  checkTokens(world, revoked)
  for (const token of revoked.slice(0, 8)) {
    const leftMs = endOf(token) - world.timeline.nowMs()
    const once = () => checkTokens(world, [token])
    if (leftMs > 1) world.timeline.after(leftMs - 1, `the last moment of ${token.jti}`, once)
  }
}
