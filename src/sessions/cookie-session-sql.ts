import { useIsNewsAfterMs } from './cookie-session.ts'
import { inMs } from './session-sql.ts'

/** The statements of `postgres-cookie-session-store.ts`. */

/** In the order of `Facts` in postgres-cookie-session-store.ts. One column for the reason given in session-sql.ts. */
const facts = `json_build_array(translate(encode(s.account_id, 'base64'), '+/=', '-_'), a.email, a.roles, s.scope,
  s.client_id, s.audience, s.amr, s.acr, s.global_epoch, s.account_epoch, a.claims_epoch, s.generation,
  ${inMs('s.created_at')}, ${inMs('s.authenticated_at')}, ${inMs('s.last_used_at')}, ${inMs('s.idle_expires_at')},
  ${inMs('s.absolute_expires_at')}, s.data, s.data_version) AS facts`

const alive = `s.kind = 'cookie' AND s.ended_at IS NULL AND s.idle_expires_at > $3 AND s.absolute_expires_at > $3
  AND a.id = s.account_id AND a.status = 'active' AND a.epoch = s.account_epoch
  AND i.global_epoch = s.global_epoch`

const guarded = `FROM accounts a, instance i WHERE s.id = $1 AND s.generation = $2 AND ${alive}`

export const look = {
  name: 'cookie_session_look',
  text: `SELECT ${facts} FROM sessions s, accounts a, instance i
    WHERE s.id = $1 AND s.generation = $2 AND s.secret_digest = $4 AND ${alive}`,
}

export const replaceData = {
  name: 'cookie_session_replace_data',
  text: `UPDATE sessions s SET data = $4, data_version = s.data_version + 1 ${guarded}
    AND ($5::integer IS NULL OR s.data_version = $5) RETURNING ${facts}`,
}

export const renew = {
  name: 'cookie_session_renew',
  text: `UPDATE sessions s SET generation = s.generation + 1, authenticated_at = $3, last_used_at = greatest(s.last_used_at, $3),
      idle_expires_at = greatest(s.idle_expires_at, least($4::timestamptz, s.absolute_expires_at)) ${guarded} RETURNING ${facts}`,
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
