import type { Sql, Statement } from '../infra/postgres/database.ts'
import { idFromBytes, idToBytes } from '../lib/id.ts'
import type { CookieSession } from './cookie-session.ts'
import * as statements from './cookie-session-sql.ts'
import type { CookieSessionStore } from './cookie-session-store.ts'
import { scopeAtRefresh } from './scope.ts'

/** In the order of `facts` in cookie-session-sql.ts. */
type Facts = [
  accountId: string,
  email: string,
  roles: string[],
  scope: string,
  clientId: string,
  audience: string,
  amr: string[],
  acr: string,
  globalEpoch: number,
  accountEpoch: number,
  claimsEpoch: number,
  generation: number,
  createdAtMs: number,
  authenticatedAtMs: number,
  lastUsedAtMs: number,
  idleExpiresAtMs: number,
  absoluteExpiresAtMs: number,
  data: string | null,
  dataVersion: number,
  pendingGeneration: number | null,
]

type Row = { facts: Facts }

const sessionOf = (sessionId: string, { facts }: Row): CookieSession => ({
  kind: 'cookie',
  sessionId,
  accountId: facts[0],
  email: facts[1],
  roles: facts[2],
  scope: scopeAtRefresh(facts[3], facts[2]),
  clientId: facts[4],
  audience: facts[5],
  amr: facts[6],
  acr: facts[7],
  epochs: [facts[8], facts[9], facts[10]],
  generation: facts[11],
  createdAtMs: facts[12],
  authenticatedAtMs: facts[13],
  lastUsedAtMs: facts[14],
  idleExpiresAtMs: facts[15],
  absoluteExpiresAtMs: facts[16],
  data: facts[17] ?? undefined,
  dataVersion: facts[18],
  pendingGeneration: facts[19] ?? undefined,
})

export const postgresCookieSessionStore = (sql: Sql): CookieSessionStore => {
  const one = async (
    statement: Statement,
    sessionId: string,
    values: readonly unknown[],
  ): Promise<CookieSession | undefined> => {
    const [row] = await sql.query<Row>(statement, [idToBytes(sessionId), ...values])
    return row && sessionOf(sessionId, row)
  }
  return {
    look: ({ sessionId, generation, secretDigest }, nowMs) =>
      one(statements.look, sessionId, [generation, new Date(nowMs), secretDigest]),
    replaceData: ({ sessionId, generation, data, follows, nowMs }) =>
      one(statements.replaceData, sessionId, [generation, new Date(nowMs), data, follows]),
    renew: ({ sessionId, generation, nowMs, idleExpiresAtMs, graceMs }) =>
      one(statements.renew, sessionId, [
        generation,
        new Date(nowMs),
        new Date(idleExpiresAtMs),
        new Date(nowMs - graceMs),
      ]),
    confirm: async ({ sessionId, generation }, nowMs) => {
      type Confirmed = Row & { replaced: number; is_recovered: boolean }
      const values = [idToBytes(sessionId), generation, new Date(nowMs)]
      const [row] = await sql.query<Confirmed>(statements.confirm, values)
      if (!row) return undefined
      const session = sessionOf(sessionId, row)
      return { session, replacedGeneration: row.replaced, isRecovered: row.is_recovered }
    },
    recordUses: async (uses, idleSeconds) => {
      const ids = uses.map(({ sessionId }) => idToBytes(sessionId))
      const times = uses.map(({ usedAtMs }) => new Date(usedAtMs).toISOString())
      const values = [ids, times, idleSeconds]
      const rows = await sql.query<{ id: Buffer }>(statements.recordUses, values)
      return rows.map(({ id }) => idFromBytes(id))
    },
  }
}
