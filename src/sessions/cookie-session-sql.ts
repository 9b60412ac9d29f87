import { useIsNewsAfterMs } from './cookie-session.ts'
import { inMs } from './session-sql.ts'

/** The statements of `postgres-cookie-session-store.ts`. */

/** While nobody has presented the handle of the last step-up, the one before it opens the session as it was. */
const isPending = 's.reissued_generation = s.generation'

/**
 * In the order of `Facts` in postgres-cookie-session-store.ts. One column for the reason given in session-sql.ts.
 * @param generation of the handle that the session is told of, and `authenticatedAt` when its holder logged in
 */
const factsOf = (
  generation: string,
  authenticatedAt: string,
): string => `json_build_array(translate(encode(s.account_id, 'base64'), '+/=', '-_'), a.email, a.roles, s.scope,
  s.client_id, s.audience, s.amr, s.acr, s.global_epoch, s.account_epoch, a.claims_epoch, ${generation},
  ${inMs('s.created_at')}, ${inMs(authenticatedAt)}, ${inMs('s.last_used_at')}, ${inMs('s.idle_expires_at')},
  ${inMs('s.absolute_expires_at')}, s.data, s.data_version,
  CASE WHEN ${isPending} OR s.generation < ${generation} THEN greatest(s.generation, ${generation}) END) AS facts`

/** Of the handle that was presented, whose generation is $2. */
const presentedFacts = factsOf(
  '$2::integer',
  '(CASE WHEN s.generation <= $2 THEN s.authenticated_at ELSE s.presented_authenticated_at END)',
)

const alive = `s.kind = 'cookie' AND s.ended_at IS NULL AND s.idle_expires_at > $3 AND s.absolute_expires_at > $3
  AND a.id = s.account_id AND a.status = 'active' AND a.epoch = s.account_epoch
  AND i.global_epoch = s.global_epoch`

/** A later handle than the row knows was made by a step-up whose commit was lost in a fail-over: its MAC proves that we issued it. */
const opens = `(s.generation <= $2 OR ${isPending} AND s.presented_generation = $2)`

const guarded = `FROM accounts a, instance i WHERE s.id = $1 AND ${opens} AND ${alive}`

export const look = {
  name: 'cookie_session_look',
  text: `SELECT ${presentedFacts} FROM sessions s, accounts a, instance i
    WHERE s.id = $1 AND ${opens} AND s.secret_digest = $4 AND ${alive}`,
}

export const replaceData = {
  name: 'cookie_session_replace_data',
  text: `UPDATE sessions s SET data = $4, data_version = s.data_version + 1 ${guarded}
    AND ($5::integer IS NULL OR s.data_version = $5) RETURNING ${presentedFacts}`,
}

/** The same generation again for a handle whose step-up was answered after $5 and whose response nobody has used. */
const renewedGeneration = `CASE WHEN s.generation <= $2 THEN $2::integer + 1
  WHEN s.authenticated_at <= $5 THEN s.generation + 1 ELSE s.generation END`

export const renew = {
  name: 'cookie_session_renew',
  text: `UPDATE sessions s SET generation = ${renewedGeneration}, reissued_generation = ${renewedGeneration},
      presented_generation = $2, presented_authenticated_at =
        CASE WHEN s.generation <= $2 THEN s.authenticated_at ELSE s.presented_authenticated_at END,
      authenticated_at = $3, last_used_at = greatest(s.last_used_at, $3),
      idle_expires_at = greatest(s.idle_expires_at, least($4::timestamptz, s.absolute_expires_at))
    ${guarded} RETURNING ${factsOf('s.generation', 's.authenticated_at')}`,
}

export const confirm = {
  name: 'cookie_session_confirm',
  text: `WITH pending AS (
      SELECT id, generation, presented_generation FROM sessions
      WHERE id = $1 AND (generation = $2 AND reissued_generation = $2 OR generation < $2) FOR UPDATE)
    UPDATE sessions s SET generation = $2, reissued_generation = NULL, presented_generation = NULL,
      presented_authenticated_at = NULL
    FROM pending, accounts a, instance i WHERE s.id = pending.id AND ${alive}
    RETURNING ${factsOf('s.generation', 's.authenticated_at')},
      coalesce(pending.presented_generation, pending.generation) AS replaced, pending.generation < $2 AS is_recovered`,
}

/**
 * Waits for no row, so that instances that write at once cannot wait for each other in a circle: a row that somebody is changing is
 * left to the next time. The guard on last_used_at holds on the row as it is when it is locked, so of several instances one writes.
 */
export const recordUses = {
  name: 'cookie_session_record_uses',
  text: `WITH due AS (
      SELECT s.id, u.used_at
        FROM sessions s JOIN unnest($1::bytea[], $2::timestamptz[]) AS u (id, used_at) ON s.id = u.id
        WHERE s.kind = 'cookie' AND s.ended_at IS NULL
          AND s.idle_expires_at > u.used_at AND s.absolute_expires_at > u.used_at
          AND s.last_used_at <= u.used_at - interval '${useIsNewsAfterMs} milliseconds'
        FOR UPDATE OF s SKIP LOCKED)
    UPDATE sessions s SET last_used_at = due.used_at,
      idle_expires_at = least(due.used_at + make_interval(secs => $3), s.absolute_expires_at)
    FROM due WHERE s.id = due.id RETURNING s.id`,
}
