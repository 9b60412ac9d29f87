import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { runCli, runCliProcess } from '../cli/run-cli.ts'
import { production } from '../config/environments.ts'
import { patientSettings, serviceHome } from '../support/programs/child-service.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { startSentinel } from '../support/servers/redis-sentinel.ts'
import { startRedis } from '../support/servers/redis-server.ts'
import { httpClient } from '../support/service/client.ts'
import { type Certificates, newCertificates } from './certificates.ts'

const atEnd: (() => Promise<void>)[] = []
let ours: Certificates
let foreign: Certificates
let postgres: PostgresServer
let settings: Readonly<Record<string, string>>
let redisPort: number
let clusterUrl: string
let sentinelUrl: string

/** Settings of a Redis or Sentinel that takes nothing but TLS. */
const tlsOn = (port: number): readonly (readonly [name: string, value: string])[] => [
  ['port', '0'],
  ['tls-port', String(port)],
  ['tls-cert-file', ours.certificate],
  ['tls-key-file', ours.key],
  ['tls-ca-cert-file', ours.authority],
  ['tls-auth-clients', 'no'],
]

const startRedisOverTls = async (more: readonly string[] = []): Promise<number> => {
  const port = await freePort()
  const args = tlsOn(port).flatMap(([name, value]) => [`--${name}`, value])
  const redis = await startRedis({ args: [...args, ...more] })
  atEnd.push(redis.stop)
  return port
}

/** Watches the one Redis and hands out its name. */
const startSentinelOverTls = async (): Promise<number> => {
  const port = await freePort()
  const sentinel = await startSentinel([
    ...tlsOn(port).map((setting) => setting.join(' ')),
    'tls-replication yes',
    'sentinel resolve-hostnames yes',
    'sentinel announce-hostnames yes',
    `sentinel monitor cardea localhost ${redisPort} 1`,
  ])
  atEnd.push(sentinel.stop)
  return port
}

/** One node that holds every slot and goes by its name. */
const startClusterOverTls = async (): Promise<number> => {
  const named = ['--cluster-announce-hostname', 'localhost']
  const preferred = ['--cluster-preferred-endpoint-type', 'hostname']
  const cluster = ['--cluster-enabled', 'yes', '--tls-cluster', 'yes', ...named, ...preferred]
  const port = await startRedisOverTls(cluster)
  const direct = new Redis({ host: 'localhost', port, tls: { ca: await readFile(ours.authority) } })
  try {
    await direct.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  } finally {
    direct.disconnect()
  }
  return port
}

const databaseUrl = (url: string, host = 'localhost', more = ''): string => {
  const changed = new URL(url)
  changed.hostname = host
  return `${changed.href}?sslmode=verify-full${more}`
}

beforeAll(async () => {
  const folder = await scratchFolder('certificates')
  atEnd.push(folder.remove)
  ours = await newCertificates(join(folder.path, 'ours'))
  foreign = await newCertificates(join(folder.path, 'foreign'))
  const rules = join(folder.path, 'pg_hba.conf')
  await writeFile(rules, 'hostssl all all 127.0.0.1/32 scram-sha-256\n')
  postgres = await startPostgres({
    ssl: 'on',
    ssl_cert_file: ours.certificate,
    ssl_key_file: ours.key,
    hba_file: rules,
  })
  atEnd.push(postgres.stop)
  redisPort = await startRedisOverTls()
  clusterUrl = `rediss+cluster://localhost:${await startClusterOverTls()}`
  sentinelUrl = `rediss+sentinel://localhost:${await startSentinelOverTls()}/cardea`
  settings = {
    ...production(),
    DATABASE_URL: databaseUrl(postgres.appUrl),
    MIGRATE_DATABASE_URL: databaseUrl(postgres.ownerUrl),
    REDIS_URL: `rediss://localhost:${redisPort}`,
    NODE_EXTRA_CA_CERTS: ours.authority,
    ...patientSettings,
  }
  const migrated = await runCliProcess(['migrate'], settings)
  expect(migrated.stderr).toBe('')
})
afterAll(async () => {
  for (const end of atEnd.reverse()) await end()
})

type Check = { readonly name: string; readonly state: string; readonly message: string }

/** Node reads NODE_EXTRA_CA_CERTS when a process starts; a command in this process gets the same authorities by hand. */
const trusting = async <T>(file: string, work: () => Promise<T>): Promise<T> => {
  const before = getCACertificates('default')
  const extra = file === '' ? [] : [await readFile(file, 'utf8')]
  setDefaultCACertificates([...getCACertificates('bundled'), ...extra])
  try {
    return await work()
  } finally {
    setDefaultCACertificates(before)
  }
}

