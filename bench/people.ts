import { createHash } from 'node:crypto'
import { argon2PasswordHasher, loadArgon2 } from '../src/accounts/index.ts'
import { keyLabels, secretRing } from '../src/keys/index.ts'
import { idFromBytes, systemRandom } from '../src/lib/machine.ts'
import { type HandleCodec, handleCodec, type SessionKind } from '../src/sessions/index.ts'
import { type BenchDatabase, benchSecret } from './database.ts'

/**
 * Thousands of accounts and sessions, written directly into the tables, because a million logins through the API would take hours. Ids and
 * secrets are digests of a number, so that both sides can compute them and the service accepts them.
 */

export const password = 'correct horse battery staple 7'
export const emailOf = (account: number): string => `person-${account}@example.com`

/** One password for all: the hash is computed once, and verifying it costs each login the same. */
export const hashOfPassword = async (): Promise<string> => {
  const hasher = argon2PasswordHasher({ engine: await loadArgon2(), random: systemRandom })
  return (await hasher.hash(password)).phc
}

export const addAccounts = async (
  database: BenchDatabase,
  count: number,
  phc: string,
): Promise<void> => {
  await database.ask(
    `INSERT INTO accounts (id, email, email_canonical, status, roles, password_phc, created_at, updated_at)
     SELECT decode(md5('account ' || n), 'hex'), 'person-' || n || '@example.com', 'person-' || n || '@example.com',
            'active', '{}', $2, now(), now()
     FROM generate_series(0, $1::integer - 1) n`,
    [count, phc],
  )
}

/** Gives an account the rights for the admin API. */
export const makeOperator = async (database: BenchDatabase, account: number): Promise<void> => {
  await database.ask(
    `UPDATE accounts SET roles = '{operator}' WHERE id = decode(md5('account ' || $1::integer), 'hex')`,
    [account],
  )
}

const addSessionsText = `
  INSERT INTO sessions (id, account_id, kind, delivery, secret_digest, client_id, audience, scope, amr, acr, global_epoch,
    account_epoch, user_agent, address, authenticated_at, created_at, absolute_expires_at, last_used_at, idle_expires_at)
  SELECT decode(md5('session ' || n), 'hex'), decode(md5('account ' || n % $2::integer), 'hex'), $3, 'cookie',
    sha256(sha256(convert_to('secret ' || n, 'UTF8'))), 'first-party', 'http://127.0.0.1:8088', 'account', '{pwd}', 'aal1',
    i.global_epoch, 0, 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', '127.0.0.1',
    now(), now(), now() + interval '30 days', now(), now() + interval '14 days'
  FROM generate_series(0, $1::integer - 1) n, instance i`

/** Sessions 0 to `count - 1`, distributed over the existing accounts. */
export const addSessions = async (
  database: BenchDatabase,
  count: number,
  accounts: number,
  kind: SessionKind = 'token',
): Promise<void> => {
  await database.ask(addSessionsText, [count, accounts, kind])
  // Autovacuum would do this a minute later, in the middle of a measurement.
  await database.ask('VACUUM (ANALYZE) sessions')
  await database.ask('VACUUM (ANALYZE) accounts')
}

const sha256 = (data: string | Buffer): Buffer => createHash('sha256').update(data).digest()

export const bareSession = (session: number) => ({
  id: createHash('md5').update(`session ${session}`).digest(),
  digest: sha256(sha256(`secret ${session}`)),
  generation: 0,
})

const ring = secretRing([benchSecret])

const firstOf =
  ({ write }: HandleCodec) =>
  (session: number): string =>
    write({
      sessionId: idFromBytes(bareSession(session).id),
      generation: 0,
      secret: sha256(`secret ${session}`),
    })

/** The handle of a session that was never refreshed. */
export const firstHandle = firstOf(handleCodec(ring.derive(keyLabels.refreshHandle)))

/** The cookie of a session that was never renewed. */
export const firstCookie = firstOf(handleCodec(ring.derive(keyLabels.sessionHandle)))
