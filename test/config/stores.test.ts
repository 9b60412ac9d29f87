import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/index.ts'
import { nodeTlsProblems } from '../../src/config/node-tls.ts'
import { configErrorOf, problemsOf, production } from './environments.ts'

const namesOf = (environment: Record<string, string>): string[] =>
  configErrorOf(environment).problems.map((problem) => problem.name)

const postgres = (query: string): string => `postgres://u:p@db.internal:5432/cardea${query}`

describe('Postgres without verified TLS', () => {
  const unverified = [
    '',
    '?sslmode=disable',
    '?sslmode=allow',
    '?sslmode=prefer',
    '?sslmode=require',
    '?sslmode=no-verify',
    '?sslmode=VERIFY-FULL',
    '?ssl=true',
    '?uselibpqcompat=true&sslmode=require',
    '?sslmode=verify-full&sslmode=disable',
  ]

  test.each(unverified)('R124: production refuses a database URL with "%s"', (query) => {
    expect(namesOf({ ...production(), DATABASE_URL: postgres(query) })).toEqual(['DATABASE_URL'])
    expect(namesOf({ ...production(), MIGRATE_DATABASE_URL: postgres(query) })).toEqual([
      'MIGRATE_DATABASE_URL',
    ])
  })

  test.each(unverified)('R124: "%s" is accepted with ALLOW_PLAINTEXT_STORES=true', (query) => {
    const environment = {
      ...production(),
      ALLOW_PLAINTEXT_STORES: 'true',
      DATABASE_URL: postgres(query),
    }
    expect(loadConfig(environment).databaseUrl).toBe(postgres(query))
  })

  test.each(['?sslmode=verify-full', '?ssl=0&sslmode=verify-full', '?sslmode=verify-ca'])(
    'R124: "%s" is accepted, and pg checks the certificate under it',
    (query) => {
      const url = loadConfig({ ...production(), DATABASE_URL: postgres(query) }).databaseUrl
      // The client reads its URL when it is made; nothing connects here.
      const client = new pg.Client({ connectionString: url })
      expect(client.ssl).toBeTruthy()
      expect(client.ssl).not.toHaveProperty('rejectUnauthorized', false)
    },
  )

  test('a Unix socket carries no TLS, so production takes it only when told', () => {
    const socket = 'postgres://u:p@/cardea?host=/run/postgresql'
    expect(loadConfig({ DATABASE_URL: socket }).databaseUrl).toBe(socket)
    expect(namesOf({ ...production(), DATABASE_URL: socket })).toEqual(['DATABASE_URL'])
  })

  test.each([
    'mysql://h/db',
    'postgres:h',
    'postgres://',
    'postgres://a,b/db',
    'postgres://a:1,b:2/db',
    'h/db',
  ])('%j is no Postgres URL', (text) => {
    expect(namesOf({ DATABASE_URL: text })).toEqual(['DATABASE_URL'])
  })
})

describe('Redis', () => {
  const rest = {
    redis: 'h:6379/1',
    'redis+sentinel': 'a:26379,b/main/1',
    'redis+cluster': 'a:1,[::1]:2',
  }

  test.each(Object.entries(rest))(
    'R124: production refuses %s:// and takes it with TLS',
    (kind, hosts) => {
      const plain = `${kind}://user:p%40w@${hosts}`
      const encrypted = plain.replace('redis', 'rediss')
      expect(namesOf({ ...production(), REDIS_URL: plain })).toEqual(['REDIS_URL'])
      expect(loadConfig({ ...production(), REDIS_URL: encrypted }).redisUrl).toBe(encrypted)
      const allowed = { ...production(), REDIS_URL: plain, ALLOW_PLAINTEXT_STORES: 'true' }
      expect(loadConfig(allowed).redisUrl).toBe(plain)
    },
  )

  test.each([
    'http://h',
    'redis:h',
    'redis://',
    'redis://a,b',
    'redis://h:0',
    'redis://h:65536',
    'redis://h/x',
    'redis://h/01',
    'redis://default@h',
    'redis://user:@h',
    'redis://h?host=other',
    'redis://h#x',
    'redis://u:%zz@h',
    'redis://u:p@w@h',
    'redis+sentinel://a,b',
    'redis+sentinel://a,b/',
    'redis+cluster://a,b/3',
    'redis+cluster://a,,b',
    'redis+other://h',
  ])('%j is no Redis URL', (text) => {
    expect(namesOf({ REDIS_URL: text })).toEqual(['REDIS_URL'])
  })
})

describe('switches of Node', () => {
  test('R124: production refuses a process that checks no certificates, whatever else is allowed', () => {
    const unchecked = { NODE_TLS_REJECT_UNAUTHORIZED: '0' }
    const environment = { ...production(), ALLOW_PLAINTEXT_STORES: 'true', ...unchecked }
    expect(namesOf(environment)).toEqual(['NODE_TLS_REJECT_UNAUTHORIZED'])
    expect(loadConfig(unchecked).production).toBe(false)
  })

  test.each(['TLSv1', 'TLSv1.1'])('R124: %s as the least version is refused', (version) => {
    expect(nodeTlsProblems(undefined, version).map(({ name }) => name)).toEqual(['NODE_OPTIONS'])
    expect(nodeTlsProblems(undefined, 'TLSv1.2')).toEqual([])
  })

  test('R124: a process started with --tls-min-v1.0 is refused in production', () => {
    const script = `import { loadConfig } from ${JSON.stringify(resolve('src/config/index.ts'))}
      try { loadConfig() } catch (error) { console.log(error.problems[0].name) }`
    const flags = ['--tls-min-v1.0', '--input-type=module', '--eval', script]
    const shown = execFileSync(process.execPath, flags, { env: production(), encoding: 'utf8' })
    expect(shown.trim()).toBe('NODE_OPTIONS')
  })
})

test('problems of stores say what to write instead', () => {
  expect(problemsOf({ ...production(), DATABASE_URL: postgres('?sslmode=require') })).toEqual([
    'DATABASE_URL must end with sslmode=verify-full (or verify-ca) in production, or ALLOW_PLAINTEXT_STORES=true on a private network',
  ])
})
