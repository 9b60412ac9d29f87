import type { Sql } from '../infra/postgres/database.ts'
import { idToBytes } from '../lib/machine.ts'
import { type FactsRow, type SessionFacts, sessionFacts } from '../sessions/index.ts'
import type { PresentedHandle } from './decide-refresh.ts'

/** Moves the session on only from exactly the presented generation, and only if it may get what is requested. */
export type RotationAttempt = PresentedHandle & {
  readonly sessionId: string
  readonly secretDigest: Buffer
  readonly nowMs: number
  /** The new idle expiry. The store limits it to the absolute expiry. */
  readonly idleExpiresAtMs: number
}

export type RotationStore = {
  /**
   * The usual case of a refresh: one guarded statement that moves the session on by one generation. Returns nothing when a guard fails;
   * `find` then tells which.
   */
  readonly rotate: (rotation: RotationAttempt) => Promise<SessionFacts | undefined>
  /**
   * Moves a session whose row is behind its handle to one generation after that handle. Returns nothing when another request has done it.
   */
  readonly recover: (rotation: RotationAttempt) => Promise<SessionFacts | undefined>
  /**
   * Issues a further generation to the holder of the last presented handle, whose response was lost. Returns nothing when another request
   * has moved the session on from `issuedGeneration`, or issued it after `graceBeganByMs`.
   */
  readonly resume: (
    rotation: RotationAttempt,
    issuedGeneration: number,
    graceBeganByMs: number,
  ) => Promise<SessionFacts | undefined>
  /** Starts the grace period of `issuedGeneration` again. Returns nothing when another request has moved the session on. */
  readonly prolong: (
    rotation: RotationAttempt,
    issuedGeneration: number,
  ) => Promise<SessionFacts | undefined>
}

/**
 * $7 and $8 are checked as in `whyNotGranted` in decide-refresh.ts: a request for a token that the session may not get consumes nothing.
 */
const guarded = `FROM accounts a, instance i
  WHERE s.id = $1 AND s.secret_digest = $2 AND s.delivery = $4 AND s.kind <> 'cookie'
    AND s.ended_at IS NULL AND s.idle_expires_at > $5 AND s.absolute_expires_at > $5
    AND ($7::text IS NULL OR s.audience = $7 OR s.audiences = '{}' OR $7 = ANY (s.audiences))
    AND ($8::text[] IS NULL OR $8 <@ string_to_array(s.scope, ' '))
    AND a.id = s.account_id AND a.status = 'active' AND a.epoch = s.account_epoch
    AND i.global_epoch = s.global_epoch`

const touched = 'last_used_at = $5, idle_expires_at = least($6::timestamptz, s.absolute_expires_at)'

/** The hot path: one statement, one round trip, no index written. A test counts all three. */
export const rotateStatement = {
  name: 'session_rotate',
  text: `UPDATE sessions s SET generation = s.generation + 1, ${touched} ${guarded}
    AND s.generation = $3 RETURNING ${sessionFacts}`,
}

const recoverStatement = {
  name: 'session_recover',
  text: `UPDATE sessions s SET generation = $3::integer + 1, ${touched} ${guarded}
    AND s.generation < $3 RETURNING ${sessionFacts}`,
}

/** Leaves `presented_generation` unchanged: the handles between it and the new one were issued in lost responses. */
const resumeStatement = {
  name: 'session_resume',
  text: `UPDATE sessions s SET generation = s.generation + 1, presented_generation = $3, reissued_generation = s.generation + 1,
    ${touched} ${guarded} AND s.generation = $9 AND s.last_used_at <= $10 RETURNING ${sessionFacts}`,
}

/** `$3` is the presented generation, which has the same guards. */
const prolongStatement = {
  name: 'session_prolong',
  text: `UPDATE sessions s SET ${touched} ${guarded} AND s.generation = $9 AND $3::integer < $9 RETURNING ${sessionFacts}`,
}

const rotationValues = (rotation: RotationAttempt): readonly unknown[] => [
  idToBytes(rotation.sessionId),
  rotation.secretDigest,
  rotation.generation,
  rotation.delivery,
  new Date(rotation.nowMs),
  new Date(rotation.idleExpiresAtMs),
  rotation.requested?.audience,
  rotation.requested?.scopes,
]

export const postgresRotationStore = (sql: Sql): RotationStore => ({
  rotate: async (rotation) => {
    const [row] = await sql.query<FactsRow>(rotateStatement, rotationValues(rotation))
    return row?.facts
  },
  recover: async (rotation) => {
    const [row] = await sql.query<FactsRow>(recoverStatement, rotationValues(rotation))
    return row?.facts
  },
  resume: async (rotation, issuedGeneration, graceBeganByMs) => {
    const values = [...rotationValues(rotation), issuedGeneration, new Date(graceBeganByMs)]
    const [row] = await sql.query<FactsRow>(resumeStatement, values)
    return row?.facts
  },
  prolong: async (rotation, issuedGeneration) => {
    const values = [...rotationValues(rotation), issuedGeneration]
    const [row] = await sql.query<FactsRow>(prolongStatement, values)
    return row?.facts
  },
})
