/**
 * A read model: the one place that queries the tables of sessions, accounts and service clients to decide whether a token is active. It is
 * here, before the features that own these tables, because they are built on the check of tokens, and that needs it.
 */

import type { Sql } from '../infra/postgres/database.ts'
import { idToBytes } from '../lib/machine.ts'
import { isServiceToken } from '../tokens/index.ts'
import type { IsTokenActive } from './bearer-check.ts'

const notRevoked = (jti: string, kid: string, now: string): string =>
  [
    ['jti', jti],
    ['kid', kid],
  ]
    .map(
      ([kind, key]) =>
        `NOT EXISTS (SELECT FROM revocations WHERE kind = '${kind}' AND key = ${key} AND not_after > least(${now}, now()))`,
    )
    .join(' AND ')

/** Epochs of the token may be higher than those of the session: a later value is as good. */
const ofPerson = {
  name: 'token_of_person_is_active',
  text: `SELECT EXISTS (
      SELECT FROM sessions s JOIN accounts a ON a.id = s.account_id CROSS JOIN instance i
      WHERE s.id = $7 AND s.account_id = $1 AND s.ended_at IS NULL AND a.status = 'active'
        AND i.global_epoch <= $2 AND a.epoch <= $3 AND a.claims_epoch <= $8)
    AND ${notRevoked('$4', '$6', '$5')} AS "isActive"`,
}

/** The owner may have been disabled directly in the database, which ends no client. */
const ofService = {
  name: 'token_of_service_is_active',
  text: `SELECT EXISTS (
      SELECT FROM service_clients c CROSS JOIN instance i
      WHERE c.id = $1 AND c.disabled_at IS NULL AND (c.owner_id IS NULL
          OR EXISTS (SELECT FROM accounts a WHERE a.id = c.owner_id AND a.status = 'active'))
        AND i.global_epoch <= $2 AND c.epoch <= $3)
    AND ${notRevoked('$4', '$6', '$5')} AS "isActive"`,
}

/** One statement: it reads the session for a user's token, and the client for a service client's token. */
export const postgresTokenActivity = (sql: Sql): IsTokenActive =>
  async function isTokenActive({ claims, kid, nowMs }) {
    const { sub, sid, jti, aep } = claims
    const [globalEpoch, subjectEpoch, claimsEpoch] = aep
    const common = [idToBytes(sub), globalEpoch, subjectEpoch, jti, new Date(nowMs), kid]
    const [row] = isServiceToken(claims)
      ? await sql.query<{ isActive: boolean }>(ofService, common)
      : await sql.query<{ isActive: boolean }>(ofPerson, [...common, idToBytes(sid), claimsEpoch])
    return row?.isActive === true
  }
