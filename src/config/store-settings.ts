import { text, trueOrFalse, wholeNumber } from './formats.ts'
import type { Setting } from './setting.ts'
import { postgresUrl, redisUrl, schemaName } from './store-addresses.ts'

const databaseUrl: Setting<string | undefined> = {
  name: 'DATABASE_URL',
  meaning:
    'The Postgres database. The role needs no DDL. Of several hosts the primary is used. In production the URL must have sslmode=verify-full (or verify-ca).',
  format: postgresUrl,
  fallback: undefined,
  defaultText: 'an embedded Postgres in DATA_DIR',
  whyThisDefault: 'A first start needs nothing installed.',
  isDemandedInProduction: true,
  isSecret: true,
}

const migrateDatabaseUrl: Setting<string | undefined> = {
  name: 'MIGRATE_DATABASE_URL',
  meaning:
    'The same database through a role that may create tables; used for migrations only, with the same TLS requirements.',
  format: postgresUrl,
  fallback: undefined,
  defaultText: 'DATABASE_URL',
  whyThisDefault:
    'One role is simplest; two mean that a breach of the service cannot change the schema.',
  isSecret: true,
}

const databaseSchema: Setting<string | undefined> = {
  name: 'DATABASE_SCHEMA',
  meaning:
    'The schema of the tables. A migration creates it if its role may. Each installation in a database needs its own schema.',
  format: schemaName,
  fallback: undefined,
  defaultText: 'the first in the search path of the connection, usually public',
  whyThisDefault: 'Right for a database that Cardea has to itself.',
}

const redisUrlSetting: Setting<string | undefined> = {
  name: 'REDIS_URL',
  meaning:
    'Redis, for shared limits, cached sessions and cached revocations. In production the scheme must be rediss (TLS).',
  format: redisUrl,
  fallback: undefined,
  defaultText: 'in this process',
  whyThisDefault: 'Enough for one process; several must share their limits.',
  isDemandedInProduction: true,
  isSecret: true,
}

const redisSentinelUsername: Setting<string | undefined> = {
  name: 'REDIS_SENTINEL_USERNAME',
  meaning:
    'The user that logs in to the Sentinels of REDIS_URL, where they have users of their own.',
  format: text,
  fallback: undefined,
  defaultText: 'none',
  whyThisDefault: 'Sentinels with requirepass know one password and no user.',
}

const redisSentinelPassword: Setting<string | undefined> = {
  name: 'REDIS_SENTINEL_PASSWORD',
  meaning:
    'The password of the Sentinels of REDIS_URL. User and password in REDIS_URL are those of the Redis servers.',
  format: text,
  fallback: undefined,
  defaultText: 'none',
  whyThisDefault: 'Sentinels require no password by default.',
  isSecret: true,
}

const allowPlaintextStores: Setting<boolean> = {
  name: 'ALLOW_PLAINTEXT_STORES',
  meaning:
    'In production, allow Postgres and Redis without verified TLS. For a private network or a Unix socket; warns at every start.',
  format: trueOrFalse,
  fallback: false,
  whyThisDefault: 'An attacker on the network could read and change sessions.',
}

const redisTimeoutMs: Setting<number> = {
  name: 'REDIS_TIMEOUT_MS',
  meaning:
    'Milliseconds that one command to Redis may take. Then the request goes on without Redis, with the stricter limits of one process.',
  format: wholeNumber(10, 10_000),
  fallback: 100,
  whyThisDefault:
    'Redis responds in well under a millisecond. Raise it when Redis is far away or the machine is slow.',
}

const databasePoolSize: Setting<number> = {
  name: 'DATABASE_POOL_SIZE',
  meaning:
    'The maximum number of connections to Postgres from one process, without one that only listens.',
  format: wholeNumber(1, 100),
  fallback: 8,
  whyThisDefault:
    'Group commit is near its best at 8 to 32 writers, and a few processes stay below the usual 100 connections of a server.',
}

const databaseConnectTimeoutMs: Setting<number> = {
  name: 'DATABASE_CONNECT_TIMEOUT_MS',
  meaning:
    'Milliseconds that a request waits for a connection, a free one or a new one. The attempt to connect may take longer and goes on without the request.',
  format: wholeNumber(50, 10_000),
  fallback: 300,
  whyThisDefault:
    'With the statement timeout below a second: a request gets 503 within 1 s when Postgres is unreachable.',
}

const databaseStartTimeoutSeconds: Setting<number> = {
  name: 'DATABASE_START_TIMEOUT_SECONDS',
  meaning:
    'Seconds that a start, a migration and a command wait for Postgres. A wrong password, an unknown database or a bad certificate is reported at once.',
  format: wholeNumber(1, 3_600),
  fallback: 30,
  whyThisDefault:
    'A database that starts beside the service, or recovers from a crash, needs seconds; a busy machine more.',
}

const databaseStatementTimeoutMs: Setting<number> = {
  name: 'DATABASE_STATEMENT_TIMEOUT_MS',
  meaning:
    'Milliseconds that one statement may take. Migrations are exempt, also from a limit of their role.',
  format: wholeNumber(50, 60_000),
  fallback: 600,
  whyThisDefault:
    'Statements take a few milliseconds; with the connect timeout the sum stays below a second.',
}

const databasePreparedStatements: Setting<boolean> = {
  name: 'DATABASE_PREPARED_STATEMENTS',
  meaning:
    'Send statements by name. Set false behind a pooler in transaction mode that does not know them (PgBouncer before 1.21).',
  format: trueOrFalse,
  fallback: true,
  whyThisDefault: 'Named statements take about half the CPU of unnamed ones.',
}

const revokeOnDataLoss: Setting<boolean> = {
  name: 'REVOKE_ON_DATA_LOSS',
  meaning:
    'After a fail-over that lost commits, revoke everything that was issued before, once, without asking: everyone must log in again.',
  format: trueOrFalse,
  fallback: false,
  whyThisDefault:
    'What a process knows to be revoked stays revoked in any case, and everybody would have to log in because of a few lost changes.',
}

/** Settings for Postgres and Redis: addresses, connections, timeouts. */
export const storeSettings = {
  databaseUrl,
  migrateDatabaseUrl,
  databaseSchema,
  redisUrl: redisUrlSetting,
  redisTimeoutMs,
  redisSentinelUsername,
  redisSentinelPassword,
  allowPlaintextStores,
  databasePoolSize,
  databaseConnectTimeoutMs,
  databaseStartTimeoutSeconds,
  databaseStatementTimeoutMs,
  databasePreparedStatements,
  revokeOnDataLoss,
}
