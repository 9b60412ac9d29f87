import type { Sql } from '../infra/postgres/database.ts'
import { hasRolledBack } from '../infra/postgres/store-failure.ts'
import { inBatches, runsAlone } from '../lib/batches.ts'
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

/** Whether the session, its account and everything that was revoked let it go on at a time. */
const isLive = (now: string): string => `s.kind <> 'cookie'
    AND s.ended_at IS NULL AND s.idle_expires_at > ${now} AND s.absolute_expires_at > ${now}
    AND a.id = s.account_id AND a.status = 'active' AND a.epoch = s.account_epoch
    AND i.global_epoch = s.global_epoch`

/**
 * $7 and $8 are checked as in `whyNotGranted` in decide-refresh.ts: a request for a token that the session may not get consumes nothing.
 */
const guarded = `FROM accounts a, instance i
  WHERE s.id = $1 AND s.secret_digest = $2 AND s.delivery = $4
    AND ($7::text IS NULL OR s.audience = $7 OR s.audiences = '{}' OR $7 = ANY (s.audiences))
    AND ($8::text[] IS NULL OR $8 <@ string_to_array(s.scope, ' '))
    AND ${isLive('$5')}`

const touched = 'last_used_at = $5, idle_expires_at = least($6::timestamptz, s.absolute_expires_at)'

/** The hot path: one statement, one round trip, no index written. A test counts all three. */
export const rotateStatement = {
  name: 'session_rotate',
  text: `UPDATE sessions s SET generation = s.generation + 1, ${touched} ${guarded}
    AND s.generation = $3 RETURNING ${sessionFacts}`,
}

/**
 * The same for many sessions at once. It waits for no row that another transaction holds: `free` leaves these out, and they run alone. So
 * it never takes part in a deadlock, and one held row delays nobody else. The row that is returned has two JSON arrays: the places of the
 * sessions that were free, and `[place, facts]` of those that moved on.
 */
const rotateManyStatement = {
  name: 'session_rotate_many',
  text: `WITH r AS (
      SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::integer[], $4::text[], $5::timestamptz[], $6::timestamptz[])
        WITH ORDINALITY AS r (id, digest, generation, delivery, now, idle, place)),
    free AS MATERIALIZED (
      SELECT r.* FROM r JOIN sessions s ON s.id = r.id FOR NO KEY UPDATE OF s SKIP LOCKED),
    moved AS (
      UPDATE sessions s SET generation = s.generation + 1, last_used_at = r.now,
        idle_expires_at = least(r.idle, s.absolute_expires_at)
      FROM free r, accounts a, instance i
      WHERE s.id = r.id AND s.secret_digest = r.digest AND s.delivery = r.delivery AND s.generation = r.generation AND ${isLive('r.now')}
      RETURNING r.place, ${sessionFacts})
    SELECT (SELECT json_agg(place) FROM free) AS free, (SELECT json_agg(json_build_array(place, facts)) FROM moved) AS moved`,
}

type ManyRow = {
  readonly free: readonly number[] | null
  readonly moved: readonly (readonly [place: number, facts: SessionFacts])[] | null
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

const manyValues = (rotations: readonly RotationAttempt[]): readonly unknown[] => [
  rotations.map(({ sessionId }) => idToBytes(sessionId)),
  rotations.map(({ secretDigest }) => secretDigest),
  rotations.map(({ generation }) => generation),
  rotations.map(({ delivery }) => delivery),
  rotations.map(({ nowMs }) => new Date(nowMs).toISOString()),
  rotations.map(({ idleExpiresAtMs }) => new Date(idleExpiresAtMs).toISOString()),
]

type Rotated = SessionFacts | undefined

async function rotateOne(sql: Sql, rotation: RotationAttempt): Promise<Rotated> {
  const [row] = await sql.query<FactsRow>(rotateStatement, rotationValues(rotation))
  return row?.facts
}

async function rotateMany(
  sql: Sql,
  rotations: readonly RotationAttempt[],
): Promise<readonly (Rotated | typeof runsAlone)[]> {
  const [row] = await sql.query<ManyRow>(rotateManyStatement, manyValues(rotations))
  const results = rotations.map((): Rotated | typeof runsAlone => runsAlone)
  for (const place of row?.free ?? []) results[place - 1] = undefined
  for (const [place, facts] of row?.moved ?? []) results[place - 1] = facts
  return results
}

/** A row of `unnest` for each refresh: with more, the statement takes longer than the next one waits. */
const maxTogether = 64

/** Asks for nothing in particular: only such refreshes go together. */
const isPlain = ({ requested }: RotationAttempt): boolean =>
  requested?.audience === undefined && requested?.scopes === undefined

/** Outside of a transaction: refreshes that arrive while a statement is under way go together in the next one (decision 55). */
export const batchedRotations = (sql: Sql): Pick<RotationStore, 'rotate'> => {
  const rotateInBatch = inBatches<RotationAttempt, Rotated>({
    runOne: (rotation) => rotateOne(sql, rotation),
    runMany: (rotations) => rotateMany(sql, rotations),
    keyOf: ({ sessionId }) => sessionId,
    maxItems: maxTogether,
    hasChangedNothing: hasRolledBack,
  })
  return {
    rotate: (rotation) => (isPlain(rotation) ? rotateInBatch(rotation) : rotateOne(sql, rotation)),
  }
}

export const postgresRotationStore = (sql: Sql): RotationStore => ({
  rotate: (rotation) => rotateOne(sql, rotation),
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
