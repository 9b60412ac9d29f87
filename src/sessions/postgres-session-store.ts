import type { Sql } from '../infra/postgres/database.ts'
import { idFromBytes, idToBytes } from '../lib/id.ts'
import {
  type Delivery,
  type EndReason,
  endReasons,
  type SessionFacts,
  type SessionKind,
  type SessionState,
} from './session.ts'
import * as statements from './session-sql.ts'
import type { Rotation, SessionStore, SessionSummary } from './session-store.ts'

export type PostgresSessionStoreOptions = {
  /** For so long after the expiry of a session tokens of it may be out. */
  readonly tokensLastMs: number
  /** Told which sessions were ended, whoever asked for it. */
  readonly onEnd: (sessionIds: readonly string[]) => void
}

/** In the order of `facts` in session-sql.ts. */
type Facts = [
  accountId: string,
  generation: number,
  clientId: string,
  audience: string,
  scope: string,
  amr: string[],
  acr: string,
  authenticatedAtMs: number,
  idleExpiresAtMs: number,
  globalEpoch: number,
  accountEpoch: number,
  roles: string[],
  claimsEpoch: number,
  kind: SessionKind,
]

type FactsRow = { facts: Facts }

type StateRow = FactsRow & {
  delivery: Delivery
  last_used_at: Date
  presented_generation: number
  absolute_expires_at: Date
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

/** A row that no version of this code can have written. */
class ImpossibleSession extends Error {
  override readonly name = 'ImpossibleSession'
}

const endReasonOf = (text: string | null): EndReason | undefined => {
  if (text === null) return undefined
  const reason = endReasons.find((known) => known === text)
  if (!reason) throw new ImpossibleSession(`unknown end reason ${text}`)
  return reason
}

const factsOf = (sessionId: string, { facts }: FactsRow): SessionFacts => ({
  sessionId,
  accountId: facts[0],
  generation: facts[1],
  clientId: facts[2],
  audience: facts[3],
  scope: facts[4],
  amr: facts[5],
  acr: facts[6],
  authenticatedAtMs: facts[7],
  idleExpiresAtMs: facts[8],
  globalEpoch: facts[9],
  accountEpoch: facts[10],
  roles: facts[11],
  claimsEpoch: facts[12],
  kind: facts[13],
})

const stateOf = (sessionId: string, row: StateRow): SessionState => ({
  ...factsOf(sessionId, row),
  absoluteExpiresAtMs: row.absolute_expires_at.getTime(),
  delivery: row.delivery,
  lastUsedAtMs: row.last_used_at.getTime(),
  presentedGeneration: row.presented_generation,
  ended: endReasonOf(row.end_reason),
  accountIsActive: row.account_is_active,
  epochHasRisen: row.epoch_has_risen,
})

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

const rotationValues = (rotation: Rotation): readonly unknown[] => [
  idToBytes(rotation.sessionId),
  rotation.secretDigest,
  rotation.generation,
  rotation.delivery,
  new Date(rotation.nowMs),
  new Date(rotation.idleExpiresAtMs),
]

const optionalId = (id: string | undefined): Buffer | undefined =>
  id === undefined ? undefined : idToBytes(id)

/** How sessions begin, move on and are found again. */
const handleMethods = (
  sql: Sql,
): Pick<SessionStore, 'add' | 'rotate' | 'recover' | 'resume' | 'prolong' | 'find' | 'stands'> => ({
  add: async (session) => {
    const [row] = await sql.query<FactsRow & { others: number }>(statements.add, [
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
    ])
    return row && { facts: factsOf(session.sessionId, row), others: row.others }
  },
  rotate: async (rotation) => {
    const [row] = await sql.query<FactsRow>(statements.rotate, rotationValues(rotation))
    return row && factsOf(rotation.sessionId, row)
  },
  recover: async (rotation) => {
    const [row] = await sql.query<FactsRow>(statements.recover, rotationValues(rotation))
    return row && factsOf(rotation.sessionId, row)
  },
  resume: async (rotation, issuedGeneration, graceBeganByMs) => {
    const values = [...rotationValues(rotation), issuedGeneration, new Date(graceBeganByMs)]
    const [row] = await sql.query<FactsRow>(statements.resume, values)
    return row && factsOf(rotation.sessionId, row)
  },
  prolong: async (rotation, issuedGeneration) => {
    const values = [...rotationValues(rotation), issuedGeneration]
    const [row] = await sql.query<FactsRow>(statements.prolong, values)
    return row && factsOf(rotation.sessionId, row)
  },
  find: async (sessionId, secretDigest) => {
    const [row] = await sql.query<StateRow>(statements.find, [idToBytes(sessionId), secretDigest])
    return row && stateOf(sessionId, row)
  },
  stands: async ({ claims: { sid, sub, jti, aep }, kid, nowMs }) => {
    const [row] = await sql.query<{ stands: boolean }>(statements.stands, [
      idToBytes(sid),
      idToBytes(sub),
      ...aep,
      jti,
      new Date(nowMs),
      kid,
    ])
    return row?.stands === true
  },
})

/** How sessions are listed and end. */
const endMethods = (
  sql: Sql,
  { tokensLastMs, onEnd }: PostgresSessionStoreOptions,
): Pick<
  SessionStore,
  'listOfAccount' | 'end' | 'endAllOfAccount' | 'evictBeyond' | 'dropExpired'
> => {
  const endEach = async (
    statement: typeof statements.endAllOfAccount | typeof statements.evictBeyond,
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
      return (await sql.query<SummaryRow>(statements.listOfAccount, values)).map(summaryOf)
    },
    end: async (sessionId, reason, nowMs, accountId) => {
      const [row] = await sql.query<{ account_id: Buffer }>(statements.end, [
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
      endEach(statements.endAllOfAccount, [
        idToBytes(accountId),
        new Date(nowMs),
        reason,
        optionalId(exceptSessionId),
        new Date(nowMs - tokensLastMs),
      ]),
    evictBeyond: (accountId, most, nowMs, keptSessionId) =>
      endEach(statements.evictBeyond, [
        idToBytes(accountId),
        new Date(nowMs),
        most,
        idToBytes(keptSessionId),
      ]),
    dropExpired: async (beforeMs, limit) =>
      (await sql.query(statements.dropExpired, [new Date(beforeMs), limit])).length,
  }
}

export const postgresSessionStore = (
  sql: Sql,
  options: PostgresSessionStoreOptions,
): SessionStore => ({
  ...handleMethods(sql),
  ...endMethods(sql, options),
})