/** What the command says of the stores, as "state message". */
const doctor = async (changed: Readonly<Record<string, string>>) => {
  const asked = { ...settings, ...changed }
  const command = () => runCli(['doctor', '--json'], asked)
  const checks: Check[] = (await trusting(asked['NODE_EXTRA_CA_CERTS'] ?? '', command)).json()
    .checks
  const about = (wanted: string) => {
    const check = checks.find(({ name }) => name === wanted)
    return `${check?.state} ${check?.message}`
  }
  return { postgres: about('postgres'), redis: about('redis') }
}

const answers = {
  postgres: expect.stringMatching(/^ok PostgreSQL .+ responds$/),
  redis: 'ok responds',
}

test('R124: production logs in over verified TLS to Postgres and Redis', async () => {
  const account = { email: 'person@example.com', password: 'correct horse battery staple 7' }
  const create = ['account', 'create', '--email', account.email]
  expect(await runCliProcess(create, settings, account.password)).toMatchObject({
    code: 0,
    stderr: '',
  })
  const home = await serviceHome({ ...settings, TRUSTED_PROXIES: '127.0.0.1' })
  try {
    home.spawn()
    const client = httpClient(home.address)
    const headers = { 'x-forwarded-proto': 'https' }
    const stores = { postgres: 'ready', redis: 'ready' }
    const ready = {
      status: 'ready',
      stores,
      revocations: 'ready',
      data: 'complete',
      log: 'complete',
      clock: 'agrees',
      process: 'serving',
    }
    const askReady = () => client.get('/health/ready', { headers })
    await vi.waitFor(async () => expect((await askReady()).body).toEqual(ready), {
      interval: 50,
    })
    expect((await client.post('/login', { headers, body: account })).status).toBe(200)
  } finally {
    await home.remove()
  }
})

test('the stores of these tests take nothing but TLS', async () => {
  const plain = await doctor({
    ALLOW_PLAINTEXT_STORES: 'true',
    DATABASE_URL: postgres.appUrl,
    REDIS_URL: `redis://localhost:${redisPort}`,
  })
  expect(plain.postgres).toMatch(/^fail Postgres rejected the login of this role: .*no encryption/)
  expect(plain.redis).toMatch(/^fail does not respond/)
})

test('R124: an authority may also be named by sslrootcert, for Postgres alone', async () => {
  const { authority } = ours
  const found = await doctor({
    NODE_EXTRA_CA_CERTS: '',
    DATABASE_URL: databaseUrl(postgres.appUrl, 'localhost', `&sslrootcert=${authority}`),
  })
  expect(found).toEqual({ postgres: answers.postgres, redis: expect.stringMatching(/^fail /) })
})

test('R124: Redis is verified by the name in its URL as a Cluster and through Sentinels, too', async () => {
  expect(await doctor({ REDIS_URL: clusterUrl })).toEqual(answers)
  expect(await doctor({ REDIS_URL: sentinelUrl })).toEqual(answers)
})

test('R124: stores of an authority that is not trusted are refused, and the doctor and the start say why', async () => {
  const untrusted = { NODE_EXTRA_CA_CERTS: foreign.authority }
  const notTrusted = /^fail the certificate of a store is not trusted: unable to verify/
  const { postgres: ofPostgres, redis } = await doctor(untrusted)
  expect(ofPostgres).toMatch(notTrusted)
  expect(redis).toMatch(/^fail does not respond \(redis: self-signed certificate/)
  for (const url of [clusterUrl, sentinelUrl]) {
    expect((await doctor({ ...untrusted, REDIS_URL: url })).redis).toMatch(/^fail does not respond/)
  }
  const home = await serviceHome(settings)
  try {
    const service = home.spawn(untrusted)
    expect(await service.ended).toEqual({ code: 5, signal: null })
    expect(service.stderr()).toMatch(
      /certificate of a store is not trusted[\s\S]*NODE_EXTRA_CA_CERTS/,
    )
  } finally {
    await home.remove()
  }
})

test('R124: of several hosts each must have a certificate of its own name, and one that has none is passed over', async () => {
  const several = (...hosts: readonly string[]) => {
    const { port } = new URL(postgres.appUrl)
    const url = databaseUrl(postgres.appUrl, 'one-host')
    return url.replace(`one-host:${port}`, hosts.map((host) => `${host}:${port}`).join(','))
  }
  const good = await doctor({ DATABASE_URL: several('127.0.0.1', 'localhost') })
  expect(good.postgres).toEqual(answers.postgres)
  const bad = await doctor({ DATABASE_URL: several('127.0.0.1', '127.0.0.1') })
  expect(bad.postgres).toMatch(/^fail the certificate of a store is not trusted: .*127\.0\.0\.1/)
})

test('R124: a certificate that is made out to another name is refused', async () => {
  const found = await doctor({
    DATABASE_URL: databaseUrl(postgres.appUrl, '127.0.0.1'),
    REDIS_URL: `rediss://127.0.0.1:${redisPort}`,
  })
  expect(found.postgres).toMatch(/^fail the certificate of a store is not trusted: .*127\.0\.0\.1/)
  expect(found.redis).toMatch(/^fail does not respond \(redis: .*127\.0\.0\.1/)
})
