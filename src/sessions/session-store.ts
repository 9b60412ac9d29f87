import type { AuditTrail } from '../audit/index.ts'
import type { Sql } from '../infra/postgres/database.ts'
import { idFromBytes, idToBytes } from '../lib/machine.ts'
import type { RevocationLog } from '../revocation/index.ts'
import { type LifetimeSettings, latestExpiryMs } from './credentials.ts'
import {
  type Delivery,
  type EndReason,
  endReasons,
  type SessionFacts,
  type SessionKind,
  type SessionState,
} from './session.ts'

/** The stores that an operation on sessions uses in one transaction. */
export type SessionStores = {
  readonly sessions: SessionStore
  readonly revocations: RevocationLog
  readonly audit: AuditTrail
}

export type NewSession = {
  readonly sessionId: string
  readonly accountId: string
  readonly kind: SessionKind
  readonly delivery: Delivery
  readonly secretDigest: Buffer
  readonly clientId: string
  readonly audience: string
  readonly namedAudiences: readonly string[]
  readonly scope: string
  readonly persists: boolean
  readonly amr: readonly string[]
  readonly acr: string
  readonly userAgent: string
  readonly address: string
  readonly authenticatedAtMs: number
  readonly idleExpiresAtMs: number
  readonly absoluteExpiresAtMs: number
}

/** One login as its owner may see it, without secrets and digests. */
export type SessionSummary = {
  readonly sessionId: string
  readonly kind: SessionKind
  readonly delivery: Delivery
  readonly userAgent: string
  readonly address: string
  readonly createdAtMs: number
  readonly lastUsedAtMs: number
  readonly expiresAtMs: number
}

export type AddedSession = {
  readonly facts: SessionFacts
  /** The number of other sessions of the account that have no end recorded. At least as many as are live. */
  readonly others: number
}

export type SessionStore = {
  /**
   * Adds the session with the current epochs of its account and of the settings row. Returns nothing when the account is not active. The
   * caller must hold the lock of the account (see `AccountStore.lock`).
   */
  readonly add: (session: NewSession) => Promise<AddedSession | undefined>
  /** Returns nothing when no session has this id and secret. */
  readonly find: (sessionId: string, secretDigest: Buffer) => Promise<SessionState | undefined>
  /**
   * Whether there is a row with this id, live or ended. The row is deleted a day after the absolute expiry, when no token of it can be
   * valid.
   */
  readonly exists: (sessionId: string) => Promise<boolean>
  /** The live sessions of an account, most recently used first. */
  readonly listOfAccount: (accountId: string, nowMs: number) => Promise<SessionSummary[]>
  /**
   * Ends one session that is live, or that expired so recently that its tokens may still be valid. Returns whose it was; nothing when it
   * was over before or does not belong to the given account.
   */
  readonly end: (
    sessionId: string,
    reason: EndReason,
    nowMs: number,
    accountId?: string,
  ) => Promise<{ accountId: string } | undefined>
  /** Ends all such sessions of an account except the given one. Returns their ids. */
  readonly endAllOfAccount: (
    accountId: string,
    reason: EndReason,
    nowMs: number,
    exceptSessionId?: string,
  ) => Promise<string[]>
  /** Keeps `most` live sessions of an account besides the given one, and ends the least recently used others. Returns their ids. */
  readonly evictBeyond: (
    accountId: string,
    most: number,
    nowMs: number,
    keptSessionId: string,
  ) => Promise<string[]>
  /** Deletes at most `limit` sessions whose absolute expiry is before this time. Returns how many. */
  readonly dropExpired: (beforeMs: number, limit: number) => Promise<number>
}

/** A row of any statement that returns `sessionFacts`. */
export type FactsRow = { facts: SessionFacts }

/** The bytes of an id as base64url, the form of ids everywhere else. */
export const idText = (column: string): string =>
  `translate(encode(${column}, 'base64'), '+/=', '-_')`

