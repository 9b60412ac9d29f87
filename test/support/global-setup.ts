import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { startPostgres } from './postgres-server.ts'
import { startRedis } from './redis-server.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The database server of the run: `freshDatabase()` makes a database in it. */
    postgresOwnerUrl: string
    postgresAppUrl: string
    /** The Redis of the run, shared by tests that neither flush nor stop it. */
    redisUrl: string
  }
}

type Shared<Urls> = Urls & { readonly stop: () => Promise<void> }

const nothingToStop = async () => undefined

/** A server from outside: its role for the application gets a new password, as only this run needs to know it. */
const givenPostgres = async (ownerUrl: string) => {
  const password = randomBytes(24).toString('base64url')
  const client = new pg.Client(ownerUrl)
  await client.connect()
  try {
    const found = await client.query("SELECT 1 FROM pg_roles WHERE rolname = 'cardea_app'")
    const verb = found.rowCount === 0 ? 'CREATE' : 'ALTER'
    await client.query(`${verb} ROLE cardea_app LOGIN PASSWORD '${password}'`)
  } finally {
    await client.end()
  }
  const appUrl = new URL(ownerUrl)
  appUrl.username = 'cardea_app'
  appUrl.password = password
  return { ownerUrl, appUrl: appUrl.href, stop: nothingToStop }
}

const sharedPostgres = async (): Promise<Shared<{ ownerUrl: string; appUrl: string }>> => {
  const { TEST_DATABASE_URL: given } = process.env
  // Several test processes, each with a few pools.
  return given ? await givenPostgres(given) : await startPostgres({ max_connections: '300' })
}

const sharedRedis = async (): Promise<Shared<{ url: string }>> => {
  const { REDIS_URL: given } = process.env
  return given ? { url: given, stop: nothingToStop } : await startRedis()
}

/** One Postgres and one Redis for the run; both end with this process, however it ends. */
export const setup = async (project: TestProject): Promise<() => Promise<void>> => {
  const [postgres, redis] = await Promise.allSettled([sharedPostgres(), sharedRedis()])
  const stop = async () => {
    for (const server of [postgres, redis]) {
      if (server.status === 'fulfilled') await server.value.stop()
    }
  }
  if (postgres.status === 'rejected' || redis.status === 'rejected') {
    await stop()
    const failures = [postgres, redis].flatMap((one) =>
      one.status === 'rejected' ? [String(one.reason)] : [],
    )
    throw new Error(failures.join('\n'))
  }
  project.provide('postgresOwnerUrl', postgres.value.ownerUrl)
  project.provide('postgresAppUrl', postgres.value.appUrl)
  project.provide('redisUrl', redis.value.url)
  return stop
}
