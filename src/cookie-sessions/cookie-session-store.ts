import type { Sql, Statement } from '../infra/postgres/database.ts'
import { idFromBytes, idToBytes } from '../lib/machine.ts'
import {
  idText,
  inMs,
  jsonFacts,
  type LifetimeSettings,
  latestExpiryMs,
  scopeAtRefresh,
} from '../sessions/index.ts'
import { type CookieSession, useIsNewsAfterMs } from './cookie-session.ts'

/** The content of a handle, with the digest of its secret. */
export type PresentedCookie = {
  readonly sessionId: string
  readonly generation: number
  readonly secretDigest: Buffer
}

export type DataChange = {
  readonly sessionId: string
  readonly generation: number
  /** JSON text of an object. The caller has checked its size. */
  readonly data: string
  /** The version that this one must follow. Undefined: any. */
  readonly follows: number | undefined
  readonly nowMs: number
}

export type Renewal = {
  readonly sessionId: string
  readonly generation: number
  readonly nowMs: number
  /** The new idle expiry. The store limits it to the absolute expiry. */
  readonly idleExpiresAtMs: number
  /** How long the previous handle gets the same successor again. */
  readonly graceMs: number
}

export type Confirmation = {
  readonly session: CookieSession
  /** The generation of the handle that was valid before. */
  readonly replacedGeneration: number
  /** The row had lost the commit of the step-up that made the handle. */
  readonly isRecovered: boolean
}

/** A use of the session at this time. */
export type SessionUse = { readonly sessionId: string; readonly usedAtMs: number }

/** Every method sees live sessions only: not ended, not expired, of an active account, not revoked by an epoch. */
export type CookieSessionStore = {
  /** One statement. Returns nothing when no live cookie session has this id, secret and generation. */
  readonly look: (presented: PresentedCookie, nowMs: number) => Promise<CookieSession | undefined>
  /** Returns nothing when the session is not live, or its data has another version by now. */
  readonly replaceData: (change: DataChange) => Promise<CookieSession | undefined>
  /**
   * After a step-up: issues the next generation, which is pending until it is presented. The previous handle gets the same one within the
   * grace period and a further one after it. Returns nothing when the session is not live, or the handle is no longer valid for it.
   */
  readonly renew: (renewal: Renewal) => Promise<CookieSession | undefined>
  /**
   * The pending handle, or a later one than the row has, was presented, so that no other handle stays valid. Returns nothing when the
   * session is not live, or another request came first.
   */
  readonly confirm: (
    session: Pick<CookieSession, 'sessionId' | 'generation'>,
    nowMs: number,
  ) => Promise<Confirmation | undefined>
  /**
   * Writes uses in one statement, each only if the last written one is older than `useIsNewsAfterMs`. Returns the ids of the sessions it
   * changed.
   */
  readonly recordUses: (uses: readonly SessionUse[], idleSeconds: number) => Promise<string[]>
}

/** Until the handle of the last step-up is presented, the previous one opens the session in its earlier state. */
const isPending = 's.reissued_generation = s.generation'

type StoredFacts = Omit<CookieSession, 'kind'>

/**
 * @param generation the generation to report
 * @param authenticatedAt when the holder of the handle logged in
 */
const factsOf = (generation: string, authenticatedAt: string): string => {
  const columns: Record<keyof StoredFacts, string> = {
    sessionId: idText('s.id'),
    accountId: idText('s.account_id'),
    email: 'a.email',
    roles: 'a.roles',
    scope: 's.scope',
    clientId: 's.client_id',
    audience: 's.audience',
    persists: 's.persists',
    amr: 's.amr',
    acr: 's.acr',
    epochs: 'json_build_array(s.global_epoch, s.account_epoch, a.claims_epoch)',
    generation,
    pendingGeneration: `CASE WHEN ${isPending} OR s.generation < ${generation} THEN greatest(s.generation, ${generation}) END`,
    createdAtMs: inMs('s.created_at'),
    authenticatedAtMs: inMs(authenticatedAt),
    lastUsedAtMs: inMs('s.last_used_at'),
    idleExpiresAtMs: inMs('s.idle_expires_at'),
    absoluteExpiresAtMs: inMs('s.absolute_expires_at'),
    data: 's.data',
    dataVersion: 's.data_version',
  }
  return jsonFacts(columns)
}

/** For the presented handle, whose generation is $2. */
const presentedFacts = factsOf(
  '$2::integer',
  '(CASE WHEN s.generation <= $2 THEN s.authenticated_at ELSE s.presented_authenticated_at END)',
)