/** In milliseconds since the Unix epoch. */
export const inMs = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::bigint`

/**
 * The facts for a token. Roles and claims epoch are the current ones of the account; the other epochs are those of the login. `s` is the
 * session and `a` its account.
 */
const factColumns: Record<keyof SessionFacts, string> = {
  sessionId: idText('s.id'),
  accountId: idText('s.account_id'),
  generation: 's.generation',
  clientId: 's.client_id',
  audience: 's.audience',
  namedAudiences: 's.audiences',
  scope: 's.scope',
  amr: 's.amr',
  acr: 's.acr',
  authenticatedAtMs: inMs('s.authenticated_at'),
  idleExpiresAtMs: inMs('s.idle_expires_at'),
  roles: 'a.roles',
  claimsEpoch: 'a.claims_epoch',
  kind: 's.kind',
  persists: 's.persists',
  globalEpoch: 's.global_epoch',
  accountEpoch: 's.account_epoch',
}

/**
 * One JSON object as the column `facts`, without null members. The driver processes each column of each response separately, and for
 * sixteen columns that costs more than the rest of its work for a refresh.
 */
export const jsonFacts = (columns: Readonly<Record<string, string>>): string =>
  `json_strip_nulls(json_build_object(${Object.entries(columns)
    .map(([name, sql]) => `'${name}', ${sql}`)
    .join(', ')})) AS facts`

export const sessionFacts = jsonFacts(factColumns)

/**
 * Reads the epochs in the statement that checks the account, so they belong to the same moment. The account is read once and not joined
 * again: Postgres assumes thousands of rows in `instance`, as in every table it has never analysed, and would read all accounts for such a
 * join.
 */
const addStatement = {
  name: 'session_add',
  text: `WITH a AS (
      SELECT id, epoch, roles, claims_epoch, global_epoch FROM accounts, instance WHERE id = $2 AND status = 'active'),
    s AS (
      INSERT INTO sessions (id, account_id, kind, delivery, secret_digest, client_id, audience, scope, amr, acr,
        user_agent, address, authenticated_at, last_used_at, idle_expires_at, absolute_expires_at,
        created_at, global_epoch, account_epoch, audiences, persists)
      SELECT $1, id, $15, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $12, global_epoch, epoch, $16, $17 FROM a
      RETURNING *)
    SELECT ${sessionFacts}, (SELECT count(*)::integer FROM sessions o WHERE o.account_id = $2 AND o.ended_at IS NULL) AS others
      FROM s, a`,
}

/** docs/decisions/0029-lost-responses.md says why it is derived and not written at every rotation. */
const presentedGeneration = `CASE WHEN s.reissued_generation = s.generation THEN s.presented_generation
  WHEN s.kind = 'cookie' THEN s.generation ELSE s.generation - 1 END AS presented_generation`

const findStatement = {
  name: 'session_find',
  text: `SELECT ${sessionFacts}, s.delivery, s.last_used_at, ${presentedGeneration}, s.absolute_expires_at,
      coalesce(s.created_at, s.authenticated_at) AS created_at, s.end_reason, a.status = 'active' AS account_is_active,
      (a.epoch <> s.account_epoch OR i.global_epoch <> s.global_epoch) AS epoch_has_risen
    FROM sessions s JOIN accounts a ON a.id = s.account_id CROSS JOIN instance i
    WHERE s.id = $1 AND s.secret_digest = $2`,
}

const existsStatement = {
  name: 'session_exists',
  text: 'SELECT EXISTS (SELECT FROM sessions WHERE id = $1) AS found',
}

/** Live: not ended, not expired and not revoked by an epoch. */
const liveOfAccount = `FROM sessions s JOIN accounts a ON a.id = s.account_id CROSS JOIN instance i
  WHERE s.account_id = $1 AND s.ended_at IS NULL AND s.idle_expires_at > $2 AND s.absolute_expires_at > $2
    AND a.epoch = s.account_epoch AND i.global_epoch = s.global_epoch`

const listOfAccountStatement = {
  name: 'session_list_of_account',
  text: `SELECT s.id, s.kind, s.delivery, s.user_agent, s.address,
      coalesce(s.created_at, s.authenticated_at) AS created_at, s.last_used_at, s.idle_expires_at
    ${liveOfAccount} ORDER BY s.last_used_at DESC, s.id`,
}

/**
 * Also deletes the data that a web application stored with the session. A session that expired before $5 is over with its tokens and keeps
 * that as its reason. The same holds for one that was revoked with everything. The epoch of the account is not checked, because the same
 * transaction may have raised it.
 */
const ending = `UPDATE sessions s SET ended_at = $2, end_reason = $3, data = NULL FROM instance i
  WHERE s.ended_at IS NULL AND s.idle_expires_at > $5 AND s.absolute_expires_at > $5 AND i.global_epoch = s.global_epoch`

const endStatement = {
  name: 'session_end',
  text: `${ending} AND s.id = $1 AND ($4::bytea IS NULL OR s.account_id = $4) RETURNING s.account_id`,
}

const endAllOfAccountStatement = {
  name: 'session_end_all_of_account',
  text: `${ending} AND s.account_id = $1 AND ($4::bytea IS NULL OR s.id <> $4) RETURNING s.id`,
}

/** The session to keep is given by its id, not found by its age: the clock of another replica may be ahead of the one that opened it. */
const evictBeyondStatement = {
  name: 'session_evict_beyond',
  text: `UPDATE sessions SET ended_at = $2, end_reason = 'evicted', data = NULL
    WHERE ended_at IS NULL AND id IN
      (SELECT s.id ${liveOfAccount} AND s.id <> $4
       ORDER BY s.last_used_at DESC, s.authenticated_at DESC OFFSET $3)
    RETURNING id`,
}

const dropExpiredStatement = {
  name: 'session_drop_expired',
  text: `DELETE FROM sessions WHERE id IN
      (SELECT id FROM sessions WHERE absolute_expires_at < least($1, now()) ORDER BY absolute_expires_at LIMIT $2
       FOR UPDATE SKIP LOCKED)
    RETURNING id`,
}

export type PostgresSessionStoreOptions = {
  /** How long tokens of a session may be valid after its expiry. */
  readonly tokensLastMs: number
  readonly settings: LifetimeSettings
  /** Called with the sessions that were ended, for every cause. */
  readonly onEnd: (sessionIds: readonly string[]) => void
}

type StateRow = FactsRow & {
  delivery: Delivery
  last_used_at: Date
  presented_generation: number
  absolute_expires_at: Date
  created_at: Date
  end_reason: string | null
  account_is_active: boolean
  epoch_has_risen: boolean
}

type SummaryRow = {
  id: Buffer
  kind: SessionKind
  created_at: Date
  idle_expires_at: Date
  delivery: Delivery
  user_agent: string
  address: string
  last_used_at: Date
}

/** A later version may run beside this one and know more reasons. */
const endReasonOf = (text: string | null): EndReason | undefined =>
  text === null ? undefined : (endReasons.find((known) => known === text) ?? 'revoked')

const stateOf = (row: StateRow, settings: LifetimeSettings): SessionState => {
  const { facts } = row
  const latestMs = latestExpiryMs(row.created_at.getTime(), facts.persists, settings)
  return {
    ...facts,
    absoluteExpiresAtMs: Math.min(row.absolute_expires_at.getTime(), latestMs),
    delivery: row.delivery,
    lastUsedAtMs: row.last_used_at.getTime(),
    presentedGeneration: row.presented_generation,
    ended: endReasonOf(row.end_reason),
    accountIsActive: row.account_is_active,
    epochHasRisen: row.epoch_has_risen,
  }
}

const summaryOf = (row: SummaryRow): SessionSummary => ({
  sessionId: idFromBytes(row.id),
  kind: row.kind,
  delivery: row.delivery,
  userAgent: row.user_agent,
  address: row.address,
  createdAtMs: row.created_at.getTime(),
  lastUsedAtMs: row.last_used_at.getTime(),
  expiresAtMs: row.idle_expires_at.getTime(),
})

const optionalId = (id: string | undefined): Buffer | undefined =>
  id === undefined ? undefined : idToBytes(id)

/** Methods that open, rotate and find sessions. */
const handleMethods = (
  sql: Sql,
  { settings }: PostgresSessionStoreOptions,
): Pick<SessionStore, 'add' | 'find' | 'exists'> => ({
  add: async (session) => {
    const [row] = await sql.query<FactsRow & { others: number }>(addStatement, [
      idToBytes(session.sessionId),
      idToBytes(session.accountId),
      session.delivery,
      session.secretDigest,
      session.clientId,
      session.audience,
      session.scope,
      session.amr,
      session.acr,
      session.userAgent,
      session.address,
      new Date(session.authenticatedAtMs),
      new Date(session.idleExpiresAtMs),
      new Date(session.absoluteExpiresAtMs),
      session.kind,
      session.namedAudiences,
      session.persists,
    ])
    return row && { facts: row.facts, others: row.others }
  },
  find: async (sessionId, secretDigest) => {
    const [row] = await sql.query<StateRow>(findStatement, [idToBytes(sessionId), secretDigest])
    return row && stateOf(row, settings)
  },
  exists: async (sessionId) => {
    const [row] = await sql.query<{ found: boolean }>(existsStatement, [idToBytes(sessionId)])
    return row?.found === true
  },
})

/** Methods that list and end sessions. */
const endMethods = (
  sql: Sql,
  { tokensLastMs, onEnd }: PostgresSessionStoreOptions,
): Pick<
  SessionStore,
  'listOfAccount' | 'end' | 'endAllOfAccount' | 'evictBeyond' | 'dropExpired'
> => {
  const endEach = async (
    statement: typeof endAllOfAccountStatement | typeof evictBeyondStatement,
    values: readonly unknown[],
  ): Promise<string[]> => {
    const rows = await sql.query<{ id: Buffer }>(statement, values)
    const ended = rows.map(({ id }) => idFromBytes(id))
    onEnd(ended)
    return ended
  }
  return {
    listOfAccount: async (accountId, nowMs) => {
      const values = [idToBytes(accountId), new Date(nowMs)]
      return (await sql.query<SummaryRow>(listOfAccountStatement, values)).map(summaryOf)
    },
    end: async (sessionId, reason, nowMs, accountId) => {
      const [row] = await sql.query<{ account_id: Buffer }>(endStatement, [
        idToBytes(sessionId),
        new Date(nowMs),
        reason,
        optionalId(accountId),
        new Date(nowMs - tokensLastMs),
      ])
      if (!row) return undefined
      onEnd([sessionId])
      return { accountId: idFromBytes(row.account_id) }
    },
    endAllOfAccount: (accountId, reason, nowMs, exceptSessionId) =>
      endEach(endAllOfAccountStatement, [
        idToBytes(accountId),
        new Date(nowMs),
        reason,
        optionalId(exceptSessionId),
        new Date(nowMs - tokensLastMs),
      ]),
    evictBeyond: (accountId, most, nowMs, keptSessionId) =>
      endEach(evictBeyondStatement, [
        idToBytes(accountId),
        new Date(nowMs),
        most,
        idToBytes(keptSessionId),
      ]),
    dropExpired: async (beforeMs, limit) =>
      (await sql.query(dropExpiredStatement, [new Date(beforeMs), limit])).length,
  }
}

export const postgresSessionStore = (
  sql: Sql,
  options: PostgresSessionStoreOptions,
): SessionStore => ({
  ...handleMethods(sql, options),
  ...endMethods(sql, options),
})
