import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/index.ts'
import { nodeTlsProblems } from '../../src/config/node-settings.ts'
import { postgresHosts } from '../../src/lib/postgres-url.ts'
import { configErrorOf, problemsOf, production } from './environments.ts'

const namesOf = (environment: Record<string, string>): string[] =>
  configErrorOf(environment).problems.map((problem) => problem.name)

const postgres = (query: string): string => `postgres://u:p@db.internal:5432/cardea${query}`

describe('Postgres without verified TLS', () => {
  const unverified = [
    ...'?sslmode=disable ?sslmode=allow ?sslmode=prefer ?sslmode=require'.split(' '),
    ...'?sslmode=no-verify ?sslmode=VERIFY-FULL ?ssl=true'.split(' '),
    ...'?uselibpqcompat=true&sslmode=require ?sslmode=verify-full&sslmode=disable'.split(' '),
    '',
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
    ['100%ab', 'has a broken percent sign (write % as %25)'],
    ['50%', 'has a broken percent sign (write % as %25)'],
    ['a%zz', 'has a broken percent sign (write % as %25)'],
    ['12#34', 'has a # (write it as %23)'],
  ])('the password %j as it is written nowhere else names the variable', (password, problem) => {
    const url = `postgres://u:${password}@db.internal/cardea`
    for (const name of ['DATABASE_URL', 'MIGRATE_DATABASE_URL']) {
      expect(problemsOf({ [name]: url })).toEqual([`${name} ${problem}`])
      const encoded = `postgres://u:${encodeURIComponent(password)}@db.internal/cardea`
      expect(loadConfig({ [name]: encoded })).toMatchObject({ production: false })
      expect(new pg.Client({ connectionString: encoded }).password).toBe(password)
    }
  })

  test.each(['postgres://100%ab@h/db', 'postgres://u:p@h/100%ab', 'postgres://u:p@h/db?x=100%ab'])(
    'a broken percent log in any other part names it, too: %s',
    (url) => {
      expect(problemsOf({ DATABASE_URL: url })).toEqual([
        'DATABASE_URL has a broken percent sign (write % as %25)',
      ])
    },
  )

  test.each([
    ...'mysql://h/db postgres:h postgres:// postgres://a,,b/db postgres://a,b:x/db'.split(' '),
    ...'postgres://u@/db?host=a, postgres://u@/db?host=a,b,c&port=1,2 h/db'.split(' '),
  ])('%j is no Postgres URL', (text) => {
    expect(namesOf({ DATABASE_URL: text })).toEqual(['DATABASE_URL'])
  })

  test.each([
    'postgres://u:p@a,b/db',
    'postgres://u:p@a:1,[::1]:2,c/db?target_session_attrs=read-write',
    'postgres://u:p@/db?host=a,/run/pg&port=1,2&target_session_attrs=primary',
    'postgres://u:p@a/db?target_session_attrs=any',
  ])('several hosts and any words for "the primary" are taken: %s', (text) => {
    expect(loadConfig({ DATABASE_URL: text }).databaseUrl).toBe(text)
  })

  test.each(['standby', 'prefer-standby', 'read-only', ''])(
    'R104: nothing is read from a standby, so target_session_attrs=%s is refused',
    (word) => {
      const problems = problemsOf({
        DATABASE_URL: `postgres://a,b/db?target_session_attrs=${word}`,
      })
      expect(problems).toEqual([expect.stringMatching(/^DATABASE_URL .*only a primary is used$/)])
    },
  )

  test.each(['search_path', 'schema', 'currentSchema'])(
    'a schema in the query (%s), which the driver ignores, is refused with the setting for it',
    (name) => {
      const problems = problemsOf({ DATABASE_URL: `postgres://a/db?${name}=auth` })
      expect(problems).toEqual([expect.stringContaining('set DATABASE_SCHEMA')])
    },
  )

  test('R124: of several hosts each is verified, or production refuses them all', () => {
    const several = (query: string) => `postgres://u:p@a,b:1/db${query}`
    expect(namesOf({ ...production(), DATABASE_URL: several('') })).toEqual(['DATABASE_URL'])
    const verified = several('?sslmode=verify-full')
    const url = loadConfig({ ...production(), DATABASE_URL: verified }).databaseUrl
    expect(url).toBe(verified)
    for (const host of postgresHosts(verified)) {
      expect(new pg.Client({ connectionString: host }).ssl).toBeTruthy()
    }
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
    ...'http://h redis:h redis:// redis://a,b redis://h:0 redis://h:65536 redis://h/x'.split(' '),
    ...'redis://h/01 redis://default@h redis://user:@h redis://h?host=other'.split(' '),
    ...'redis://h#x redis://u:%zz@h redis://u:p@w@h redis+sentinel://a,b'.split(' '),
    ...'redis+sentinel://a,b/ redis+cluster://a,b/3 redis+cluster://a,,b'.split(' '),
    ...'redis+other://h redis://u:100%ab@h redis://100%ab:p@h'.split(' '),
  ])('%j is no Redis URL', (text) => {
    expect(namesOf({ REDIS_URL: text })).toEqual(['REDIS_URL'])
  })

  test('a password for Sentinels is refused where there are none, and so is their user without it', () => {
    const sentinels = 'redis+sentinel://a:26379/main'
    const given = { REDIS_SENTINEL_USERNAME: 'cardea', REDIS_SENTINEL_PASSWORD: 'of the sentinels' }
    expect(loadConfig({ REDIS_URL: sentinels, ...given })).toMatchObject({
      redisSentinelUsername: 'cardea',
      redisSentinelPassword: 'of the sentinels',
    })
    for (const url of ['redis://a', 'redis+cluster://a', '']) {
      expect(namesOf({ REDIS_URL: url, ...given })).toEqual(['REDIS_SENTINEL_PASSWORD'])
    }
    expect(namesOf({ REDIS_URL: sentinels, REDIS_SENTINEL_USERNAME: 'cardea' })).toEqual([
      'REDIS_SENTINEL_USERNAME',
    ])
  })
})

describe('the schema', () => {
  test.each(['auth', 'Auth', 'a b', 'Ж"', 'x'.repeat(63)])('%j is taken as it is', (name) => {
    expect(loadConfig({ DATABASE_SCHEMA: name }).databaseSchema).toBe(name)
  })

  test.each(['pg_auth', 'information_schema', 'x'.repeat(64), 'Ж'.repeat(32), 'a\nb', 'a\0'])(
    '%j is no name of a schema',
    (name) => {
      expect(namesOf({ DATABASE_SCHEMA: name })).toEqual(['DATABASE_SCHEMA'])
    },
  )
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
