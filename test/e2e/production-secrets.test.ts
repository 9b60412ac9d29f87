import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { runCli } from '../cli/run-cli.ts'
import {
  patientSettings,
  type ServiceHome,
  serviceHome,
} from '../support/programs/child-service.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { httpClient } from '../support/service/client.ts'

let database: FreshDatabase
let redis: RedisServer
let home: ServiceHome
let settings: Record<string, string>

/** As an orchestrator mounts them, read by the service alone. */
const fileWith = async (name: string, text: string): Promise<string> => {
  const path = join(home.folder, name)
  await writeFile(path, `${text}\n`, { mode: 0o400 })
  return path
}

beforeAll(async () => {
  database = await freshDatabase()
  redis = await startRedis({ args: ['--requirepass', 'p%40ss#word'] })
  home = await serviceHome()
  settings = {
    NODE_ENV: 'production',
    ALLOW_PLAINTEXT_STORES: 'true',
    ISSUER: 'https://auth.example.com',
    TRUSTED_PROXIES: '127.0.0.1',
    DATABASE_URL_FILE: await fileWith('database-url', database.appUrl),
    MIGRATE_DATABASE_URL_FILE: await fileWith('owner-url', database.ownerUrl),
    CARDEA_SECRET_FILE: await fileWith('secret', randomBytes(32).toString('base64')),
    PASSWORD_PEPPER_FILE: await fileWith('pepper', randomBytes(32).toString('base64')),
    REDIS_URL_FILE: await fileWith(
      'redis-url',
      `redis://:${encodeURIComponent('p%40ss#word')}@127.0.0.1:${redis.port}`,
    ),
  }
})
afterAll(async () => {
  await home.remove()
  await redis.stop()
  await database.drop()
})

const https = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9' }

/** The files of the project that a service loads from its start to its end, by the coverage that Node writes at the end. */
const filesLoadedWith = async (
  given: Readonly<Record<string, string>>,
  meanwhile: () => Promise<void> = async () => undefined,
): Promise<string[]> => {
  const folder = await mkdtemp(join(home.folder, 'coverage-'))
  const service = home.spawn({ ...given, NODE_V8_COVERAGE: folder })
  await vi.waitFor(() => expect(service.stdout()).toContain('"listening"'))
  await meanwhile()
  service.signal('SIGTERM')
  expect(await service.ended).toEqual({ code: 0, signal: null })
  const reports = (await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8'))
  const project = new URL('../../', import.meta.url).href
  return (await Promise.all(reports))
    .flatMap((text): { url: string }[] => JSON.parse(text).result)
    .filter(({ url }) => url.startsWith(project))
    .map(({ url }) => url.slice(project.length))
}

const isEmbedded = (file: string) => file.startsWith('packages/embedded-stores/')

test('R129: a production whose secrets are all in files starts, its commands work by the same settings, and it loads no file of the embedded stores', async () => {
  const loaded = await filesLoadedWith(settings, async () => {
    const person = { email: 'ada@example.com', password: 'correct horse battery staple 7' }
    const args = ['account', 'create', '--email', person.email]
    const all = { ...patientSettings, ...settings }
    const created = await runCli(args, all, `${person.password}\n`)
    expect(created).toMatchObject({ code: 0, stderr: '' })
    const client = httpClient(home.address)
    const login = await client.post('/login', { headers: https, body: person })
    expect(login.status).toBe(200)
  })
  expect(loaded).toContain('src/store-credentials.ts')
  expect(loaded.filter(isEmbedded)).toEqual([])
})

test('R129: a production process without a pepper loads none either, unless DATA_DIR holds one of earlier days', async () => {
  const withoutPepper = { ...settings, PASSWORD_PEPPER_FILE: '' }
  expect((await filesLoadedWith(withoutPepper)).filter(isEmbedded)).toEqual([])
  const dataDir = join(home.folder, '.data')
  await mkdir(dataDir, { mode: 0o700 })
  await writeFile(join(dataDir, 'pepper'), randomBytes(32).toString('base64'), { mode: 0o600 })
  const withKeptPepper = await filesLoadedWith(withoutPepper)
  expect(withKeptPepper).toContain('packages/embedded-stores/src/local-secrets.ts')
})

test('in production a Redis that rejects the login stops the start, and says which settings to look at', async () => {
  const url = `redis://nobody:zX9-wrong@127.0.0.1:${redis.port}`
  const service = home.spawn({ ...settings, REDIS_URL_FILE: '', REDIS_URL: url })
  expect(await service.ended).toEqual({ code: 5, signal: null })
  expect(service.stderr()).toMatch(/^error: Redis rejected the login: .+\nhint: .*REDIS_URL.*\n$/)
  expect(`${service.stdout()}${service.stderr()}`).not.toContain('zX9')
  expect(service.stdout()).not.toContain('"listening"')
})

test('R104: a Redis that is away, or rejects the login of a developer, keeps nobody from starting', async () => {
  const away = home.spawn({ ...settings, REDIS_URL_FILE: '', REDIS_URL: 'redis://127.0.0.1:1' })
  await vi.waitFor(() => expect(away.stdout()).toContain('"listening"'))
  away.signal('SIGTERM')
  expect(await away.ended).toEqual({ code: 0, signal: null })
  const url = `redis://:wrong@127.0.0.1:${redis.port}`
  const developer = await home.start({
    ...settings,
    NODE_ENV: 'development',
    REDIS_URL_FILE: '',
    REDIS_URL: url,
  })
  await vi.waitFor(() => expect(developer.stdout()).toContain('"msg":"redis is away"'))
})