const alive = `s.kind = 'cookie' AND s.ended_at IS NULL AND s.idle_expires_at > $3 AND s.absolute_expires_at > $3
  AND a.id = s.account_id AND a.status = 'active' AND a.epoch = s.account_epoch
  AND i.global_epoch = s.global_epoch`

/**
 * A later generation than the row has comes from a step-up whose commit was lost in a fail-over: the MAC proves that this service issued
 * it.
 */
const opens = `(s.generation <= $2 OR ${isPending} AND s.presented_generation = $2)`

const guarded = `FROM accounts a, instance i WHERE s.id = $1 AND ${opens} AND ${alive}`

const lookStatement = {
  name: 'cookie_session_look',
  text: `SELECT ${presentedFacts} FROM sessions s, accounts a, instance i
    WHERE s.id = $1 AND ${opens} AND s.secret_digest = $4 AND ${alive}`,
}

const replaceDataStatement = {
  name: 'cookie_session_replace_data',
  text: `UPDATE sessions s SET data = $4, data_version = s.data_version + 1 ${guarded}
    AND ($5::integer IS NULL OR s.data_version = $5) RETURNING ${presentedFacts}`,
}

/** The same generation again for a handle whose step-up got its response after $5, if nobody has used that response. */
const renewedGeneration = `CASE WHEN s.generation <= $2 THEN $2::integer + 1
  WHEN s.authenticated_at <= $5 THEN s.generation + 1 ELSE s.generation END`

const renewStatement = {
  name: 'cookie_session_renew',
  text: `UPDATE sessions s SET generation = ${renewedGeneration}, reissued_generation = ${renewedGeneration},
      presented_generation = $2, presented_authenticated_at =
        CASE WHEN s.generation <= $2 THEN s.authenticated_at ELSE s.presented_authenticated_at END,
      authenticated_at = $3, last_used_at = greatest(s.last_used_at, $3),
      idle_expires_at = greatest(s.idle_expires_at, least($4::timestamptz, s.absolute_expires_at))
    ${guarded} RETURNING ${factsOf('s.generation', 's.authenticated_at')}`,
}

const confirmStatement = {
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
 * Skips rows that another transaction changes, so that processes that write at once cannot deadlock. The skipped rows are written next
 * time. The guard on last_used_at applies to the locked row, so only one of several processes writes.
 */
const recordUsesStatement = {
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

type Row = { facts: StoredFacts }

/** With the current settings. */
const sessionOf = ({ facts }: Row, settings: LifetimeSettings): CookieSession => ({
  ...facts,
  kind: 'cookie',
  scope: scopeAtRefresh(facts.scope, facts.roles),
  absoluteExpiresAtMs: Math.min(
    facts.absoluteExpiresAtMs,
    latestExpiryMs(facts.createdAtMs, facts.persists, settings),
  ),
})

export const postgresCookieSessionStore = (
  sql: Sql,
  settings: LifetimeSettings,
): CookieSessionStore => {
  const one = async (
    statement: Statement,
    sessionId: string,
    values: readonly unknown[],
  ): Promise<CookieSession | undefined> => {
    const [row] = await sql.query<Row>(statement, [idToBytes(sessionId), ...values])
    return row && sessionOf(row, settings)
  }
  return {
    look: ({ sessionId, generation, secretDigest }, nowMs) =>
      one(lookStatement, sessionId, [generation, new Date(nowMs), secretDigest]),
    replaceData: ({ sessionId, generation, data, follows, nowMs }) =>
      one(replaceDataStatement, sessionId, [generation, new Date(nowMs), data, follows]),
    renew: ({ sessionId, generation, nowMs, idleExpiresAtMs, graceMs }) =>
      one(renewStatement, sessionId, [
        generation,
        new Date(nowMs),
        new Date(idleExpiresAtMs),
        new Date(nowMs - graceMs),
      ]),
    confirm: async ({ sessionId, generation }, nowMs) => {
      type Confirmed = Row & { replaced: number; is_recovered: boolean }
      const values = [idToBytes(sessionId), generation, new Date(nowMs)]
      const [row] = await sql.query<Confirmed>(confirmStatement, values)
      if (!row) return undefined
      const session = sessionOf(row, settings)
      return { session, replacedGeneration: row.replaced, isRecovered: row.is_recovered }
    },
    recordUses: async (uses, idleSeconds) => {
      const ids = uses.map(({ sessionId }) => idToBytes(sessionId))
      const times = uses.map(({ usedAtMs }) => new Date(usedAtMs).toISOString())
      const values = [ids, times, idleSeconds]
      const rows = await sql.query<{ id: Buffer }>(recordUsesStatement, values)
      return rows.map(({ id }) => idFromBytes(id))
    },
  }
}
