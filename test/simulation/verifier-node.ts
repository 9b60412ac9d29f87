import {
  type Clock,
  createReplica,
  type Replica,
  type ReplicaState,
} from '../../packages/verifier/src/replica.ts'
import type { Dice } from './dice.ts'
import type { ServiceInstance } from './instance.ts'
import { type Link, openLink } from './link.ts'
import { leewayMs, type TokenRecord } from './oracle.ts'
import type { Process, Timeline } from './timeline.ts'

/** A process that verifies tokens, with a wall clock that may be minutes off, and jump. */
export type VerifierNode = {
  readonly name: string
  readonly process: Process
  readonly link: Link
  readonly replica: Replica
  readonly state: () => ReplicaState
  /** Whether it is known there as revoked. */
  readonly knows: (token: TokenRecord) => boolean
  /** Under the policy `deny`: good by the clock on its wall, fresh, and not known to be revoked. */
  readonly accepts: (token: TokenRecord) => boolean
  skewMs: number
}

export type NodeOptions = {
  readonly name: string
  readonly dice: Dice
  readonly timeline: Timeline
  readonly instances: () => readonly ServiceInstance[]
}

/** Whether a token's times are good by that clock. */
export const isInTime = ({ issuedAtMs, expiresAtMs }: TokenRecord, nowMs: number): boolean =>
  issuedAtMs <= nowMs + leewayMs && nowMs < expiresAtMs + leewayMs

/** What a verifier asks a replica: facts that stand in the verified claims, and the kid. */
export const isKnownTo = (
  replica: Pick<Replica, 'revokedBy' | 'isKeyRevoked'>,
  { jti, sid, sub, kid, aep }: TokenRecord,
): boolean =>
  replica.revokedBy({ jti, sid, sub, kid, aep }) !== undefined || replica.isKeyRevoked(kid)

/** Ends early when the signal aborts. */
const sleepOn =
  (timeline: Timeline, process: Process, what: string): Clock['sleep'] =>
  (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const cancel = timeline.after(ms, what, resolve, process)
      const abort = () => {
        cancel()
        resolve()
      }
      signal?.addEventListener('abort', abort, { once: true })
    })

export const startNode = ({ name, dice, timeline, instances }: NodeOptions): VerifierNode => {
  const process: Process = { frozenUntilMs: 0 }
  const link = openLink({ dice, timeline, name, process, instances })
  // Counts from an arbitrary start, like every monotonic clock.
  const base = dice.next(1_000_000)
  const born = timeline.nowMs()
  const clock: Clock = {
    nowMs: () => timeline.nowMs() + node.skewMs,
    monotonicMs: () => base + timeline.nowMs() - born,
    sleep: sleepOn(timeline, process, `${name} has slept`),
  }
  const replica = createReplica({
    source: link.source,
    clock,
    fraction: dice.fraction,
    ...(dice.perMille(300) && { waitSeconds: 0 }),
  })
  const knows = (token: TokenRecord) => isKnownTo(replica, token)
  const node: VerifierNode = {
    name,
    process,
    link,
    replica,
    state: () => replica.state(),
    knows,
    accepts: (token) =>
      replica.state() === 'FRESH' && isInTime(token, clock.nowMs()) && !knows(token),
    skewMs: 0,
  }
  replica.start()
  return node
}
