import pg from 'pg'
import { loadConfig } from '../src/config/index.ts'
import { prepareSchema } from '../src/schema.ts'
import { openStores } from '../src/store-credentials.ts'

/** The migrated database of one scenario, with the service's role and its owner. */
export type BenchDatabase = {
  readonly appUrl: string
  readonly ownerUrl: string
  /** The rows of one statement, run by the owner. */
  readonly ask: <Row extends pg.QueryResultRow>(
    text: string,
    values?: readonly unknown[],
  ) => Promise<Row[]>
  readonly close: () => Promise<void>
}

/** Only used on this machine's loopback, and discarded with the run. */
export const benchSecret = 'a-secret-of-the-bench-that-is-long-enough'

/** Also the audience of all tokens here. */
export const issuer = 'http://127.0.0.1:8088'

export const settingsFor = (appUrl: string, ownerUrl: string): Record<string, string> => ({
  DATABASE_URL: appUrl,
  MIGRATE_DATABASE_URL: ownerUrl,
  CARDEA_SECRET: benchSecret,
  ISSUER: issuer,
  PORT: '0',
  // One client address makes the whole load.
  LOGIN_FAILURES_PER_SOURCE: '1000000',
  LOGIN_FAILURES_PER_NETWORK: '1000000',
  LOGIN_FAILURES_GLOBAL: '1000000',
  LOGGED_ACTS_PER_ACCOUNT: '1000000',
  // A stall of the disk must show in the p99 and not end the run.
  DATABASE_CONNECT_TIMEOUT_MS: '4000',
  DATABASE_STATEMENT_TIMEOUT_MS: '4000',
})

const onDatabase = (url: string, name: string): string => {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}

export const createDatabase = async (
  server: { readonly appUrl: string; readonly ownerUrl: string },
  name: string,
): Promise<BenchDatabase> => {
  const admin = new pg.Client(server.ownerUrl)
  await admin.connect()
  await admin.query(`CREATE DATABASE ${name}`)
  await admin.end()
  const appUrl = onDatabase(server.appUrl, name)
  const ownerUrl = onDatabase(server.ownerUrl, name)
  const config = loadConfig(settingsFor(appUrl, ownerUrl))
  await prepareSchema(config, await openStores(config, { joinsRunning: false }))
  const owner = new pg.Client(ownerUrl)
  await owner.connect()
  return {
    appUrl,
    ownerUrl,
    ask: async (text, values = []) => (await owner.query(text, [...values])).rows,
    close: async () => await owner.end(),
  }
}
