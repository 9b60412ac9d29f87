import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { loadConfig } from '../../../src/config/index.ts'
import { prepareSchema } from '../../../src/schema.ts'
import { scratchFolder } from '../programs/scratch-folder.ts'
import { makeClusterTemplate, migratedTemplate, startPostgres } from '../servers/postgres-server.ts'
import { startRedis } from '../servers/redis-server.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The database server of the run: `freshDatabase()` makes a database in it. */
    postgresOwnerUrl: string
    postgresAppUrl: string
    /** The folder of a Postgres that never ran, to be copied. */
    postgresTemplate: string
    /** The Redis of the run, shared by tests that neither flush nor stop it. */
    redisUrl: string
  }
}

type Urls = { readonly ownerUrl: string; readonly appUrl: string }

type Shared<T> = T & { readonly stop: () => Promise<void> }

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

/** The tables of this version, once for all tests that begin with them. */
const makeMigratedTemplate = async ({ ownerUrl, appUrl }: Urls): Promise<void> => {
  const owner = new pg.Client(ownerUrl)
  await owner.connect()
  try {
    await owner.query(`DROP DATABASE IF EXISTS ${migratedTemplate}`)
    await owner.query(`CREATE DATABASE ${migratedTemplate}`)
  } finally {
    await owner.end()
  }
  const onTemplate = (url: string): string =>
    Object.assign(new URL(url), { pathname: `/${migratedTemplate}` }).href
  await prepareSchema(loadConfig({ DATABASE_CONNECT_TIMEOUT_MS: '9000' }), {
    databaseUrl: onTemplate(appUrl),
    migrateUrl: onTemplate(ownerUrl),
    secrets: [],
    peppers: [],
    lost: new Promise(() => undefined),
    close: nothingToStop,
  })
}

const sharedPostgres = async (template: string): Promise<Shared<Urls>> => {
  const { TEST_DATABASE_URL: given } = process.env
  // Several test processes, each with a few pools.
  const server = given
    ? await givenPostgres(given)
    : await startPostgres({ max_connections: '300' }, template)
  try {
    await makeMigratedTemplate(server)
    return server
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** The folder of the template. It lies in the scratch folder of the run, which is gone after it. */
const postgresTemplate = async (): Promise<Shared<{ path: string }>> => {
  const folder = await scratchFolder('postgres-template')
  const path = join(folder.path, 'postgres')
  await makeClusterTemplate(path)
  return { path, stop: folder.remove }
}

const sharedRedis = async (): Promise<Shared<{ url: string }>> => {
  const { REDIS_URL: given } = process.env
  return given ? { url: given, stop: nothingToStop } : await startRedis()
}

/** One Postgres and one Redis for the run; both end with this process, however it ends. */
export const setup = async (project: TestProject): Promise<() => Promise<void>> => {
  const template = await postgresTemplate()
  const [postgres, redis] = await Promise.allSettled([sharedPostgres(template.path), sharedRedis()])
  const stop = async () => {
    await template.stop()
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
  project.provide('postgresTemplate', template.path)
  project.provide('postgresOwnerUrl', postgres.value.ownerUrl)
  project.provide('postgresAppUrl', postgres.value.appUrl)
  project.provide('redisUrl', redis.value.url)
  return stop
}
