import { randomBytes } from 'node:crypto'
import { inject, vi } from 'vitest'
import { createAccount, type StoredPassword } from '../../../src/accounts/index.ts'
import { type Instance, startInstance } from '../../../src/app.ts'
import { type Config, loadConfig } from '../../../src/config/index.ts'
import type { HttpTimeouts } from '../../../src/http/server-lifecycle.ts'
import { type Clock, systemRandom } from '../../../src/lib/machine.ts'
import { prepareSchema } from '../../../src/schema.ts'
import type { StoreCredentials } from '../../../src/store-credentials.ts'
import { freshDatabase } from '../servers/postgres-server.ts'
import { type Client, httpClient } from './client.ts'

export type CardeaOptions = {
  /** Postgres's time unless another is given. */
  readonly clock?: Clock
  /** Replaces settings after they have been read and checked. */
  readonly config?: Partial<Config>
  /** Instances over the same stores; one unless asked for. */
  readonly instances?: number
  /** The Redis of the run unless another is given; `null` for none. */
  readonly redisUrl?: string | null
  /** A database of the test's own server; else a new one in the shared server. */
  readonly database?: { readonly ownerUrl: string; readonly appUrl: string }
  readonly timeouts?: Partial<HttpTimeouts>
  readonly secrets?: readonly string[]
  readonly peppers?: readonly string[]
}

export type TestAccount = { readonly id: string; readonly email: string; readonly password: string }

export type Cardea = {
  readonly config: Config
  readonly stores: StoreCredentials
  readonly instances: readonly Instance[]
  /** Speaks to the first instance. */
  readonly client: Client
  /** Speaks to instance `index`. */
  readonly clientOf: (index: number) => Client
  /** Everything that was logged, line by line. */
  readonly log: readonly string[]
  readonly createAccount: (roles?: readonly string[]) => Promise<TestAccount>
  /** An access token of a new operator. */
  readonly operatorToken: () => Promise<string>
  readonly stop: () => Promise<void>
}

export const testPassword = 'correct horse battery staple 7'

/** Limits that only the tests of limits should meet: all requests of a run come from one address, and the machine may be slow. */
const roomy = {
  loginFailuresPerSource: 1_000_000,
  loginFailuresPerNetwork: 1_000_000,
  loginFailuresGlobal: 1_000_000,
  loggedActsPerAccount: 1_000_000,
  hashQueue: 1_000,
  redisTimeoutMs: 30_000,
  databaseConnectTimeoutMs: 30_000,
  databaseStatementTimeoutMs: 30_000,
}

/** A client of the same process is no attacker when the machine keeps it waiting; and nobody waits for a service that a test stops. */
const patientTimeouts = {
  headersMs: 60_000,
  requestMs: 90_000,
  responseMs: 120_000,
  idleMs: 120_000,
  closeMs: 1_000,
}

const configFor = (options: CardeaOptions): Config => {
  const read = loadConfig({ PORT: '0', ISSUER: 'http://127.0.0.1:8088', LOG_LEVEL: 'info' })
  const redisUrl = options.redisUrl === undefined ? inject('redisUrl') : options.redisUrl
  return { ...read, ...roomy, redisUrl: redisUrl ?? undefined, ...options.config }
}

/** By pepper: every account has the same password, so that it is hashed once. A hash costs 20 ms of processor time or more. */
const hashes = new Map<string | undefined, Promise<StoredPassword>>()

const newAccount = async (
  { core: { config, hasher, inTransaction, machine } }: Instance,
  [pepper]: readonly string[],
  roles: readonly string[],
): Promise<TestAccount> => {
  const hashed = hashes.get(pepper) ?? hasher.hash(testPassword)
  hashes.set(pepper, hashed)
  const { clock, random } = machine
  const { passwordMinLength } = config
  const once = { ...hasher, hash: () => hashed }
  const create = createAccount({ clock, random, inTransaction, passwordMinLength, hasher: once })
  const email = `person-${randomBytes(6).toString('hex')}@example.com`
  const actor = { kind: 'system' } as const
  const { accountId } = await create({ email, password: testPassword, roles, actor })
  return { id: accountId, email, password: testPassword }
}

/** Until it is known whether there is a Redis, attempts are counted in the process alone. */
const redisSettled = async ({ core: { redis } }: Instance): Promise<void> => {
  if (redis) await vi.waitUntil(() => redis.isReady() || redis.outage() !== undefined)
}

/** The real service over a new database: as many instances as asked for, each listening on a port of its own. */
export const startCardea = async (options: CardeaOptions = {}): Promise<Cardea> => {
  const config = configFor(options)
  const own = options.database ? undefined : await freshDatabase({ isMigrated: true })
  const database = options.database ?? own
  if (!database) throw new Error('no database')
  const stores: StoreCredentials = {
    databaseUrl: database.appUrl,
    migrateUrl: database.ownerUrl,
    secrets: options.secrets ?? ['a secret of the tests that is long enough'],
    peppers: options.peppers ?? ['a pepper of the tests that is long enough'],
    lost: new Promise(() => undefined),
    close: async () => undefined,
  }
  await prepareSchema(config, stores)
  const log: string[] = []
  const machine = { random: systemRandom, ...(options.clock && { clock: options.clock }) }
  const logStream = { write: (line: string) => void log.push(line) }
  const app = { timeouts: { ...patientTimeouts, ...options.timeouts } }
  const instances: Instance[] = []
  for (let index = 0; index < (options.instances ?? 1); index += 1) {
    const instance = await startInstance(config, stores, { machine, app, logStream })
    instances.push(instance)
    await redisSettled(instance)
  }
  const [first] = instances
  if (!first) throw new Error('at least one instance is needed')
  const clientOf = (index: number) => httpClient(instances[index]?.address ?? '')
  const newPerson = (roles: readonly string[] = []) => newAccount(first, stores.peppers, roles)
  return {
    config,
    stores,
    instances,
    client: clientOf(0),
    clientOf,
    log,
    createAccount: newPerson,
    operatorToken: async () => {
      const operator = await newPerson(['operator'])
      const answer = await clientOf(0).logIn(operator, { audience: config.issuer })
      return answer.accessToken
    },
    stop: async () => {
      for (const instance of instances) await instance.stop()
      await own?.drop()
    },
  }
}
