/** The statements of `postgres-session-store.ts`. */

/** Milliseconds since the Unix epoch. */
export const inMs = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::bigint`

/**
 * What a token is minted from, and no more, in the order of `Facts` in postgres-session-store.ts. Roles and claims epoch come from the
 * account as it is now; the other epochs are those of the sign-in. One column, because the driver describes, names and parses each
 * column of each answer anew, which for fourteen costs more than everything else it does on a refresh.
 */
const facts = `json_build_array(translate(encode(s.account_id, 'base64'), '+/=', '-_'), s.generation, s.client_id, s.audience,
  s.scope, s.amr, s.acr, ${inMs('s.authenticated_at')}, ${inMs('s.idle_expires_at')}, s.global_epoch, s.account_epoch, a.roles,
  a.claims_epoch, s.kind) AS facts`

/**
 * Takes the epochs in the same statement that checks the account: there is no moment in between. The account is read once and not
 * joined again: Postgres takes `instance` for a table of thousands, as it does with every one it has never analysed, and would read
 * all accounts to join so many sessions.
 */
export const add = {
  name: 'session_add',
  text: `WITH a AS (
      SELECT id, epoch, roles, claims_epoch, global_epoch FROM accounts, instance WHERE id = $2 AND status = 'active'),
    s AS (
      INSERT INTO sessions (id, account_id, kind, delivery, secret_digest, client_id, audience, scope, amr, acr,
        user_agent, address, authenticated_at, last_used_at, idle_expires_at, absolute_expires_at,
        created_at, global_epoch, account_epoch)
      SELECT $1, id, $15, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $12, global_epoch, epoch FROM a
      RETURNING *)
    SELECT ${facts}, (SELECT count(*)::integer FROM sessions o WHERE o.account_id = $2 AND o.ended_at IS NULL) AS others
      FROM s, a`,
}

const guarded = `FROM accounts a, instance i
  WHERE s.id = $1 AND s.secret_digest = $2 AND s.delivery = $4 AND s.kind <> 'cookie'
    AND s.ended_at IS NULL AND s.idle_expires_at > $5 AND s.absolute_expires_at > $5
    AND a.id = s.account_id AND a.status = 'active' AND a.epoch = s.account_epoch
    AND i.global_epoch = s.global_epoch`

const touched = 'last_used_at = $5, idle_expires_at = least($6::timestamptz, s.absolute_expires_at)'

/** The hot path: one statement, one round trip, no index written (a test counts all three). */
export const rotate = {
  name: 'session_rotate',
  text: `UPDATE sessions s SET generation = s.generation + 1, ${touched} ${guarded}
    AND s.generation = $3 RETURNING ${facts}`,
}

export const recover = {
  name: 'session_recover',
  text: `UPDATE sessions s SET generation = $3::integer + 1, ${touched} ${guarded}
    AND s.generation < $3 RETURNING ${facts}`,
}

/** Leaves `presented_generation` where it is: the handles between it and the new one were issued in responses that were lost. */
export const resume = {
  name: 'session_resume',
  text: `UPDATE sessions s SET generation = s.generation + 1, presented_generation = $3, reissued_generation = s.generation + 1,
    ${touched} ${guarded} AND s.generation = $7 AND s.last_used_at <= $8 RETURNING ${facts}`,
}

/** `$3` is the generation that was presented, for which the guards are the same. */
export const prolong = {
  name: 'session_prolong',
  text: `UPDATE sessions s SET ${touched} ${guarded} AND s.generation = $7 AND $3::integer < $7 RETURNING ${facts}`,
}

/** Why it is derived and not written at every rotation: docs/decisions/0029-lost-responses.md. */
const presentedGeneration = `CASE WHEN s.reissued_generation = s.generation THEN s.presented_generation
  WHEN s.kind = 'cookie' THEN s.generation ELSE s.generation - 1 END AS presented_generation`

export const find = {
  name: 'session_find',
  text: `SELECT ${facts}, s.delivery, s.last_used_at, ${presentedGeneration}, s.absolute_expires_at, s.end_reason, a.status = 'active' AS account_is_active,
      (a.epoch <> s.account_epoch OR i.global_epoch <> s.global_epoch) AS epoch_has_risen
    FROM sessions s JOIN accounts a ON a.id = s.account_id CROSS JOIN instance i
    WHERE s.id = $1 AND s.secret_digest = $2`,
}

/** Live: neither ended nor expired nor condemned by an epoch. */
const liveOfAccount = `FROM sessions s JOIN accounts a ON a.id = s.account_id CROSS JOIN instance i
  WHERE s.account_id = $1 AND s.ended_at IS NULL AND s.idle_expires_at > $2 AND s.absolute_expires_at > $2
    AND a.epoch = s.account_epoch AND i.global_epoch = s.global_epoch`

export const listOfAccount = {
  name: 'session_list_of_account',
  text: `SELECT s.id, s.kind, s.delivery, s.user_agent, s.address,
      coalesce(s.created_at, s.authenticated_at) AS created_at, s.last_used_at, s.idle_expires_at
    ${liveOfAccount} ORDER BY s.last_used_at DESC, s.id`,
}

/**
 * What a web application kept with the session goes with it. One that expired before $5 is over, with its tokens, and keeps that as its
 * reason. So does one that was revoked with everything; not the epoch of the account is asked, which the same transaction may have raised.
 */
const ending = `UPDATE sessions s SET ended_at = $2, end_reason = $3, data = NULL FROM instance i
  WHERE s.ended_at IS NULL AND s.idle_expires_at > $5 AND s.absolute_expires_at > $5 AND i.global_epoch = s.global_epoch`

export const end = {
  name: 'session_end',
  text: `${ending} AND s.id = $1 AND ($4::bytea IS NULL OR s.account_id = $4) RETURNING s.account_id`,
}

export const endAllOfAccount = {
  name: 'session_end_all_of_account',
  text: `${ending} AND s.account_id = $1 AND ($4::bytea IS NULL OR s.id <> $4) RETURNING s.id`,
}

/** The kept one is named and not found by its age: another instance's clock may be ahead of the one that opened it. */
export const evictBeyond = {
  name: 'session_evict_beyond',
  text: `UPDATE sessions SET ended_at = $2, end_reason = 'evicted', data = NULL
    WHERE ended_at IS NULL AND id IN
      (SELECT s.id ${liveOfAccount} AND s.id <> $4
       ORDER BY s.last_used_at DESC, s.authenticated_at DESC OFFSET $3)
    RETURNING id`,
}

/** Greater or equal, and not equal: an epoch read later than the session's is better, never worse. */
export const stands = {
  name: 'session_stands',
  text: `SELECT EXISTS (
      SELECT FROM sessions s JOIN accounts a ON a.id = s.account_id CROSS JOIN instance i
      WHERE s.id = $1 AND s.account_id = $2 AND s.ended_at IS NULL AND a.status = 'active'
        AND i.global_epoch <= $3 AND a.epoch <= $4 AND a.claims_epoch <= $5)
    AND NOT EXISTS (SELECT FROM revocations WHERE kind = 'jti' AND key = $6 AND not_after > least($7, now()))
    AND NOT EXISTS (SELECT FROM revocations WHERE kind = 'kid' AND key = $8 AND not_after > least($7, now())) AS stands`,
}

export const dropExpired = {
  name: 'session_drop_expired',
  text: `DELETE FROM sessions WHERE id IN
      (SELECT id FROM sessions WHERE absolute_expires_at < least($1, now()) ORDER BY absolute_expires_at LIMIT $2
       FOR UPDATE SKIP LOCKED)
    RETURNING id`,
}
